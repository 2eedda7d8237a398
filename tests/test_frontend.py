"""The example frontend as people use it: a production build with its own Better Auth server, in a real Chromium."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect

from tests.better_auth.client import OLDEST_NODE
from tests.chromium import let_go, shot
from tests.live import ROOT, Live, User, environment, fresh_database, live
from tests.postgres import free_port

pytestmark = pytest.mark.browser

FRONTEND = ROOT / "examples" / "frontend"
AXE = ROOT / "tests" / "client" / "node_modules" / "axe-core" / "axe.min.js"
PASSWORD = "correct horse battery staple"
# The API takes a token for 30 seconds more, as clocks differ. So these expire after five.
TOKEN_LIFE = "-25s"
SECONDS_TO_EXPIRY = 6


@dataclass
class Site:
    """The built frontend beside its Better Auth server, and the API that it calls."""

    url: str
    api: Live


@contextmanager
def running(*command: str, **variables: str) -> Iterator[None]:
    process = subprocess.Popen(
        ["node", *command], cwd=FRONTEND, env={"PATH": os.environ["PATH"], **variables}, stdout=subprocess.DEVNULL
    )
    yield
    process.terminate()
    process.wait(10)


def wait_for(url: str) -> None:
    ends = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < ends, f"{url} does not answer"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert (FRONTEND / "node_modules").is_dir(), f"Run npm ci in {FRONTEND}, with Node {OLDEST_NODE} or newer."
    built = str(tmp_path_factory.mktemp("frontend"))
    port, auth_port, vite = str(free_port()), str(free_port()), "node_modules/vite/bin/vite.js"
    url = f"http://localhost:{port}"
    with ExitStack() as stack:
        api = stack.enter_context(
            live(
                BETTER_AUTH_URL=url,
                CORS_ALLOWED_ORIGINS=f"{url},http://127.0.0.1:{port}",
                WEB_CONCURRENCY="1",
            )
        )
        subprocess.run(
            ["node", vite, "build", "--outDir", built],
            cwd=FRONTEND,
            env={"PATH": os.environ["PATH"], "VITE_TODO_URL": api.url},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        stack.enter_context(running("server.mjs", AUTH_PORT=auth_port, BETTER_AUTH_URL=url, TOKEN_LIFE=TOKEN_LIFE))
        stack.enter_context(running(vite, "preview", "--outDir", built, "--port", port, AUTH_PORT=auth_port))
        wait_for(f"{url}/api/auth/ok")
        yield Site(url, api)


class Person:
    """Somebody with a browser profile of their own, signed up through the form."""

    def __init__(self, context: BrowserContext, site: Site, name: str) -> None:
        self.context, self.site, self.name = context, site, name
        self.email = f"{name.lower()}-{time.time_ns()}@example.com"
        self.page = context.new_page()
        self.page.goto("/")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Email").fill(self.email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Create account").click()
        expect(self.page.get_by_text("No tasks yet.")).to_be_visible()
        self.id = context.request.get("/api/auth/get-session").json()["user"]["id"]

    def user(self) -> User:
        """The same person as a program that calls the API, with a token of its own."""
        return User(self.site.api, self.id)

    def stored(self) -> list[dict[str, Any]]:
        return self.user().list()

    def window(self, browser: Browser) -> Page:
        """A second window of the same person, in front like the first: a tab behind it would be slowed down."""
        context = browser.new_context(base_url=self.site.url, storage_state=self.context.storage_state())
        page = context.new_page()
        page.goto("/")
        expect(page.get_by_role("heading", name="Tasks")).to_be_visible()
        return page


@pytest.fixture
def sign_up(browser: Browser, site: Site) -> Iterator[Callable[..., Person]]:
    """Make a person. Whatever a script complains of fails the test."""
    complaints: list[str] = []
    contexts: list[BrowserContext] = []

    def make(name: str = "Ann", width: int = 1280, scheme: Any = "light", url: str = site.url) -> Person:
        size = {"width": width, "height": 900 if width > 500 else 844}
        context = browser.new_context(base_url=url, viewport=size, color_scheme=scheme)
        context.set_default_timeout(10_000)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type == "error"
                and "Failed to load resource" not in message.text
                and "has been blocked by CORS policy" not in message.text
                else None
            ),
        )
        contexts.append(context)
        return Person(context, site, name)

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def add(page: Page, title: str) -> None:
    page.get_by_label("New task").fill(title)
    page.get_by_role("button", name="Add").click()


def shown(page: Page) -> Locator:
    """The titles in the list."""
    return page.locator(".task .title")


def cut_after_the_server_has_answered(route: Route) -> None:
    route.fetch()
    route.abort("connectionreset")


def test_two_people_never_see_each_others_tasks(sign_up: Callable[..., Person], site: Site) -> None:
    ann, bob = sign_up("Ann"), sign_up("Bob", url=site.url.replace("localhost", "127.0.0.1"))
    add(ann.page, "Ann's secret")
    add(bob.page, "Bob's secret")
    expect(ann.page.locator(".task")).to_have_count(1)
    expect(bob.page.locator(".task")).to_have_count(1)
    bob.page.reload()
    for who in (ann, bob):
        expect(shown(who.page)).to_have_text([f"{who.name}'s secret"])
    anns = f"{ann.user().tasks}/{ann.stored()[0]['id']}"
    assert bob.user().request("GET", anns).status == 403
    assert bob.user().request("GET", f"{bob.user().tasks}/{anns.rpartition('/')[2]}").status == 404
    assert site.api.request("GET", ann.user().tasks).status == 401

    # One after the other at one computer.
    ann.page.get_by_role("button", name="Sign out").click()
    ann.page.get_by_role("button", name="I have an account").click()
    ann.page.get_by_label("Email").fill(bob.email)
    ann.page.get_by_label("Password").fill("something else")
    ann.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(ann.page.get_by_role("alert")).to_have_text("Invalid email or password")
    ann.page.get_by_label("Password").fill(PASSWORD)
    ann.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(ann.page.locator(".task")).to_have_text(re.compile("Bob's secret"))
    expect(ann.page.get_by_text("Ann's secret")).to_have_count(0)
    assert [[task["title"] for task in who.stored()] for who in (ann, bob)] == [["Ann's secret"], ["Bob's secret"]]


@pytest.mark.promise("P-107")
def test_a_create_whose_answer_was_cut_off_is_one_task(sign_up: Callable[..., Person]) -> None:
    ann = sign_up()
    keys: list[str | None] = []
    ann.page.on(
        "request", lambda sent: keys.append(sent.headers.get("idempotency-key")) if sent.method == "POST" else None
    )
    ann.page.route("**/tasks", cut_after_the_server_has_answered, times=2)
    add(ann.page, "Milk")
    expect(ann.page.get_by_role("alert")).to_contain_text("There was no answer.")
    ann.page.get_by_role("button", name="Try again").click()
    expect(ann.page.get_by_role("alert")).to_contain_text("There was no answer.")
    assert len(ann.stored()) == 1
    expect(ann.page.get_by_label("New task")).to_have_value("Milk")
    ann.page.get_by_role("button", name="Try again").click()
    expect(ann.page.get_by_label("New task")).to_have_value("")
    expect(shown(ann.page)).to_have_text(["Milk"])
    assert [task["title"] for task in ann.stored()] == ["Milk"]
    assert len(keys) == 3
    assert len(set(keys)) == 1

    # The next task is another one, also if it has the same title.
    add(ann.page, "Milk")
    expect(ann.page.locator(".task")).to_have_count(2)
    assert keys[3] not in keys[:3]
    assert len(ann.stored()) == 2


@pytest.mark.promise("P-107")
@pytest.mark.parametrize("width", [1280, 390])
def test_of_two_windows_that_edit_one_task_the_second_is_asked(
    browser: Browser, sign_up: Callable[..., Person], width: int
) -> None:
    ann = sign_up(width=width)
    add(ann.page, "Milk")
    expect(ann.page.locator(".task")).to_have_count(1)
    other = ann.window(browser)

    def open_editor(page: Page) -> None:
        page.get_by_role("button", name=re.compile("^Edit ")).click()

    def save(page: Page, title: str, description: str) -> None:
        page.get_by_label("Title").fill(title)
        page.get_by_label("Description").fill(description)
        page.get_by_role("button", name="Save").click()

    for choice, kept in [("Save your version", "Soy milk"), ("Keep the stored version", "Oat milk")]:
        open_editor(ann.page)
        open_editor(other)
        save(other, "Oat milk", f"Two litres, {choice}")
        expect(other.locator(".task")).to_contain_text(choice)
        save(ann.page, "Soy milk", "One litre")
        asked = ann.page.get_by_role("alert")
        expect(asked).to_contain_text(f"Oat milk Two litres, {choice}", use_inner_text=True)
        expect(ann.page.get_by_label("Title")).to_have_value("Soy milk")
        expect(ann.page.get_by_label("Description")).to_have_value("One litre")
        assert [(task["title"], task["description"]) for task in ann.stored()] == [
            ("Oat milk", f"Two litres, {choice}")
        ]
        shot(ann.page, f"frontend-conflict-{width}")
        ann.page.get_by_role("button", name=choice).click()
        expect(ann.page.locator(".task .title")).to_have_text(kept)
        assert ann.stored()[0]["title"] == kept
        other.reload()

    # A text is not in conflict with a tick, nor with itself after a cut connection.
    open_editor(ann.page)
    other.get_by_role("checkbox").check()
    expect(other.locator(".done")).to_have_count(1)
    save(ann.page, "Rice milk", "One litre")
    expect(ann.page.locator(".done .title")).to_have_text("Rice milk")
    open_editor(ann.page)
    ann.page.route("**/tasks/*", cut_after_the_server_has_answered, times=1)
    save(ann.page, "Almond milk", "One litre")
    expect(ann.page.get_by_role("alert")).to_contain_text("There was no answer.")
    ann.page.get_by_role("button", name="Save").click()
    expect(ann.page.locator(".done .title")).to_have_text("Almond milk")
    (task,) = ann.stored()
    assert (task["title"], task["completed"]) == ("Almond milk", True)

    # What was deleted elsewhere is said, and what was typed stays.
    open_editor(ann.page)
    ann.user().request("DELETE", f"{ann.user().tasks}/{task['id']}")
    save(ann.page, "Coconut milk", "One litre")
    expect(ann.page.get_by_role("alert")).to_contain_text("deleted elsewhere")
    expect(ann.page.get_by_label("Title")).to_have_value("Coconut milk")
    assert ann.stored() == []


@pytest.mark.promise("P-107")
def test_nothing_typed_is_lost_when_the_token_expires_or_the_session_ends(sign_up: Callable[..., Person]) -> None:
    ann, bea = sign_up("Ann"), sign_up("Bea")
    for who in (ann, bea):
        add(who.page, "Milk")
        who.page.get_by_role("button", name="Edit Milk").click()
        who.page.get_by_label("Description").fill("Two litres")
        who.page.get_by_label("New task").fill("Bread")
    time.sleep(SECONDS_TO_EXPIRY)

    # Better Auth cannot be reached: that signs nobody out.
    answers: list[tuple[str, int]] = []
    ann.page.on(
        "response",
        lambda got: (
            answers.append((got.request.method, got.status))
            if re.search("/tasks|/token", got.url) and got.request.method != "OPTIONS"
            else None
        ),
    )
    ann.page.route("**/api/auth/**", lambda route: route.abort())
    ann.page.get_by_role("button", name="Save").click()
    expect(ann.page.get_by_role("alert")).to_have_text("The sign-in service did not answer. Try again in a moment.")
    expect(ann.page.get_by_label("Description")).to_have_value("Two litres")
    ann.page.unroute_all()
    ann.page.get_by_role("button", name="Save").click()
    expect(ann.page.locator(".task .description")).to_have_text("Two litres")
    expect(ann.page.get_by_label("New task")).to_have_value("Bread")
    assert answers == [("PUT", 401), ("GET", 200), ("PUT", 200)]
    ann.page.route("**/api/auth/**", lambda route: route.abort())
    ann.page.reload()
    expect(ann.page.get_by_role("alert")).to_have_text("The sign-in service did not answer.")
    ann.page.unroute_all()
    ann.page.get_by_role("button", name="Try again").click()
    expect(ann.page.locator(".task .description")).to_have_text("Two litres")

    # The session is over: she signs in again, and goes on.
    bea.context.clear_cookies()
    bea.page.get_by_role("button", name="Add").click()
    expect(bea.page.get_by_text("You have been signed out. What you typed is still there")).to_be_visible()
    bea.page.get_by_label("Email").fill(bea.email)
    bea.page.get_by_label("Password").fill(PASSWORD)
    bea.page.get_by_role("button", name="Sign in", exact=True).click()
    bea.page.get_by_role("button", name="Try again").click()
    bea.page.get_by_role("button", name="Save").click()
    expect(bea.page.locator(".task")).to_have_count(2)
    assert [(task["title"], task["description"]) for task in bea.stored()] == [("Bread", None), ("Milk", "Two litres")]


@contextmanager
def stopped(api: Live) -> Iterator[None]:
    api.stop(signal.SIGKILL)
    try:
        yield
    finally:
        api.start()


def test_the_api_stops_and_starts_again(sign_up: Callable[..., Person], site: Site) -> None:
    ann = sign_up()
    add(ann.page, "Milk")
    expect(shown(ann.page)).to_have_text(["Milk"])
    milk = ann.page.get_by_role("checkbox", name="Milk")
    with stopped(site.api):
        milk.click()
        expect(ann.page.locator(".task").get_by_role("alert")).to_contain_text("There was no answer.")
        expect(milk).not_to_be_checked()
        add(ann.page, "Bread")
        expect(ann.page.locator(".add").get_by_role("alert")).to_contain_text("There was no answer.")
        shot(ann.page, "frontend-no-answer")
        ann.page.get_by_role("button", name="Completed").click()
        expect(ann.page.locator("section > .problem")).to_contain_text("There was no answer.")
        expect(shown(ann.page)).to_be_hidden()  # It is not completed.
    ann.page.get_by_role("button", name="Try again").last.click()
    expect(ann.page.get_by_text("Nothing is completed yet.")).to_be_visible()
    ann.page.get_by_role("button", name="Try again").click()
    expect(shown(ann.page)).to_have_text(["Bread", "Milk"])
    milk.click()
    expect(milk).to_be_checked()
    expect(ann.page.get_by_role("alert")).to_have_count(0)
    assert [task["title"] for task in ann.stored()] == ["Bread", "Milk"]


@pytest.mark.promise("P-108")
def test_retry_after_is_honoured(sign_up: Callable[..., Person], site: Site) -> None:
    ann = sign_up()
    with stopped(site.api):
        site.api.variables["THROTTLE_RATE"] = "3/minute"
    try:
        for title in ("One", "Two", "Three"):
            add(ann.page, title)
            expect(ann.page.get_by_label("New task")).to_have_value("")
        add(ann.page, "Four")
        expect(ann.page.get_by_role("alert")).to_contain_text("Too many requests")
        expect(ann.page.get_by_role("button", name=re.compile("Wait [0-9]+ s"))).to_be_disabled()
        ann.page.get_by_role("button", name="Completed").click()
        expect(ann.page.get_by_role("button", name=re.compile("Try again in [0-9]+ s"))).to_be_disabled()
        shot(ann.page, "frontend-throttled")
    finally:
        with stopped(site.api):
            del site.api.variables["THROTTLE_RATE"]
    assert len(ann.stored()) == 3


def test_a_thousand_tasks_page_through(sign_up: Callable[..., Person], site: Site) -> None:
    ann = sign_up()
    user = ann.user()
    with closing(site.api.connect()) as connection:
        for number in range(1000):
            assert user.request("POST", user.tasks, {"title": f"Task {number}"}, connection=connection).status == 201
    ann.page.reload()
    expect(ann.page.locator(".task")).to_have_count(50)
    for so_far in range(100, 1001, 50):
        ann.page.get_by_role("button", name="Show more").click()
        expect(ann.page.locator(".task")).to_have_count(so_far)
    expect(ann.page.get_by_role("button", name="Show more")).to_have_count(0)
    assert shown(ann.page).all_inner_texts() == [f"Task {number}" for number in reversed(range(1000))]

    # A search waits for a pause in typing, and finds the oldest too.
    asked: list[str] = []
    ann.page.on(
        "request", lambda sent: asked.append(sent.url) if "search=" in sent.url and sent.method == "GET" else None
    )
    ann.page.get_by_role("searchbox", name="Search").press_sequentially("tASK 99", delay=30)
    expect(ann.page.locator(".task")).to_have_count(11)
    expect(shown(ann.page).last).to_have_text("Task 99")
    assert len(set(asked)) < 3
    ann.page.get_by_role("searchbox", name="Search").fill("nothing like it")
    expect(ann.page.get_by_text("No task has “nothing like it” in it.")).to_be_visible()


def test_tasks_are_added_completed_deleted_and_found(sign_up: Callable[..., Person]) -> None:
    ann = sign_up()
    page = ann.page
    for wrong, said in [("   ", "may not be blank"), ("x" * 201, "At most 200 characters.")]:
        add(page, wrong)
        field = page.get_by_label("New task")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(said))
        expect(field).to_have_value(wrong)
    assert ann.stored() == []
    for title in ("One", "Two", "Three"):
        add(page, title)
        expect(page.get_by_label("New task")).to_have_value("")
    expect(shown(page)).to_have_text(["Three", "Two", "One"])

    # Ticked at once, before the answer; taken back if the answer says no.
    waiting: list[Route] = []
    page.route("**/complete", lambda route: waiting.append(route), times=1)
    two = page.get_by_role("checkbox", name="Two")
    two.click()
    expect(two).to_be_checked()
    assert [task["completed"] for task in ann.stored()] == [False] * 3
    let_go(page, waiting)
    expect(two).to_be_checked()
    ann.user().request("DELETE", f"{ann.user().tasks}/{ann.stored()[0]['id']}")
    page.get_by_role("checkbox", name="Three").click()
    expect(page.get_by_role("alert")).to_contain_text("deleted elsewhere")
    expect(page.get_by_role("checkbox", name="Three")).not_to_be_checked()

    for view, titles in [("Completed", ["Two"]), ("Open", ["One"]), ("All", ["Two", "One"])]:
        page.get_by_role("button", name=view, exact=True).click()
        expect(shown(page)).to_have_text(titles)

    # Deleted when the time to undo is over: here the next deletion ends it.
    deletes: list[str] = []
    page.on("request", lambda sent: deletes.append(sent.url) if sent.method == "DELETE" else None)
    page.get_by_role("button", name="Delete One").click()
    expect(page.locator(".task")).to_have_count(1)
    page.get_by_role("button", name="Undo").press("Enter")
    expect(page.locator(".task")).to_have_count(2)
    # Also where nothing else on the page was drawn anew in between.
    page.evaluate(
        """async () => {
            document.querySelector("[aria-label='Delete One']").click();
            await new Promise((drawn) => setTimeout(drawn));
            document.querySelector(".toast button").click();
        }"""
    )
    expect(page.locator(".task")).to_have_count(2)
    page.get_by_role("button", name="Delete One").click()
    assert (deletes, len(ann.stored())) == ([], 2)
    page.get_by_role("button", name="Delete Two").click()
    expect(page.get_by_text("Deleted “One”.")).to_have_count(1)
    assert [task["title"] for task in ann.stored()] == ["Two"]

    # Changed before the time was over: it stays, and that is said.
    ann.user().request("PUT", f"{ann.user().tasks}/{ann.stored()[0]['id']}", {"title": "Two and a half"})
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.get_by_text("Nothing is open.")).to_be_visible()
    with page.expect_response(lambda got: got.request.method == "GET" and "/tasks?" in got.url) as again:
        expect(page.get_by_role("alert")).to_contain_text("it has changed meanwhile")
    assert "completed=false" in again.value.url  # The list that is shown by now is the one to load again.
    page.get_by_role("button", name="All", exact=True).click()
    expect(shown(page)).to_have_text(["Two and a half"])
    assert len(ann.stored()) == 1

    # Leaving the page ends the time to undo.
    page.get_by_role("button", name="Delete Two and a half").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Create account")).to_be_visible()
    ends = time.monotonic() + 20
    while ann.stored():
        assert time.monotonic() < ends


def test_offline_is_said_and_the_list_loads_when_it_is_over(sign_up: Callable[..., Person]) -> None:
    ann = sign_up()
    add(ann.page, "Milk")
    expect(ann.page.locator(".task")).to_have_count(1)
    ann.context.set_offline(True)
    expect(ann.page.get_by_role("status").filter(has_text="You are offline.")).to_be_visible()
    ann.page.get_by_role("button", name="Completed").click()
    expect(ann.page.get_by_role("alert")).to_contain_text("You are offline.")
    shot(ann.page, "frontend-offline")
    ann.context.set_offline(False)
    expect(ann.page.get_by_text("Nothing is completed yet.")).to_be_visible()
    expect(ann.page.get_by_role("alert")).to_have_count(0)
    expect(ann.page.get_by_role("status").filter(has_text="You are offline.")).to_have_count(0)


def assert_good_to_use(page: Page, name: str) -> None:
    """Nothing is wider than the screen, and axe finds nothing critical or serious. Keeps a picture."""
    shot(page, name)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    serious = [
        (violation["id"], node["html"], node["failureSummary"])
        for violation in found
        if violation["impact"] in {"critical", "serious"}
        for node in violation["nodes"]
    ]
    assert serious == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_screen_fits_and_can_be_used_by_everyone(sign_up: Callable[..., Person], width: int, scheme: str) -> None:
    def look(screen: str) -> None:
        assert_good_to_use(page, f"frontend-{screen}-{width}-{scheme}")

    ann = sign_up("Ann", width, scheme)
    page = ann.page
    look("empty")
    add(page, "  ")
    expect(page.get_by_label("New task")).to_have_attribute("aria-invalid", "true")
    look("refused")
    user = ann.user()
    for title, members in [
        ("Water the plants", {}),
        ("Book the train to Lisbon", {"description": "Window seat, before noon.\nSenior card!"}),
        ("Pay the rent", {"completed": True}),
        ("Buy oat milk", {"description": "Two litres"}),
        ("Call Grandma", {}),
    ]:
        user.create(title, **members)
    page.reload()
    expect(page.locator(".task")).to_have_count(5)
    look("list")
    page.get_by_role("button", name="Edit Book").click()
    expect(page.get_by_label("Title")).to_be_focused()
    user.request("PUT", f"{user.tasks}/{user.list('?search=Lisbon')[0]['id']}", {"title": "Book the train to Porto"})
    look("editor")
    page.get_by_label("Description").fill("Aisle seat")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Stored now")).to_be_visible()
    look("conflict")
    page.get_by_label("Title").press("Escape")
    expect(page.get_by_role("button", name="Edit Book")).to_be_focused()
    user.create("W" * 200, description="W" * 300)
    page.reload()
    expect(page.locator(".task")).to_have_count(6)
    look("long")
    page.get_by_role("button", name="Delete WWW").click()
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    look("undo")
    page.get_by_role("button", name="Undo").click()
    ann.page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Create account")).to_be_visible()
    look("sign-up")


@pytest.mark.promise("P-106")
def test_one_command_starts_all_three_and_ends_them_together() -> None:
    names = {"PORT": "The API", "AUTH_PORT": "Better Auth", "FRONTEND_PORT": "Vite"}
    with fresh_database() as database_url, tempfile.TemporaryFile("w+") as said:
        variables = environment(database_url, **{name: str(free_port()) for name in names})

        def start() -> subprocess.Popen[str]:
            return subprocess.Popen(["node", "dev.mjs"], cwd=FRONTEND, env=variables, text=True, stderr=said)

        def children(process: subprocess.Popen[str]) -> list[int]:
            return [
                int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            ]

        def assert_all_ended(process: subprocess.Popen[str], started: list[int]) -> None:
            process.wait(20)
            assert len(started) == 3
            assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
            for name in names:
                with socket.socket() as probe:
                    assert probe.connect_ex(("127.0.0.1", int(variables[name]))) != 0, name

        ended_by_ctrl_c = start()
        for url in [f"{variables['PORT']}/readyz", f"{variables['FRONTEND_PORT']}/api/auth/ok"]:
            wait_for(f"http://127.0.0.1:{url}")
        # What runs has the ports, so that a second one says so and touches nothing.
        second = start()
        assert second.wait(20) == 1
        said.seek(0)
        assert f"PORT={int(variables['PORT']) + 1} make frontend" in said.read()
        wait_for(f"http://127.0.0.1:{variables['PORT']}/readyz")
        started = children(ended_by_ctrl_c)
        ended_by_ctrl_c.send_signal(signal.SIGINT)
        assert_all_ended(ended_by_ctrl_c, started)
        assert ended_by_ctrl_c.returncode == 0

        for place, name in enumerate(names.values()):
            process = start()
            while len(started := children(process)) < 3:
                assert process.poll() is None
                time.sleep(0.05)
            os.kill(started[place], signal.SIGTERM)
            assert_all_ended(process, started)
            assert process.returncode == 1
            said.seek(0)
            assert f"{name} has ended" in said.read()
