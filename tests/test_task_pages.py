"""The tasks as a person meets them in a browser: with a mouse, with the keyboard alone, on a phone, in the dark."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from conftest import sign
from tests.chromium import let_go, shot
from tests.live import Live, User, live
from tests.test_browser import SCRIPT, create, listed, path, sign_in
from tests.test_wrong_database import allow_connections, run_sql
from todo_project.authentication import SIGN_IN_COOKIE

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "client/node_modules/axe-core/axe.min.js"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
HOSTILE = [
    SCRIPT,
    "\u202etfel ot thgir\u202d \u0645\u0647\u0645\u0629 \u05de\u05e9\u05d9\u05de\u05d4",
    "漢" * 200,
    "W" * 200,
    "Z" + "\u0351\u0327\u0489" * 60,
    "two\nlines\r\nand\rmore",
    "\"quotes' & <b>tags</b> &amp; </textarea></title>",
]


@pytest.fixture
def user(live: Live) -> User:
    """Somebody whose id must be quoted in addresses."""
    return User(live, f"auth0|{time.time_ns()} ü?#%")


def enter(page: Page, user: User, address: str = "", **claims: int) -> None:
    """Sign in on the way to an address of the user's."""
    page.goto(path(user) + address)
    sign_in(page, sign(user.subject, **claims))
    page.wait_for_url(lambda url: urlsplit(url).path != "/login")


def assert_accessible(page: Page) -> None:
    """Nothing that WCAG 2.1 A and AA ask for is missing, as far as axe can see it."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("tags => axe.run({runOnly: tags})", WCAG)
    assert [(violation["id"], [node["html"] for node in violation["nodes"]]) for violation in found["violations"]] == []


def assert_fits(page: Page) -> None:
    """Nothing is wider than the screen, and nothing lies over the page's text."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    assert page.evaluate(
        "[...document.querySelectorAll('body *')].every(e => !/fixed|sticky/.test(getComputedStyle(e).position))"
    )


def look(page: Page, name: str, scheme: str, width: int) -> None:
    """Take a picture of the page, and assert that everybody can use it."""
    page.wait_for_load_state()
    shot(page, f"{name}-{scheme}-{width}")
    assert_fits(page)
    assert_accessible(page)
    dark = page.evaluate(
        "matchMedia('(prefers-color-scheme: dark)').matches && getComputedStyle(document.documentElement).colorScheme"
    )
    assert dark == ("light dark" if scheme == "dark" else False)


@pytest.mark.promise("P-102")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_in_every_state_is_accessible_and_fits(page: Page, user: User, scheme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    taken = 0

    def look_at(name: str) -> None:
        nonlocal taken
        taken += 1
        look(page, f"{taken:02}-{name}", scheme, width)

    page.goto("/")
    look_at("start")
    page.goto(path(user))
    look_at("signed-out")
    sign_in(page, user.token)
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    look_at("empty")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#fields [name=title]")).to_be_focused()
    look_at("error")
    tasks = [create(user, title) for title in ["Buy milk", "Call the dentist about the appointment in March", "Read"]]
    user.request("PATCH", f"{path(user)}/{tasks[2]['id']}/complete", {"completed": True})
    page.goto(path(user))
    look_at("three")
    page.locator("#fields [name=title]").fill("Water the plants")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("The task was created.")
    look_at("created")
    page.get_by_text("For developers").click()
    page.get_by_text("Order:").click()
    look_at("developers")
    page.goto(f"{path(user)}?search=nothing&completed=false")
    look_at("no-hit")
    page.goto(f"{path(user)}?ordering=sideways&search=milk")
    look_at("refused-query")
    for title in HOSTILE:
        create(user, title, description=title)
    page.goto(path(user))
    look_at("hostile")
    page.get_by_role("link", name="WWWW").click()
    look_at("hostile-task")

    one = f"{path(user)}/{tasks[0]['id']}"
    page.goto(one)
    look_at("task")
    page.locator("#fields [name=title]").fill("Mine")
    page.locator("#fields [name=description]").fill("What I typed")
    user.request("PUT", one, {"title": "Theirs", "description": "What they typed\non two lines"})
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="Title")).to_be_visible()
    look_at("conflict")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("The task was saved.")
    look_at("saved")
    page.locator("#fields [name=title]").fill("Typed while the sign-in ended")
    cookies = page.context.cookies()
    page.context.clear_cookies(name=SIGN_IN_COOKIE)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("401 Unauthorized")
    look_at("expired")
    page.context.add_cookies(cookies)
    page.goto(one)
    look_at("restored")
    page.goto(f"{path(user)}/999999")
    look_at("404")
    page.goto(f"{one}/complete")
    look_at("405")
    page.goto("/api/somebody-else/tasks")
    look_at("403")
    for number in range(150):
        create(user, f"Task {number}", completed=number % 3 == 0)
    page.goto(path(user))
    look_at("many")


@pytest.mark.promise("P-90")
@pytest.mark.promise("P-102")
def test_a_page_without_its_database_says_so_and_what_was_typed_is_saved_afterwards(browser: Browser) -> None:
    """The database is away, which is 503, and then lacks a column that it should have, which is 500."""
    with live() as service, ExitStack() as stack:
        database, user = service.variables["DATABASE_URL"], User(service)
        opened: list[tuple[str, int, Page, str]] = []
        for scheme, width in product(("light", "dark"), (1280, 390)):
            size = {"width": width, "height": 844}
            context = browser.new_context(base_url=service.url, color_scheme=scheme, viewport=size)  # type: ignore[arg-type]
            stack.callback(context.close)
            page = context.new_page()
            one = open_task(page, user, create(user, f"{scheme} {width}"))
            page.locator("#fields [name=description]").fill("Typed")
            opened.append((scheme, width, page, one))

        @contextmanager
        def stopped() -> Iterator[None]:
            service.stop()
            yield
            service.start()

        def press_and_load(status: int, said: str) -> None:
            for scheme, width, page, one in opened:
                page.get_by_role("button", name="Save").click()
                expect(page.get_by_role("alert")).to_contain_text(said)
                look(page, f"{status}-saved", scheme, width)
                for name, address in [("list", path(user)), ("task", one)]:
                    other = page.context.new_page()
                    answer = other.goto(address)
                    assert answer is not None and answer.status == status
                    expect(other.get_by_role("heading")).to_contain_text(str(status))
                    expect(
                        other.get_by_role("link", name="Try again" if status == 503 else "Start page")
                    ).to_be_visible()
                    look(other, f"{status}-{name}", scheme, width)
                    other.close()

        with stopped():
            allow_connections(database, False)
        press_and_load(503, "503 Service Unavailable: The database cannot answer just now. Try again.")
        with stopped():
            allow_connections(database, True)
            run_sql(database, "ALTER TABLE tasks_task RENAME COLUMN description TO notes")
        press_and_load(
            500, "500 Internal Server Error: Something went wrong on our side. The request id tells the operators"
        )
        with stopped():
            run_sql(database, "ALTER TABLE tasks_task RENAME COLUMN notes TO description")
        for _, _, page, _ in opened:
            page.get_by_role("button", name="Save").click()
            expect(page.get_by_role("status")).to_contain_text("The task was saved.")
        assert [task["description"] for task in listed(user)] == ["Typed"] * 4


@pytest.mark.promise("P-48")
def test_a_person_keeps_tasks(page: Page, user: User) -> None:
    page.goto("/")
    shot(page, "start")
    page.get_by_role("link", name="Sign in").click()
    shot(page, "sign-in")
    sign_in(page, user.token)
    page.wait_for_url(f"**{path(user)}")
    expect(page.get_by_role("heading", name="Tasks")).to_be_visible()

    # A blank title is refused beside its field; the list is as it was.
    form = page.locator("#fields")
    form.locator("[name=title]").fill("   ")
    form.get_by_role("button", name="Add").click()
    expect(form.locator(".field", has=page.locator("[name=title]"))).to_contain_text("may not be blank")
    shot(page, "blank-title")
    assert listed(user) == []

    form.locator("[name=title]").fill("Milk")
    form.locator("[name=description]").fill("Two litres")
    form.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("The task was created.")
    shot(page, "created")
    (task,) = listed(user)
    assert (task["title"], task["description"], task["completed"]) == ("Milk", "Two litres", False)
    assert urlsplit(page.url).path == path(user)

    page.get_by_role("link", name="Milk").click()
    expect(page.get_by_role("heading", name="Milk")).to_be_visible()
    assert urlsplit(page.url).path == f"{path(user)}/{task['id']}"
    shot(page, "task")
    form = page.locator("#fields")
    expect(form.locator("[name=title]")).to_have_value("Milk")
    expect(form.locator("[name=description]")).to_have_value("Two litres")
    expect(form.locator("[name=completed]")).not_to_be_checked()
    form.locator("[name=title]").fill("Oat milk")
    form.get_by_role("button", name="Save").click()
    expect(page.locator(".response-info")).to_contain_text('"title": "Oat milk"')
    (task,) = listed(user)
    assert (task["title"], task["description"], task["completed"]) == ("Oat milk", "Two litres", False)

    form.locator("[name=title]").fill("")
    form.get_by_role("button", name="Save").click()
    expect(form.locator(".field", has=page.locator("[name=title]"))).to_contain_text("may not be blank")
    assert listed(user) == [task]

    # The button works on the page that the form left, and on the page as it was loaded.
    form.locator("[name=title]").fill("Oat milk")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("The task was saved.")
    for button, said in [("Complete", "The task is completed."), ("Reopen", "The task is open again.")]:
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("status")).to_have_text(said)
        assert urlsplit(page.url).path == f"{path(user)}/{task['id']}"
        assert listed(user)[0]["completed"] is (button == "Complete")
    page.reload()
    expect(page.get_by_role("button", name="Complete")).to_be_enabled()
    expect(page.get_by_role("status")).to_have_count(0)

    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Oat milk")).to_be_visible()
    assert "Oat milk" in asked[0]
    assert len(listed(user)) == 1
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text("The task was deleted.")
    assert urlsplit(page.url).path == path(user)
    shot(page, "deleted")
    assert listed(user) == []

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.goto(path(user))
    assert urlsplit(page.url).path == "/login"


def open_raw_data(page: Page) -> None:
    page.get_by_text("For developers").click()


def test_raw_json_from_the_pages(page: Page, user: User) -> None:
    page.goto(f"/login?next={quote(path(user))}")
    sign_in(page, user.token)
    open_raw_data(page)
    form = page.locator("#raw")
    form.locator("[name=_content]").fill('{"title": "Raw", "completed": true}')
    form.get_by_role("button", name="POST").dblclick()
    expect(page.get_by_role("status")).to_contain_text("The task was created.")
    (task,) = listed(user)
    assert (task["title"], task["completed"]) == ("Raw", True)

    page.goto(f"{path(user)}/{task['id']}")
    form = page.locator("#raw")
    open_raw_data(page)
    form.locator("[name=_content]").fill('{"title": "Rawer"}')
    form.get_by_role("button", name="PUT").click()
    expect(page.locator(".response-info")).to_contain_text('"title": "Rawer"')
    shot(page, "raw")
    for typed, said in [('{"title": ', "The body is not JSON"), ('{"title": " "}', "422 Unprocessable")]:
        form.locator("[name=_content]").fill(typed)
        form.get_by_role("button", name="PUT").click()
        expect(page.get_by_role("alert")).to_contain_text(said)
        expect(form.locator("[name=_content]")).to_have_value(typed)
    assert [(task["title"], task["completed"]) for task in listed(user)] == [("Rawer", True)]

    # A write from elsewhere is shown beside what was typed, and written over by the second press alone.
    form.locator("[name=_content]").fill('{"title": "Rawest"}')
    user.request("PUT", f"{path(user)}/{task['id']}", {"title": "Cooked"})
    form.get_by_role("button", name="PUT").click()
    expect(page.get_by_role("row", name="Title Cooked Rawest")).to_be_visible()
    expect(form.locator("[name=_content]")).to_have_value('{"title": "Rawest"}')
    assert [task["title"] for task in listed(user)] == ["Cooked"]
    form.get_by_role("button", name="PUT").click()
    expect(page.get_by_role("status")).to_have_text("The task was saved.")
    assert [task["title"] for task in listed(user)] == ["Rawest"]


def open_task(page: Page, user: User, task: dict[str, object]) -> str:
    """Sign in on the way to the task's page; its path."""
    one = f"{path(user)}/{task['id']}"
    page.goto(one)
    sign_in(page, user.token)
    expect(page.get_by_role("button", name="Delete")).to_be_enabled()
    return one


@pytest.mark.promise("P-88")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_stale_page_overwrites_nothing_and_shows_both_versions(page: Page, user: User, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    task = create(user, "Milk", description="Two litres\nof it")
    one = open_task(page, user, task)
    form = page.locator("#fields")
    form.locator("[name=description]").fill("\nThree\nlitres")
    user.request("PUT", one, {"title": "Oat milk", "description": "Four\rlitres", "completed": True})
    before = listed(user)
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").filter(has_text="Stored now")).to_contain_text("The task has changed")
    expect(page.get_by_role("row", name="Description")).to_contain_text("Four litres Three litres", use_inner_text=True)
    shot(page, f"conflict-{width}")
    assert listed(user) == before
    assert urlsplit(page.url).path == one
    expect(form.locator("[name=title]")).to_have_value("Oat milk")
    expect(form.locator("[name=description]")).to_have_value("\nThree\nlitres")
    expect(form.locator("[name=completed]")).to_be_checked()
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("The task was saved.")
    (now,) = listed(user)
    assert (now["title"], now["description"], now["completed"]) == ("Oat milk", "\nThree\nlitres", True)
    shot(page, f"saved-{width}")

    # Delete asks again, with the title as it is now; the button beside the task does what it says.
    user.request("PUT", one, {"title": "Soy milk", "completed": False})
    page.get_by_role("button", name="Reopen").click()
    expect(page.get_by_role("status")).to_have_text("The task is open again.")
    user.request("PUT", one, {"title": "Almond milk"})
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert").filter(has_text="The task has changed")).to_be_visible()
    shot(page, f"stale-delete-{width}")
    assert len(listed(user)) == 1
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text("The task was deleted.")
    assert ["Soy milk" in asked[0], "Almond milk" in asked[1]] == [True, True]
    assert listed(user) == []


@pytest.mark.promise("P-87")
def test_text_comes_back_as_it_was_where_nobody_edited_it(page: Page, user: User) -> None:
    texts = [
        "a\rb",
        "a\r\nb\nc",
        "\n\nfirst",
        "\r\nlast\r\n",
        "  blanks \t\n ",
        "\n",
        "\x0b\x0c\x85\u2028\u0001",
        "",
        None,
    ]
    texts += ["x\r\n" * 1666 + "xx", "\U0001f344</textarea>&amp;\ufeff"]
    task = create(user, "Milk")
    one = open_task(page, user, task)
    form = page.locator("#fields")

    def put(form: Locator) -> None:
        page.evaluate("document.querySelector('main [role=status]')?.remove()")  # Of the write before.
        with page.expect_response(lambda answer: answer.request.method == "PUT") as answered:
            form.locator("button").first.click()
        assert answered.value.status == 303
        expect(page.get_by_role("status")).to_have_text("The task was saved.")

    for number, text in enumerate(texts):
        stored = {"title": f"two\r\nlines {number}", "description": text, "completed": True}
        assert user.request("PUT", one, stored).status == 200
        page.goto(one)
        put(form)
        (now,) = listed(user)
        assert {name: now[name] for name in stored} == stored
        form.locator("[name=completed]").uncheck()
        form.locator("[name=title]").fill(f"Milk {number}")
        put(form)
        (now,) = listed(user)
        assert (now["title"], now["description"], now["completed"]) == (f"Milk {number}", text, False)
        # The form of raw data says the same.
        assert user.request("PUT", one, stored).status == 200
        page.goto(one)
        open_raw_data(page)
        put(page.locator("#raw"))
        (now,) = listed(user)
        assert {name: now[name] for name in stored} == stored
        # What is typed has the line breaks that were typed, the first one too.
        form.locator("[name=description]").fill(f"\n\n{number}\n")
        put(form)
        expect(form.locator("[name=description]")).to_have_value(f"\n\n{number}\n")
        assert listed(user)[0]["description"] == f"\n\n{number}\n"


@pytest.mark.promise("P-89")
def test_a_second_press_and_a_reload_create_nothing_twice(page: Page, user: User) -> None:
    page.goto(path(user))
    sign_in(page, user.token)
    form = page.locator("#fields")
    form.locator("[name=title]").fill("Milk")
    form.get_by_role("button", name="Add").dblclick()
    expect(page.get_by_role("status")).to_contain_text("The task was created.")
    page.reload()
    expect(page.get_by_role("button", name="Complete “Milk”")).to_be_enabled()
    assert [task["title"] for task in listed(user)] == ["Milk"]

    # Another one is another one, though nothing but its description differs.
    form.locator("[name=title]").fill("Milk")
    form.locator("[name=description]").fill("\nOat")
    form.locator("[name=title]").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The task was created.")
    expect(page.locator(".tasks li")).to_have_count(2)
    expect(form.locator("[name=title]")).to_have_value("")
    expect(form.locator("[name=title]")).to_be_focused()
    assert [(task["title"], task["description"]) for task in listed(user)] == [("Milk", "\nOat"), ("Milk", None)]


@pytest.mark.promise("P-89")
def test_without_script_a_reload_and_a_form_that_was_sent_create_nothing_twice(
    browser: Browser, live: Live, user: User
) -> None:
    context = browser.new_context(base_url=live.url, java_script_enabled=False)
    page = context.new_page()
    enter(page, user)
    form = page.locator("#fields")
    form.locator("[name=title]").fill("Milk")
    form.get_by_role("button", name="Add").dblclick()
    expect(page.get_by_role("status")).to_contain_text("The task was created.")
    page.reload()
    expect(page.get_by_role("link", name="Milk")).to_be_visible()
    page.go_back()
    form.locator("[name=title]").fill("Tea")
    form.locator("[name=description]").fill("\nGreen")
    form.get_by_role("button", name="Add").click()
    expect(page.get_by_role("alert").or_(page.get_by_role("status"))).to_be_visible()
    if page.get_by_role("alert").count():  # The page that was sent was shown again, and not loaded again.
        expect(page.get_by_role("alert").filter(has_text="has created a task already")).to_be_visible()
        expect(form.locator("[name=description]")).to_have_value("\nGreen")
        form.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("The task was created.")
    assert [(task["title"], task["description"]) for task in listed(user)] == [("Tea", "\nGreen"), ("Milk", None)]
    context.close()


@pytest.mark.promise("P-90")
def test_an_answer_that_is_no_success_is_shown_and_what_was_typed_stays(page: Page, user: User) -> None:
    task = create(user, "Milk")
    one = open_task(page, user, task)
    form, alert = page.locator("#fields"), page.locator("#problem")
    form.locator("[name=description]").fill("typed")
    buttons = [form.get_by_role("button", name="Save"), page.get_by_role("button", name="Complete")]

    def press_each(said: str) -> None:
        for button in buttons:
            button.click()
            expect(alert).to_contain_text(said)
            expect(button).to_be_enabled()
            page.evaluate("document.getElementById('problem').textContent = ''")
        expect(form.locator("[name=description]")).to_have_value("typed")

    page.context.set_offline(True)
    press_each("There was no answer.")
    page.context.set_offline(False)
    page.route(f"**{one}*", lambda route: route.fulfill(status=502, body="<title>Bad Gateway</title>"))
    page.route(f"**{one}/complete", lambda route: route.fulfill(status=502, body="<title>Bad Gateway</title>"))
    press_each("502 Bad Gateway")
    page.unroute_all()
    # Somebody else's page, such as a hotel's sign-in, is no success.
    page.route(f"**{one}*", lambda route: route.fulfill(status=200, body="<title>Welcome, guest</title>"))
    page.route(f"**{one}/complete", lambda route: route.fulfill(status=200, body="<title>Welcome, guest</title>"))
    press_each("200 Welcome, guest")
    page.unroute_all()
    cookies = page.context.cookies()
    page.context.clear_cookies(name=SIGN_IN_COOKIE)
    press_each("401 Unauthorized")
    page.context.add_cookies(cookies)
    user.request("DELETE", one)
    press_each("404 Not Found: There is no such task.")
    buttons[0].click()
    expect(alert).to_contain_text("404 Not Found")
    shot(page, "gone")


@pytest.mark.promise("P-90")
def test_without_script_a_task_is_created_and_no_button_does_something_else(
    browser: Browser, live: Live, user: User
) -> None:
    context = browser.new_context(base_url=live.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(path(user))
    sign_in(page, user.token)
    form = page.locator("#fields")
    form.locator("[name=title]").fill("Milk")
    form.locator("[name=description]").fill("\nTwo\nlitres")
    form.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("The task was created.")
    expect(page.locator("noscript p")).to_be_visible()
    shot(page, "without-script")
    before = listed(user)
    assert [(task["title"], task["description"]) for task in before] == [("Milk", "\nTwo\nlitres")]
    expect(page.get_by_role("button", name="Complete “Milk”")).to_be_disabled()
    page.get_by_role("link", name="Milk").click()
    expect(page.locator("noscript p")).to_be_visible()
    open_raw_data(page)
    for name in ["Save", "Delete", "Complete", "PUT"]:
        expect(page.get_by_role("button", name=name, exact=True)).to_be_disabled()
    at = page.url
    page.locator("#fields [name=title]").press("Enter")
    assert page.url == at
    assert listed(user) == before
    context.close()


def test_the_keyboard_writes_as_the_mouse_does(page: Page, user: User) -> None:
    task = create(user, "Milk", description="\rTwo litres")
    one = open_task(page, user, task)
    title = page.locator("#fields [name=title]")
    title.fill("Oat milk")
    title.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The task was saved.")
    page.get_by_role("button", name="Complete").press("Space")
    expect(page.get_by_role("status")).to_have_text("The task is completed.")
    (now,) = listed(user)
    assert (now["title"], now["description"], now["completed"]) == ("Oat milk", "\rTwo litres", True)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").press("Enter")
    expect(page.get_by_role("status")).to_have_text("The task was deleted.")
    assert user.request("GET", one).status == 404


def test_filters_search_order_and_pages(page: Page, user: User) -> None:
    for number in range(5):
        create(user, f"Task {number}", completed=number % 2 == 0)
    page.goto(f"{path(user)}?limit=2")
    sign_in(page, user.token)

    titles = page.locator(".tasks a")

    def order(name: str) -> None:
        page.get_by_text("Order:").click()
        page.get_by_role("link", name=name, exact=True).click()

    expect(titles).to_have_text(["Task 4", "Task 3"])
    expect(page.get_by_role("link", name="First page")).to_have_count(0)
    expect(page.get_by_role("link", name="Next page")).to_have_count(2)  # Above the list and below.
    page.get_by_role("link", name="Next page").first.click()
    expect(titles).to_have_text(["Task 2", "Task 1"])
    page.get_by_role("link", name="Next page").last.click()
    expect(titles).to_have_text(["Task 0"])
    expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    page.get_by_role("link", name="First page").last.click()
    expect(titles).to_have_text(["Task 4", "Task 3"])

    order("title, A to Z")
    expect(titles).to_have_text(["Task 0", "Task 1"])
    page.get_by_role("link", name="Completed").click()
    expect(titles).to_have_text(["Task 0", "Task 2"])
    page.get_by_role("link", name="Next page").first.click()
    expect(titles).to_have_text(["Task 4"])
    page.get_by_role("link", name="Open").click()
    expect(titles).to_have_text(["Task 1", "Task 3"])
    page.get_by_role("link", name="All").click()
    expect(titles).to_have_text(["Task 0", "Task 1"])

    search = page.get_by_role("searchbox", name="Search")
    search.fill("sk 2")
    search.press("Enter")
    expect(titles).to_have_text(["Task 2"])
    expect(search).to_have_value("sk 2")
    expect(page.get_by_text("Order: title, A to Z")).to_be_visible()
    shot(page, "searched")
    page.get_by_role("link", name="Clear").click()
    expect(search).to_have_value("")
    expect(titles).to_have_text(["Task 0", "Task 1"])
    order("recently changed first")
    expect(titles).to_have_text(["Task 4", "Task 3"])


def test_the_page_of_another_user_is_403(page: Page, user: User) -> None:
    page.goto(path(user))
    sign_in(page, user.token)
    shown = page.goto("/api/somebody-else/tasks")
    assert shown is not None
    assert shown.status == 403
    expect(page.locator("body")).to_contain_text("This path belongs to another user.")
    expect(page.locator("#fields, #raw")).to_have_count(0)
    page.get_by_role("link", name="Your tasks").click()
    page.wait_for_url(f"**{path(user)}")
    shown = page.goto("/nothing-here")
    assert shown is not None
    assert shown.status == 404
    expect(page.get_by_role("heading", name="404 Not Found")).to_be_visible()


def test_stored_text_is_shown_and_never_run(page: Page, user: User) -> None:
    task = create(user, f"{SCRIPT} " + "x" * 150, description=f"</textarea>{SCRIPT}")
    page.goto(path(user))
    sign_in(page, user.token)
    for address in [path(user), f"{path(user)}/{task['id']}", f"{path(user)}?search={quote(SCRIPT)}"]:
        page.goto(address)
        expect(page.locator(".response-info")).to_contain_text(SCRIPT)
        assert page.title() != "taken over"
    shot(page, "escaped")


@pytest.mark.promise("P-101")
def test_a_completion_from_the_list_returns_to_that_list(page: Page, user: User) -> None:
    tasks = [create(user, f"Task {number}") for number in range(5)]
    enter(page, user, "?completed=false&limit=2&ordering=title&search=Task")
    page.get_by_role("link", name="Next page").first.click()
    page.wait_for_url("**cursor=**")
    at = page.url
    # The list is out of date: the button still does what it says, to the task it stands beside.
    user.request("PATCH", f"{path(user)}/{tasks[2]['id']}/complete", {"completed": True})
    before = listed(user)
    page.get_by_role("button", name="Complete “Task 2”").click()
    expect(page.get_by_role("status")).to_contain_text("The task is completed.")
    assert page.url == at
    assert [task["completed"] for task in listed(user)] == [task["completed"] for task in before]
    expect(page.locator(".tasks a")).to_have_text(["Task 3", "Task 4"])
    page.get_by_role("link", name="Show it").click()
    expect(page.get_by_role("heading", name="Task 2")).to_be_visible()

    # What was no success is said beside what was pressed.
    page.goto(f"{path(user)}?ordering=-created_at")
    user.request("DELETE", f"{path(user)}/{tasks[4]['id']}")
    page.get_by_role("button", name="Complete “Task 4”").click()
    row = page.locator(".tasks li").filter(has_text="Task 4")
    expect(row.get_by_role("alert")).to_contain_text("404 Not Found: There is no such task.")
    assert_fits(page)

    # Two that are pressed at once are both done, and the list shows both.
    page.goto(path(user))
    page.evaluate("document.querySelectorAll('.tasks li:not(.completed) .check').forEach(button => button.click())")
    expect(page.locator(".tasks li.completed")).to_have_count(4)
    assert {task["completed"] for task in listed(user)} == {True}
    for task in tasks[:2] + tasks[3:4]:
        user.request("PATCH", f"{path(user)}/{task['id']}/complete", {"completed": False})

    page.goto(f"{path(user)}?limit=3")
    page.get_by_role("button", name="Reopen “Task 2”").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("The task is open again.")
    assert page.url.endswith("?limit=3")
    expect(page.get_by_role("button", name="Complete “Task 2”")).to_be_focused()
    assert {task["completed"] for task in listed(user)} == {False}


def test_150_tasks_leave_the_form_and_the_search_on_the_first_screen(page: Page, user: User) -> None:
    for number in range(150):
        create(user, f"Task {number}")
    page.set_viewport_size({"width": 390, "height": 844})
    enter(page, user)
    for control in [
        page.get_by_role("textbox", name="Title"),
        page.get_by_role("textbox", name="Description"),
        page.get_by_role("button", name="Add"),
        page.get_by_role("searchbox"),
        page.get_by_role("link", name="Task 149"),
    ]:
        expect(control).to_be_in_viewport()
    seen: list[str] = []
    while True:
        seen += page.locator(".tasks a").all_inner_texts()
        following = page.get_by_role("link", name="Next page").last
        if not following.count():
            break
        page.goto(str(following.get_attribute("href")))
    assert seen == [f"Task {number}" for number in reversed(range(150))]


def test_an_empty_list_and_a_search_without_a_hit_say_so(page: Page, user: User) -> None:
    enter(page, user)
    expect(page.locator(".empty")).to_have_text("No tasks yet. Add the first one above.")
    create(user, "Milk")
    page.goto(f"{path(user)}?search=<b>&completed=false")
    expect(page.locator(".empty")).to_contain_text("No open task matches “<b>”.")
    page.get_by_role("link", name="Clear the search").click()
    expect(page.get_by_role("link", name="Milk")).to_be_visible()
    page.get_by_role("link", name="Completed").click()
    expect(page.locator(".empty")).to_contain_text("No task is completed yet.")


@pytest.mark.promise("P-100")
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("new", [False, True])
def test_what_was_typed_while_the_sign_in_ended_is_there_after_the_next(
    page: Page, user: User, raw: bool, new: bool
) -> None:
    address = path(user) if new else f"{path(user)}/{create(user, 'Milk')['id']}"
    before = listed(user)
    page.goto(address)
    sign_in(page, user.token)
    form = page.locator("#raw" if raw else "#fields")
    field = form.locator("[name=_content]" if raw else "[name=description]")
    typed = '{"title": "Typed",\n "description": "for an hour"}' if raw else "for an hour"
    if raw:
        open_raw_data(page)
    else:
        form.locator("[name=title]").fill("Typed")
    field.fill(typed)
    page.context.clear_cookies(name=SIGN_IN_COOKIE)
    form.locator("button").first.click()
    expect(page.get_by_role("alert")).to_contain_text("What you typed is kept in this tab")
    expect(field).to_have_value(typed)
    assert listed(user) == before
    page.get_by_role("link", name="Sign in again").click()
    sign_in(page, user.token)
    assert urlsplit(page.url).path == address
    expect(field).to_have_value(typed)

    # It is there after a reload that led to the sign-in too, and until it is saved.
    page.context.clear_cookies(name=SIGN_IN_COOKIE)
    page.reload()
    sign_in(page, user.token)
    expect(form.get_by_text("What you typed here before is back.")).to_be_visible()
    form.locator("button").first.click()
    expect(page.get_by_role("status")).to_be_visible()
    assert [(task["title"], task["description"]) for task in listed(user)][:1] == [("Typed", "for an hour")]
    page.reload()
    expect(form.get_by_text("What you typed here before is back.")).to_be_hidden()
    assert page.evaluate("JSON.parse(sessionStorage['todo.typed']).forms") == {}


@pytest.mark.promise("P-100")
def test_what_was_typed_is_shown_to_nobody_else(page: Page, user: User) -> None:
    enter(page, user)
    page.locator("#fields [name=title]").fill("Typed")
    page.reload()
    expect(page.locator("#fields [name=title]")).to_have_value("Typed")
    page.context.clear_cookies(name=SIGN_IN_COOKIE)
    page.reload()
    other = User(user.live)
    sign_in(page, other.token)
    expect(page.get_by_role("heading", name="403")).to_be_visible()
    assert "Typed" not in page.content()
    page.get_by_role("link", name="Your tasks").click()
    expect(page.locator("#fields [name=title]")).to_have_value("")
    page.wait_for_load_state()
    assert page.evaluate("sessionStorage.length") == 0

    page.locator("#fields [name=title]").fill("Typed by another")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/")
    assert page.evaluate("sessionStorage.length") == 0
    assert listed(user) == []
    assert other.list() == []


@pytest.mark.promise("P-100")
def test_what_was_typed_is_back_until_it_is_discarded(page: Page, user: User) -> None:
    task = create(user, "Milk", description="Two litres")
    one = open_task(page, user, task)
    title = page.locator("#fields [name=title]")
    title.fill("Oat milk")
    page.get_by_role("link", name="Your tasks").click()
    page.get_by_role("link", name="Milk").click()
    expect(title).to_have_value("Oat milk")

    # One's own completion is no conflict with it, nor does it lose it.
    page.get_by_role("button", name="Complete").click()
    expect(page.get_by_role("status")).to_contain_text("The task is completed.")
    expect(title).to_have_value("Oat milk")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("The task was saved.")
    (now,) = listed(user)
    assert (now["title"], now["description"], now["completed"]) == ("Oat milk", "Two litres", True)

    page.get_by_role("checkbox", name="Completed").uncheck()
    user.request("PUT", one, {"title": "Oat milk", "description": "Three litres"})
    page.reload()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("The task was saved.")
    (now,) = listed(user)
    assert (now["title"], now["description"], now["completed"]) == ("Oat milk", "Three litres", False)

    # What somebody else wrote of the same meanwhile is a conflict.
    title.fill("Soy milk")
    user.request("PUT", one, {"title": "Almond milk"})
    page.reload()
    expect(title).to_have_value("Soy milk")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="Title Almond milk Soy milk")).to_be_visible()
    assert listed(user)[0]["title"] == "Almond milk"
    page.reload()
    expect(title).to_have_value("Soy milk")
    page.get_by_role("button", name="Discard it").click()
    expect(title).to_have_value("Almond milk")
    page.reload()
    expect(title).to_have_value("Almond milk")
    assert listed(user)[0]["title"] == "Almond milk"


@pytest.mark.promise("P-100")
@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("new", [False, True])
def test_what_is_typed_while_a_form_is_on_its_way_is_kept(
    page: Page, user: User, raw: bool, new: bool, refused: bool
) -> None:
    address = path(user) if new else f"{path(user)}/{create(user, 'Milk')['id']}"
    enter(page, user, address.removeprefix(path(user)))
    form = page.locator("#raw" if raw else "#fields")
    field = form.locator("[name=_content]" if raw else "[name=title]")
    title = " " if refused else "Bread"
    first, second = (f'{{"title": "{one}"}}' if raw else one for one in (title, "Butter"))
    if raw:
        open_raw_data(page)
    waiting: list[Route] = []
    page.route(lambda url: urlsplit(url).path == urlsplit(page.url).path, lambda route: waiting.append(route))
    field.fill(first)
    form.locator("button").first.click()
    field.fill(second)
    field.press("ArrowLeft")
    let_go(page, waiting)
    page.unroute_all()
    expect(page.get_by_role("alert" if refused else "status").first).not_to_be_empty()
    expect(field).to_have_value(second)
    expect(field).to_be_focused()
    assert field.evaluate("element => element.selectionStart") == len(second) - 1
    page.reload()
    expect(field).to_have_value(second)
    assert [task["title"] for task in listed(user)][:1] == (["Bread"] if not refused else [] if new else ["Milk"])
    form.locator("button").first.click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(field).not_to_have_value(second) if new else None
    titles = ["Butter"] + ["Bread"] * (new and not refused)
    assert [task["title"] for task in listed(user)] == titles


@pytest.mark.promise("P-100")
def test_what_is_typed_elsewhere_while_a_button_is_at_work_is_kept(page: Page, user: User) -> None:
    create(user, "Milk")
    enter(page, user)
    title, search = page.locator("#fields [name=title]"), page.get_by_role("searchbox")
    waiting: list[Route] = []
    for field, button in [(title, "Complete “Milk”"), (search, "Reopen “Milk”")]:
        page.route("**/complete*", lambda route: waiting.append(route), times=1)
        page.get_by_role("button", name=button).click()
        field.press_sequentially("Brea")
        let_go(page, waiting)
        expect(page.get_by_role("status")).to_be_visible()
        # A blank that is typed on must not press the button.
        page.keyboard.type("d and")
        expect(field).to_have_value("Bread and")
    expect(title).to_have_value("Bread and")

    # Two buttons: what was pressed second is sent as it was when it was pressed.
    page.route("**/complete*", lambda route: waiting.append(route), times=1)
    page.get_by_role("button", name="Complete “Milk”").click()
    title.press("Enter")
    title.fill("Butter")
    let_go(page, waiting)
    expect(page.get_by_role("link", name="Bread and")).to_be_visible()
    expect(title).to_have_value("Butter")
    assert [task["title"] for task in listed(user)] == ["Bread and", "Milk"]
    assert search.input_value() == "Bread and"

    # What was typed into a task that is deleted is nothing for the next one.
    page.get_by_role("link", name="Milk").click()
    title.fill("Oat milk")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text("The task was deleted.")
    expect(title).to_have_value("Butter")

    # A search is kept until it is sent, also by a filter, or cleared.
    expect(search).to_have_value("Bread and")
    page.get_by_role("link", name="Bread and").click()
    page.go_back()
    expect(search).to_have_value("Bread and")
    page.get_by_role("link", name="Completed").click()
    page.wait_for_url("**?completed=true&search=Bread+and")
    expect(search).to_have_value("Bread and")
    expect(page.locator(".tasks a")).to_have_count(0)
    page.get_by_role("link", name="Clear", exact=True).click()
    page.wait_for_url("**?completed=true")
    expect(search).to_have_value("")
    search.fill("Bread")
    search.press("Enter")
    page.wait_for_url("**search=Bread")
    page.goto(path(user))
    expect(search).to_have_value("")
    expect(title).to_have_value("Butter")


@pytest.mark.promise("P-100")
def test_a_form_that_is_as_it_was_is_not_said_to_be_back(page: Page, user: User) -> None:
    enter(page, user)
    form = page.locator("#fields")
    title = form.locator("[name=title]")

    def assert_nothing_is_back() -> None:
        page.reload()
        expect(page.get_by_role("button", name="Add")).to_be_enabled()
        expect(page.get_by_text("What you typed here before is back.").first).to_be_hidden()

    title.fill("Milk")
    title.fill("")
    assert_nothing_is_back()
    title.press("Enter")
    expect(form.locator(".field-error")).to_be_visible()
    assert_nothing_is_back()

    # What was refused is not stored, so that it stays when a change to it is taken back.
    title.fill("x" * 201)
    title.press("Enter")
    expect(form.locator(".field-error")).to_be_visible()
    title.press("End")
    title.press("y")
    title.press("Backspace")
    page.reload()
    expect(title).to_have_value("x" * 201)


@pytest.mark.promise("P-89")
def test_a_slow_double_click_presses_once(page: Page, user: User) -> None:
    """The answer to the first click is there before the second, and something else has come to its place."""
    for title in ("Milk", "Bread", "Butter"):
        create(user, title)
    enter(page, user, "?completed=false&ordering=title")

    def double_click(button: Locator, shown: Locator) -> None:
        button.hover()
        for count in (1, 2):
            page.mouse.down(click_count=count)
            page.mouse.up(click_count=count)
            expect(shown).to_be_visible()

    # The message of an earlier write is there already, so that nothing moves.
    page.get_by_role("button", name="Complete “Bread”").click()
    expect(page.locator(".tasks li")).to_have_count(2)
    double_click(page.get_by_role("button", name="Complete “Butter”"), page.locator(".tasks li:only-child"))
    expect(page.get_by_role("button", name="Complete “Milk”")).to_be_enabled()
    assert {task["title"]: task["completed"] for task in listed(user)} == {"Milk": False, "Bread": True, "Butter": True}
    page.locator("#fields [name=title]").fill("Jam")
    double_click(page.get_by_role("button", name="Add"), page.get_by_role("link", name="Jam"))
    page.get_by_role("button", name="Complete “Milk”").click()
    expect(page.get_by_role("button", name="Reopen “Milk”")).to_be_visible()
    expect(page.locator(".tasks a")).to_have_text(["Jam", "Butter", "Bread", "Milk"])
    expect(page.locator(".field-error")).to_have_count(0)


@pytest.mark.promise("P-90")
def test_going_back_shows_the_tasks_as_they_are_now(page: Page, user: User) -> None:
    create(user, "Milk")
    enter(page, user)
    page.locator("#fields [name=title]").fill("Typed")
    page.get_by_role("link", name="Milk").click()
    page.get_by_role("button", name="Complete").click()
    expect(page.get_by_role("status")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Reopen “Milk”")).to_be_enabled()
    expect(page.locator("#fields [name=title]")).to_have_value("Typed")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Your token")).to_be_visible()


@pytest.mark.promise("P-101")
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
def test_the_header_says_until_when_the_sign_in_lasts(browser: Browser, live: Live, user: User, zone: str) -> None:
    ends = int(time.time()) + 900
    shown: dict[bool, str] = {}
    for script in (True, False):
        context = browser.new_context(base_url=live.url, timezone_id=zone, locale="en-GB", java_script_enabled=script)
        page = context.new_page()
        enter(page, user, exp=ends)
        shown[script] = page.locator("header time").inner_text()
        context.close()
    assert shown[False] == f"{datetime.fromtimestamp(ends, UTC):%-d %b %Y, %H:%M} UTC"
    assert shown[True].endswith(f"{datetime.fromtimestamp(ends, ZoneInfo(zone)):%H:%M}")


def test_a_task_that_is_not_there_and_a_wrong_method_lead_on(page: Page, user: User) -> None:
    task = create(user, "Milk")
    one = open_task(page, user, task)
    shown = page.goto(f"{path(user)}/999999")
    assert shown is not None
    assert shown.status == 404
    expect(page.locator("#fields, #raw, main button")).to_have_count(0)
    page.get_by_role("link", name="Your tasks").click()
    expect(page.get_by_role("link", name="Milk")).to_be_visible()
    shown = page.goto(f"{one}/complete")
    assert shown is not None
    assert shown.status == 405
    expect(page.get_by_role("alert")).to_contain_text("GET is not for this address, which takes only PATCH")
    page.get_by_role("link", name="The task").click()
    expect(page.get_by_role("heading", name="Milk")).to_be_visible()


def test_a_query_that_was_refused_can_be_corrected(page: Page, user: User) -> None:
    create(user, "Milk")
    enter(page, user, f"?search={'x' * 201}")
    expect(page.get_by_role("alert")).to_contain_text("search has at most 200 characters")
    search = page.get_by_role("searchbox")
    expect(search).to_have_value("x" * 201)
    search.fill("milk")
    search.press("Enter")
    expect(page.get_by_role("link", name="Milk")).to_be_visible()


@pytest.mark.promise("P-102")
def test_the_keyboard_alone_does_the_job(page: Page, user: User) -> None:
    page.goto(path(user))
    expect(page.get_by_label("Your token")).to_be_focused()
    page.keyboard.type(user.token)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{path(user)}")

    def tab_to(name: str, role: str = "button", back: bool = False) -> None:
        wanted = page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
        for _ in range(40):
            page.keyboard.press("Shift+Tab" if back else "Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                outline = wanted.evaluate("element => getComputedStyle(element).outlineStyle")
                assert outline != "none", f"The focus on {name} is not seen."
                return
        raise AssertionError(f"No Tab reaches {name}.")

    tab_to("Title", "textbox")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Title")).to_be_focused()  # The first error.
    expect(page.locator("#fields .field-error")).to_have_text("This field may not be blank.")
    for title in ["Milk", "Bread"]:
        page.keyboard.type(title)
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name=title)).to_be_visible()
        expect(page.get_by_role("textbox", name="Title")).to_be_focused()
    tab_to("Complete “Bread”")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Reopen “Bread”")).to_be_focused()
    tab_to("Milk", "link")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Milk")).to_be_visible()
    tab_to("Description", "textbox")
    page.keyboard.type("Two litres")
    tab_to("Save")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The task was saved.")
    expect(page.get_by_role("button", name="Save")).to_be_focused()
    page.once("dialog", lambda dialog: dialog.accept())
    tab_to("Delete", back=True)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The task was deleted.")
    assert [(task["title"], task["completed"]) for task in listed(user)] == [("Bread", True)]
    tab_to("Sign out", back=True)
    page.keyboard.press("Enter")
    page.wait_for_url("**/")
