"""Start page, sign-in, documentation, errors and admin as a person meets them: in a real browser, looked at by axe."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from conftest import sign
from tests.better_auth.client import BetterAuthServer, why_unavailable
from tests.chromium import SHOTS, shot
from tests.live import Live, User, live, manage
from tests.postgres import free_port
from tests.test_browser import PASSWORD, create, listed, path, sign_in, sign_in_operator
from todo_project.authentication import SIGN_IN_COOKIE

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "client/node_modules/axe-core/axe.min.js"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
LONG = "A title without a blank in it: " + "x" * 160
schemes = pytest.mark.parametrize("scheme", ["light", "dark"])
widths = pytest.mark.parametrize("width", [1280, 390])


@pytest.fixture
def user(live: Live) -> User:
    """Somebody whose id must be quoted in addresses."""
    return User(live, f"auth0|{time.time_ns()} ü?#%")


@pytest.fixture(scope="session")
def clerk(live: Live) -> str:
    """The name of an operator."""
    account = {"DJANGO_SUPERUSER_USERNAME": "clerk", "DJANGO_SUPERUSER_EMAIL": "clerk@example.com"}
    manage({**live.variables, **account, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}, "createsuperuser", "--noinput")
    return "clerk"


class Looker:
    """Takes a picture of each state of a page, and lets axe look at it."""

    def __init__(self, page: Page, scheme: str, width: int) -> None:
        self.page, self.name = page, f"{scheme}-{width}"
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})

    def look(self, name: str) -> None:
        page = self.page
        page.wait_for_load_state()
        shot(page, f"site-{name}-{self.name}")
        assert page.evaluate("document.documentElement.lang")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 384) is self.name.startswith("dark"), background
        page.evaluate(AXE.read_text())
        # Preloading, it makes styles of its own, of which the policy complains.
        options = {"runOnly": WCAG, "preload": False}
        found = page.evaluate("async (options) => (await axe.run(document, options)).violations", options)
        grave = [
            (one["id"], [node["html"] for node in one["nodes"]][:5])
            for one in found
            if one["impact"] in {"critical", "serious"}
        ]
        assert grave == [], name


@schemes
@widths
def test_the_pages_of_the_site_are_for_everybody(page: Page, user: User, scheme: str, width: int) -> None:
    looker = Looker(page, scheme, width)
    page.goto("/")
    looker.look("start")
    page.goto("/nothing-here")
    looker.look("not-found")
    page.goto("/docs/deploy")
    looker.look("guide")
    page.goto("/login?next=/docs/deploy")
    expect(page.get_by_label("Your token")).to_be_focused()
    looker.look("sign-in")
    page.keyboard.type("nonsense")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    field = page.get_by_label("Your token")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description("The token is not valid here.")
    looker.look("sign-in-refused")
    page.keyboard.insert_text(user.token)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{user.live.url}/docs/deploy")
    page.goto("/")
    looker.look("start-signed-in")
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def authorize(page: Page, token: str) -> None:
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-container input").fill(token)
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Authorize").click()
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Close").click()


def open_operation(page: Page, name: str) -> None:
    operation = page.locator(f"#operations-tasks-{name}")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()


def execute(page: Page, name: str) -> int:
    operation = page.locator(f"#operations-tasks-{name}")
    with page.expect_response(lambda answer: "/api/" in answer.url) as answered:
        operation.get_by_role("button", name="Execute").click()
    status = answered.value.status
    expect(operation.locator(".live-responses-table .response .response-col_status")).to_contain_text(str(status))
    assert "cookie" not in answered.value.request.all_headers()
    return status


@schemes
@widths
def test_the_documentation_is_for_everybody(page: Page, user: User, scheme: str, width: int) -> None:
    looker = Looker(page, scheme, width)
    page.goto("/docs")
    expect(page.locator(".opblock")).to_have_count(6)
    looker.look("docs")
    assert page.evaluate("[...document.querySelectorAll('.problems code')].every(e => e.getClientRects().length === 1)")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-container input").fill(user.token)
    looker.look("docs-authorize")
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Authorize").click()
    looker.look("docs-authorized")
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Close").click()
    for name in ["task_create", "tasks_list", "task_update", "task_complete", "task_destroy"]:
        open_operation(page, name)
    assert execute(page, "task_create") == 201
    looker.look("docs-tried")
    page.locator("#operations-tasks-task_create .opblock-body").screenshot(
        path=SHOTS / f"site-docs-operation-{looker.name}.png"
    )
    page.locator(".models-control").click()
    looker.look("docs-schemas")


@pytest.mark.promise("P-52")
def test_each_endpoint_is_tried_with_what_is_filled_in(page: Page, user: User) -> None:
    """From creating to deleting, without typing anything but the token."""
    page.goto("/docs")
    authorize(page, user.token)
    names = ["task_create", "tasks_list", "task_retrieve", "task_update", "task_complete", "task_destroy"]
    for name in names:
        open_operation(page, name)
        expect(page.locator(f"#operations-tasks-{name} tr[data-param-name=user_id] input")).to_have_value(user.subject)
    assert [execute(page, name) for name in names[:4]] == [201, 200, 200, 200]
    assert [(task["title"], task["completed"]) for task in listed(user)] == [("Buy oat milk", True)]
    assert [execute(page, name) for name in names[4:]] == [200, 204]
    assert listed(user) == []


def test_a_task_that_was_just_made_is_the_one_that_is_tried_next(page: Page, user: User) -> None:
    for number in range(3):
        create(user, f"Task {number}")
    page.goto("/docs")
    authorize(page, user.token)
    open_operation(page, "task_create")
    open_operation(page, "task_retrieve")
    assert execute(page, "task_create") == 201
    newest = listed(user)[0]
    expect(page.locator("#operations-tasks-task_retrieve tr[data-param-name=task_id] input")).to_have_value(
        str(newest["id"])
    )
    assert execute(page, "task_retrieve") == 200


@pytest.mark.promise("P-104")
def test_a_sign_in_counts_for_nothing_in_the_documentation(page: Page, user: User) -> None:
    page.goto("/login?next=/docs")
    sign_in(page, user.token)
    for name in ["tasks_list", "task_create"]:
        open_operation(page, name)
        page.locator(f"#operations-tasks-{name} tr[data-param-name=user_id] input").fill(user.subject)
        assert execute(page, name) == 401
    other = User(user.live)
    authorize(page, other.token)
    assert execute(page, "tasks_list") == 200
    assert listed(user) == []


@pytest.mark.promise("P-104")
def test_the_documentation_keeps_the_token_in_the_tab_until_it_ends(page: Page, user: User) -> None:
    now = int(time.time())
    page.goto("/docs")
    authorize(page, sign(user.subject, iat=now - 60, exp=now + 20))
    page.reload()
    open_operation(page, "tasks_list")
    expect(page.locator("#operations-tasks-tasks_list tr[data-param-name=user_id] input")).to_have_value(user.subject)
    assert execute(page, "tasks_list") == 200
    other = page.context.new_page()
    other.goto("/docs")
    expect(other.locator(".btn.authorize.unlocked")).to_be_visible()
    other.close()
    page.wait_for_timeout(max(0.0, now + 20.5 - time.time()) * 1000)
    page.reload()
    expect(page.locator(".btn.authorize.unlocked")).to_be_visible()
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0

    authorize(page, user.token)
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Logout").click()
    page.reload()
    expect(page.locator(".btn.authorize.unlocked")).to_be_visible()
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0


@pytest.mark.promise("P-100")
@pytest.mark.promise("P-104")
@pytest.mark.parametrize("tasks", [False, True])
def test_signing_out_anywhere_removes_what_the_tab_keeps(page: Page, user: User, tasks: bool) -> None:
    page.goto(f"/login?next={quote(path(user))}")
    sign_in(page, user.token)
    page.locator("#fields [name=title]").fill("Typed")
    page.goto("/docs")
    authorize(page, user.token)
    page.evaluate("sessionStorage.setItem('of the frontend on the same origin', 'kept')")
    page.goto(path(user) if tasks else "/")
    assert page.evaluate("sessionStorage.length") == 3
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    assert page.evaluate("Object.keys(sessionStorage)") == ["of the frontend on the same origin"]
    page.goto("/docs")
    expect(page.locator(".btn.authorize.unlocked")).to_be_visible()


# --- The admin ------------------------------------------------------------------------------------------------


@schemes
@widths
def test_the_admins_pages_are_for_everybody(
    page: Page,
    user: User,
    clerk: str,
    scheme: str,
    width: int,
) -> None:
    tasks = [create(user, title, description="Two\nlitres") for title in ["Milk", LONG]]
    longest = User(user.live, "u" * 255)
    longest.request("POST", longest.tasks, {"title": "Theirs"})
    looker = Looker(page, scheme, width)
    page.goto("/admin/")
    looker.look("admin-sign-in")
    page.get_by_label("Username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".errornote")).to_be_visible()
    looker.look("admin-sign-in-refused")
    sign_in_operator(page, clerk, "/admin/tasks/task/add/")
    looker.look("admin-add")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".errornote")).to_be_visible()
    looker.look("admin-add-refused")
    for name, address in [
        *[("index", "/admin/"), ("list", "/admin/tasks/task/"), ("nothing", "/admin/tasks/task/?q=nothing+like+this")],
        *[("user", f"/admin/tasks/task/user/?user={quote(user.subject)}"), ("no-user", "/admin/tasks/task/user/?user=x")],
        *[(f"task-{page}", f"/admin/tasks/task/{tasks[1]['id']}/{page}/") for page in ("change", "history", "delete")],
        *[("accounts", "/admin/auth/user/"), ("account", "/admin/auth/user/1/change/"), ("groups", "/admin/auth/group/")],
        *[("password", "/admin/password_change/"), ("not-found", "/admin/nothing/")],
    ]:  # fmt: skip
        page.goto(address)
        looker.look(f"admin-{name}")

    page.goto(f"/admin/tasks/task/?user={quote(user.subject)}")
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option(label="Complete the selected tasks")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("2 tasks completed.")
    looker.look("admin-acted")
    page.goto(f"/admin/tasks/task/{tasks[0]['id']}/change/")
    page.get_by_label("Description").fill("Mine")
    user.request("PUT", f"{path(user)}/{tasks[0]['id']}", {"title": "Milk", "description": "Theirs"})
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".errorlist")).to_be_visible()
    looker.look("admin-conflict")


def test_the_list_of_tasks_fits_and_leads_to_users(page: Page, user: User, clerk: str) -> None:
    create(user, LONG)
    longest = User(user.live, f"{time.time_ns()}" + "u" * 200)
    longest.request("POST", longest.tasks, {"title": "Theirs"})
    sign_in_operator(page, clerk)
    table = page.locator("#result_list").bounding_box()
    filters = page.locator("#changelist-filter").bounding_box()
    assert table and filters and table["x"] + table["width"] <= filters["x"]
    heights = page.locator("#result_list tbody tr").evaluate_all("rows => rows.map(row => row.offsetHeight)")
    assert max(heights) < 60
    page.get_by_role("link", name=longest.subject).click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.get_by_role("link", name="This user").click()
    expect(page.get_by_role("heading", name=f"User {longest.subject}")).to_be_visible()
    page.get_by_role("link", name="1 task", exact=True).click()
    page.get_by_role("link", name="Theirs").click()
    expect(page.get_by_label("Title")).to_have_value("Theirs")


# --- Sign-in by a session at Better Auth ------------------------------------------------------------------------

no_node = pytest.mark.skipif(why_unavailable() is not None, reason=f"Without Better Auth: {why_unavailable()}.")


@contextmanager
def both(**variables: str) -> Iterator[tuple[Live, BetterAuthServer]]:
    """The service and a real Better Auth server, as two ports of one host."""
    port = str(free_port())
    allowed = {"CORS_ORIGIN": f"http://127.0.0.1:{port}", **variables}
    own = {"PORT": port, "BETTER_AUTH_SECRET": "", "BETTER_AUTH_SIGN_IN": "true"}
    with (
        BetterAuthServer.start(mode="jwks", secret="W7tq2Lx9Vb4Nc8Zr5Ys1Hd6Kf3Pm0Ja", **allowed) as better_auth,
        live(BETTER_AUTH_URL=better_auth.base_url, **own) as service,
    ):
        yield service, better_auth


@pytest.fixture
def opened(browser: Browser) -> Iterator[tuple[BrowserContext, Page]]:
    context = browser.new_context()
    context.set_default_timeout(10_000)
    yield context, context.new_page()
    context.close()


def sign_up(context: BrowserContext, better_auth: BetterAuthServer, name: str) -> str:
    """Sign up at Better Auth in this browser; the user's id."""
    answer = context.request.post(
        f"{better_auth.base_url}/api/auth/sign-up/email",
        data={"email": f"{name}@example.com", "password": "correct horse battery", "name": name},
        headers={"Origin": better_auth.base_url},
    )
    assert answer.ok, answer.text()
    return str(answer.json()["user"]["id"])


@no_node
def test_a_session_at_better_auth_signs_in_and_is_asked_for_once_there_is_none(
    opened: tuple[BrowserContext, Page],
) -> None:
    context, page = opened
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if "Failed to load" not in message.text else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    hosts: set[str] = set()
    page.on("request", lambda sent: hosts.add(urlsplit(sent.url).netloc))
    with both() as (service, better_auth):
        page.goto(f"{service.url}/login?next=/docs/deploy")
        expect(page.get_by_role("status")).to_have_text(
            f"You are not signed in at {better_auth.base_url}. Sign in there, and then come back."
        )
        page.set_viewport_size({"width": 1280, "height": 900})
        for scheme in ("light", "dark"):
            Looker(page, scheme, 390).look("single-sign-on")
        ann = sign_up(context, better_auth, "ann")
        page.get_by_role("button", name="Sign in with").press("Enter")
        page.wait_for_url(f"{service.url}/docs/deploy")
        page.goto(f"{service.url}/")
        expect(page.locator("main")).to_contain_text(f"You are signed in as {ann}")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in")).to_be_visible()
        page.goto(f"{service.url}/login?next=/docs/deploy")
        page.wait_for_url(f"{service.url}/docs/deploy")

        # What Better Auth gives, and this service refuses, is shown and not tried again.
        context.clear_cookies(name=SIGN_IN_COOKIE)
        page.route("**/api/auth/token", lambda route: route.fulfill(
            json={"token": "x.y.z"},
            headers={"Access-Control-Allow-Origin": service.url, "Access-Control-Allow-Credentials": "true"},
        ))  # fmt: skip
        page.goto(f"{service.url}/login")
        expect(page.get_by_role("alert")).to_be_visible()
        page.wait_for_timeout(500)
        expect(page.get_by_role("alert")).to_be_visible()
        page.unroute_all()
        assert hosts == {urlsplit(service.url).netloc, urlsplit(better_auth.base_url).netloc}
        assert said == []


@no_node
@pytest.mark.parametrize("case", ["another origin", "out of reach"])
def test_a_better_auth_that_cannot_be_asked_leaves_the_token(opened: tuple[BrowserContext, Page], case: str) -> None:
    _, page = opened
    allowed = {"CORS_ORIGIN": "http://127.0.0.1:1"} if case == "another origin" else {}
    with both(**allowed) as (service, better_auth):
        if case == "out of reach":
            better_auth.stop()
        page.goto(f"{service.url}/login")
        expect(page.get_by_role("status")).to_have_text(f"{better_auth.base_url} cannot be asked from here.")
        expect(page.get_by_label("token")).to_be_focused()


@pytest.mark.promise("P-105")
@no_node
@pytest.mark.parametrize("where", ["/", "/docs", "/nothing"])
def test_a_sign_in_is_renewed_while_a_page_is_open_and_the_session_lasts(
    opened: tuple[BrowserContext, Page], where: str
) -> None:
    context, page = opened

    def cookie() -> str:
        return next((str(one["value"]) for one in context.cookies() if one["name"] == SIGN_IN_COOKIE), "")

    with both(TOKEN_LIFE="6s") as (service, better_auth):
        ann = sign_up(context, better_auth, "ann")
        page.goto(f"{service.url}/login?next={where}")
        page.wait_for_url(f"{service.url}{where}")
        first = cookie()
        assert first
        ends = time.monotonic() + 20
        while cookie() == first and time.monotonic() < ends:
            page.wait_for_timeout(100)
        assert cookie() not in {"", first}
        # Another person in the same browser is not signed in unasked, and the sign-in ends with its token.
        context.clear_cookies(name=re.compile("^better-auth"))
        bob = sign_up(context, better_auth, "bob")
        assert bob != ann
        while cookie() and time.monotonic() < ends + 20:
            page.wait_for_timeout(100)
        assert cookie() == ""
