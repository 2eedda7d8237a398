"""The pages as a person sees them, in a real Chromium. Screenshots are kept in a folder the run names."""

import re
import time
from urllib.parse import quote, urlsplit

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Locator, Page, expect

from conftest import sign
from tests.chromium import SHOTS, shot
from tests.live import Live, User, manage
from todo_project.authentication import SIGN_IN_COOKIE

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery staple"
SCRIPT = "<script>document.title = 'taken over'</script>"


@pytest.fixture
def user(live: Live) -> User:
    """Somebody whose id must be quoted in addresses."""
    return User(live, f"auth0|{time.time_ns()} ü?#%")


def path(user: User) -> str:
    return f"/api/{quote(user.subject, safe='')}/tasks"


def listed(user: User) -> list[dict[str, object]]:
    answer = user.request("GET", path(user))
    assert answer.status == 200
    tasks: list[dict[str, object]] = answer.json()
    return tasks


def create(user: User, title: str, **members: object) -> dict[str, object]:
    answer = user.request("POST", path(user), {"title": title, **members})
    assert answer.status == 201
    task: dict[str, object] = answer.json()
    return task


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Your token").fill(token)
    page.get_by_role("button", name="Sign in").click()


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
    form = page.locator("#post-object-form")
    form.locator("[name=title]").fill("   ")
    form.get_by_role("button", name="POST").click()
    expect(form.locator(".has-error", has=page.locator("[name=title]"))).to_contain_text("may not be blank")
    shot(page, "blank-title")
    assert listed(user) == []

    form.locator("[name=title]").fill("Milk")
    form.locator("[name=description]").fill("Two litres")
    form.get_by_role("button", name="POST").click()
    expect(page.get_by_role("status")).to_have_text("The task was created.")
    shot(page, "created")
    (task,) = listed(user)
    assert (task["title"], task["description"], task["completed"]) == ("Milk", "Two litres", False)
    assert urlsplit(page.url).path == f"{path(user)}/{task['id']}"

    page.goto(path(user))
    page.get_by_role("link", name="Milk").click()
    expect(page.get_by_role("heading", name=f"Task {task['id']}")).to_be_visible()
    shot(page, "task")
    form = page.locator("#put-object-form")
    expect(form.locator("[name=title]")).to_have_value("Milk")
    expect(form.locator("[name=description]")).to_have_value("Two litres")
    expect(form.locator("[name=completed]")).not_to_be_checked()
    form.locator("[name=title]").fill("Oat milk")
    form.get_by_role("button", name="PUT").click()
    expect(page.locator(".response-info")).to_contain_text('"title": "Oat milk"')
    (task,) = listed(user)
    assert (task["title"], task["description"], task["completed"]) == ("Oat milk", "Two litres", False)

    form.locator("[name=title]").fill("")
    form.get_by_role("button", name="PUT").click()
    expect(form.locator(".has-error", has=page.locator("[name=title]"))).to_contain_text("may not be blank")
    assert listed(user) == [task]

    # The button works on the page that the form left, and on the page as it was loaded.
    form.locator("[name=title]").fill("Oat milk")
    form.get_by_role("button", name="PUT").click()
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
    page.get_by_role("button", name="DELETE").click()
    expect(page.get_by_role("heading", name=f"Task {task['id']}")).to_be_visible()
    assert "Oat milk" in asked[0]
    assert len(listed(user)) == 1
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="DELETE").click()
    expect(page.get_by_role("status")).to_have_text("The task was deleted.")
    assert urlsplit(page.url).path == path(user)
    shot(page, "deleted")
    assert listed(user) == []

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.goto(path(user))
    assert urlsplit(page.url).path == "/login"


def open_raw_data(page: Page) -> None:
    # The page's script shows a tab once it has loaded, and would turn away from one that was chosen before.
    page.wait_for_load_state("load")
    page.get_by_role("link", name="Raw data").click()


def test_raw_json_from_the_pages(page: Page, user: User) -> None:
    page.goto(f"/login?next={quote(path(user))}")
    sign_in(page, user.token)
    open_raw_data(page)
    form = page.locator("#post-generic-content-form")
    form.locator("[name=_content]").fill('{"title": "Raw", "completed": true}')
    form.get_by_role("button", name="POST").dblclick()
    expect(page.get_by_role("status")).to_have_text("The task was created.")
    (task,) = listed(user)
    assert (task["title"], task["completed"]) == ("Raw", True)

    page.goto(f"{path(user)}/{task['id']}")
    form = page.locator("#put-generic-content-form")
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
    expect(page.get_by_role("button", name="DELETE")).to_be_enabled()
    return one


@pytest.mark.promise("P-88")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_stale_page_overwrites_nothing_and_shows_both_versions(page: Page, user: User, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    task = create(user, "Milk", description="Two litres\nof it")
    one = open_task(page, user, task)
    form = page.locator("#put-object-form")
    form.locator("[name=description]").fill("\nThree\nlitres")
    user.request("PUT", one, {"title": "Oat milk", "description": "Four\rlitres", "completed": True})
    before = listed(user)
    form.get_by_role("button", name="PUT").click()
    expect(page.get_by_role("alert").filter(has_text="Stored now")).to_contain_text("The task has changed")
    expect(page.get_by_role("row", name="Description")).to_contain_text("Four litres Three litres", use_inner_text=True)
    shot(page, f"conflict-{width}")
    assert listed(user) == before
    assert urlsplit(page.url).path == one
    expect(form.locator("[name=title]")).to_have_value("Oat milk")
    expect(form.locator("[name=description]")).to_have_value("\nThree\nlitres")
    expect(form.locator("[name=completed]")).to_be_checked()
    form.get_by_role("button", name="PUT").click()
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
    page.get_by_role("button", name="DELETE").click()
    expect(page.get_by_role("alert").filter(has_text="The task has changed")).to_be_visible()
    shot(page, f"stale-delete-{width}")
    assert len(listed(user)) == 1
    page.get_by_role("button", name="DELETE").click()
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
    form = page.locator("#put-object-form")

    def put(form: Locator) -> None:
        with page.expect_response(lambda answer: answer.request.method == "PUT") as answered:
            form.get_by_role("button", name="PUT").click()
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
        put(page.locator("#put-generic-content-form"))
        (now,) = listed(user)
        assert {name: now[name] for name in stored} == stored
        page.get_by_role("link", name="HTML form").click()
        # What is typed has the line breaks that were typed, the first one too.
        form.locator("[name=description]").fill(f"\n\n{number}\n")
        put(form)
        expect(form.locator("[name=description]")).to_have_value(f"\n\n{number}\n")
        assert listed(user)[0]["description"] == f"\n\n{number}\n"


@pytest.mark.promise("P-89")
def test_a_second_press_and_a_reload_create_nothing_twice(page: Page, user: User) -> None:
    page.goto(path(user))
    sign_in(page, user.token)
    form = page.locator("#post-object-form")
    form.locator("[name=title]").fill("Milk")
    form.get_by_role("button", name="POST").dblclick()
    expect(page.get_by_role("status")).to_have_text("The task was created.")
    page.reload()
    expect(page.get_by_role("button", name="Complete")).to_be_enabled()
    assert [task["title"] for task in listed(user)] == ["Milk"]

    # Back on the form: another task is another one, at the second press if the page is the one that was sent.
    page.go_back()
    form.locator("[name=title]").fill("Tea")
    form.locator("[name=description]").fill("\nGreen")
    form.get_by_role("button", name="POST").click()
    if page.get_by_role("alert").count():
        expect(page.get_by_role("alert").filter(has_text="has created a task already")).to_be_visible()
        expect(form.locator("[name=description]")).to_have_value("\nGreen")
        form.get_by_role("button", name="POST").click()
    expect(page.get_by_role("status")).to_have_text("The task was created.")
    assert [(task["title"], task["description"]) for task in listed(user)] == [("Tea", "\nGreen"), ("Milk", None)]


@pytest.mark.promise("P-90")
def test_an_answer_that_is_no_success_is_shown_and_what_was_typed_stays(page: Page, user: User) -> None:
    task = create(user, "Milk")
    one = open_task(page, user, task)
    form, alert = page.locator("#put-object-form"), page.locator("#problem")
    form.locator("[name=description]").fill("typed")
    buttons = [form.get_by_role("button", name="PUT"), page.get_by_role("button", name="Complete")]

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
    form = page.locator("#post-object-form")
    form.locator("[name=title]").fill("Milk")
    form.locator("[name=description]").fill("\nTwo\nlitres")
    form.get_by_role("button", name="POST").click()
    expect(page.get_by_role("status")).to_have_text("The task was created.")
    expect(page.locator("noscript p")).to_be_visible()
    shot(page, "without-script")
    before = listed(user)
    assert [(task["title"], task["description"]) for task in before] == [("Milk", "\nTwo\nlitres")]
    for name in ["PUT", "DELETE", "Complete"]:
        expect(page.get_by_role("button", name=name, exact=True)).to_be_disabled()
    at = page.url
    page.locator("#put-object-form [name=title]").press("Enter")
    assert page.url == at
    assert listed(user) == before
    context.close()


def test_the_keyboard_writes_as_the_mouse_does(page: Page, user: User) -> None:
    task = create(user, "Milk", description="\rTwo litres")
    one = open_task(page, user, task)
    title = page.locator("#put-object-form [name=title]")
    title.fill("Oat milk")
    title.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The task was saved.")
    page.get_by_role("button", name="Complete").press("Space")
    expect(page.get_by_role("status")).to_have_text("The task is completed.")
    (now,) = listed(user)
    assert (now["title"], now["description"], now["completed"]) == ("Oat milk", "\rTwo litres", True)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="DELETE").press("Enter")
    expect(page.get_by_role("status")).to_have_text("The task was deleted.")
    assert user.request("GET", one).status == 404


def test_filters_search_order_and_pages(page: Page, user: User) -> None:
    for number in range(5):
        create(user, f"Task {number}", completed=number % 2 == 0)
    page.goto(f"{path(user)}?limit=2")
    sign_in(page, user.token)

    def titles() -> list[str]:
        return [title for title in page.locator("#content li a").all_inner_texts() if title.startswith("Task ")]

    def choose(name: str) -> None:
        page.get_by_role("button", name="Filters").click()
        expect(page.locator("#filtersModal.in .modal-content")).to_be_visible()
        shot(page, "filters")
        page.locator("#filtersModal").get_by_text(name, exact=True).click()

    assert titles() == ["Task 4", "Task 3"]
    page.get_by_role("link", name="Next page").click()
    assert titles() == ["Task 2", "Task 1"]
    page.get_by_role("link", name="Next page").click()
    assert titles() == ["Task 0"]
    expect(page.get_by_role("link", name="Next page")).to_have_count(0)

    choose("title")
    assert titles() == ["Task 0", "Task 1"]
    choose("completed")
    assert titles() == ["Task 0", "Task 2"]
    page.get_by_role("link", name="Next page").click()
    assert titles() == ["Task 4"]

    page.get_by_role("button", name="Filters").click()
    page.locator("#filtersModal [name=search]").fill("sk 2")
    page.locator("#filtersModal").get_by_text("Search").last.click()
    assert titles() == ["Task 2"]
    shot(page, "searched")


def test_sign_in_leads_back_to_the_page_that_was_asked_for(page: Page, user: User) -> None:
    task = create(user, "Milk")
    page.goto(f"{path(user)}/{task['id']}?x=1&y=2")
    assert urlsplit(page.url).path == "/login"
    sign_in(page, "nonsense")
    expect(page.get_by_role("alert")).to_be_visible()
    shot(page, "sign-in-refused")
    sign_in(page, user.token)
    page.wait_for_url(f"**{path(user)}/{task['id']}?x=1&y=2")


def test_a_sign_in_ends_with_its_token(page: Page, user: User) -> None:
    now = int(time.time())
    page.goto(path(user))
    sign_in(page, sign(user.subject, iat=now - 60, exp=now + 4))
    expect(page.get_by_role("heading", name="Tasks")).to_be_visible()
    page.wait_for_timeout(max(0.0, now + 5.5 - time.time()) * 1000)
    page.goto(path(user))
    assert urlsplit(page.url).path == "/login"
    assert page.context.cookies() == [
        cookie for cookie in page.context.cookies() if cookie["name"] == settings.CSRF_COOKIE_NAME
    ]


def test_the_page_of_another_user_is_403(page: Page, user: User) -> None:
    page.goto(path(user))
    sign_in(page, user.token)
    shown = page.goto("/api/somebody-else/tasks")
    assert shown is not None
    assert shown.status == 403
    expect(page.locator("body")).to_contain_text("This path belongs to another user.")
    shot(page, "another-user")
    shown = page.goto("/nothing-here")
    assert shown is not None
    assert shown.status == 404
    expect(page.get_by_role("heading", name="404 Not Found")).to_be_visible()
    shot(page, "not-found")


def test_stored_text_is_shown_and_never_run(page: Page, user: User) -> None:
    task = create(user, f"{SCRIPT} " + "x" * 150, description=f"</textarea>{SCRIPT}")
    page.goto(path(user))
    sign_in(page, user.token)
    for address in [path(user), f"{path(user)}/{task['id']}", f"{path(user)}?search={quote(SCRIPT)}"]:
        page.goto(address)
        expect(page.locator(".response-info")).to_contain_text(SCRIPT)
        assert page.title() != "taken over"
    shot(page, "escaped")


@pytest.mark.promise("P-52")
def test_the_documentation_can_be_tried(page: Page, user: User) -> None:
    page.goto("/docs")
    expect(page.locator(".opblock")).to_have_count(6)
    shot(page, "docs")
    page.get_by_role("button", name="Authorize").click()
    page.locator(".auth-container input").fill(user.token)
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Apply credentials").click()
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Close").click()

    created = page.locator("#operations-tasks-task_create")
    created.locator(".opblock-summary-control").click()
    created.get_by_role("button", name="Try it out").click()
    created.locator("tr[data-param-name=user_id] input").fill(user.subject)
    created.locator(".body-param textarea").fill('{"title": "From the documentation"}')
    created.get_by_role("button", name="Execute").click()
    expect(created.locator(".live-responses-table .response .response-col_status")).to_contain_text("201")
    page.screenshot(path=SHOTS / "docs-tried.png")
    assert [task["title"] for task in listed(user)] == ["From the documentation"]


@pytest.fixture(scope="session")
def operator(live: Live) -> str:
    """The name of somebody who may use the admin."""
    manage(
        {
            **live.variables,
            "DJANGO_SUPERUSER_USERNAME": "operator",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "DJANGO_SUPERUSER_EMAIL": "operator@example.com",
        },
        "createsuperuser",
        "--noinput",
    )
    return "operator"


def sign_in_operator(page: Page, operator: str, address: str = "/admin/tasks/task/") -> None:
    page.goto(address)
    assert urlsplit(page.url).path == "/admin/login/"
    page.get_by_label("Username").fill(operator)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def test_an_operator_uses_the_admin(page: Page, user: User, operator: str) -> None:
    tasks = [create(user, title) for title in ["First", "Second", SCRIPT]]
    other = User(user.live)
    other.create("Somebody else's")

    # A token that signs in to the pages is nothing to the admin.
    page.goto("/login")
    sign_in(page, user.token)
    sign_in_operator(page, operator)
    expect(page.get_by_role("heading", name="this page is not scoped by owner")).to_be_visible()
    shot(page, "admin-list")
    rows = page.locator("#result_list tbody tr")

    def search(term: str) -> None:
        page.locator("#searchbar").fill(term)
        page.get_by_role("button", name="Search").click()

    search("else's")
    expect(rows.filter(has_text=other.subject)).to_have_count(1)
    search(user.subject)
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text=SCRIPT)).to_have_count(1)

    for action, said, completed in [
        ("Complete the selected tasks", "3 tasks completed.", True),
        ("Reopen the selected tasks", "3 tasks reopened.", False),
    ]:
        page.locator("#action-toggle").check()
        page.get_by_label("Action:").select_option(label=action)
        page.get_by_role("button", name="Go", exact=True).click()
        expect(page.locator(".messagelist")).to_contain_text(said)
        assert {task["completed"] for task in listed(user)} == {completed}
        expect(rows).to_have_count(3)
    shot(page, "admin-acted")

    page.locator("#changelist-filter").get_by_role("link", name="Yes").click()
    expect(rows).to_have_count(0)

    page.goto(f"/admin/tasks/task/{tasks[0]['id']}/change/")
    assert page.locator("[name=user_id]").count() == 0
    page.locator("[name=title]").fill("First, changed")
    shot(page, "admin-edit")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    (changed,) = [task for task in listed(user) if task["id"] == tasks[0]["id"]]
    assert changed["title"] == "First, changed"
    assert str(changed["updated_at"]) > str(tasks[0]["updated_at"])

    page.goto("/admin/tasks/task/add/")
    page.locator("[name=user_id]").fill(user.subject)
    page.locator("[name=title]").fill("Added by the operator")
    shot(page, "admin-add")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was added successfully")
    assert len(listed(user)) == 4

    # Nor does the operator's cookie open a user's tasks.
    page.context.clear_cookies(name="todo_sign_in")
    page.goto(path(user))
    assert re.match("/login", urlsplit(page.url).path)


TEXTS = [
    *(None, "", " \r one\r\ntwo\rthree\nfour \t", "\nfirst", "\r\n\r\nfirst", "\r" * 5000, "\n" * 5000, "😀" * 5000),
    *("\x01\x0b\x0c\x7f\u0085\u2028\ufffe", "</textarea>&amp;&#13;\"'"),
]


def test_the_admins_form_leaves_text_that_was_not_changed_as_it_is(page: Page, user: User, operator: str) -> None:
    tasks = [create(user, f"Milk\r\nBread\r{number}", description=text) for number, text in enumerate(TEXTS)]
    sign_in_operator(page, operator)
    for task in tasks:
        page.goto(f"/admin/tasks/task/{task['id']}/change/")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    unchanged = {task["id"]: task for task in listed(user)}
    assert unchanged == {task["id"]: task for task in tasks}  # Nor did a tag move.

    for task in tasks:
        page.goto(f"/admin/tasks/task/{task['id']}/change/")
        page.get_by_label("Completed").check()
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    for task in listed(user):
        assert task == {**unchanged[task["id"]], "completed": True, "updated_at": task["updated_at"]}

    page.goto(f"/admin/tasks/task/{tasks[0]['id']}/change/")
    page.get_by_label("Description").fill("\none\ntwo\n")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    (changed,) = [task for task in listed(user) if task["id"] == tasks[0]["id"]]
    assert (changed["title"], changed["description"]) == (tasks[0]["title"], "\none\ntwo\n")


@pytest.mark.promise("P-91")
def test_the_admins_form_loses_nothing_that_a_user_wrote_meanwhile(page: Page, user: User, operator: str) -> None:
    task = create(user, "Milk", description="Two litres")
    address = f"{path(user)}/{task['id']}"
    sign_in_operator(page, operator, f"/admin/tasks/task/{task['id']}/change/")
    save = page.get_by_role("button", name="Save", exact=True)

    user.request("PUT", address, {"title": "Theirs", "description": "Theirs\ntoo"})
    page.get_by_label("Completed").check()
    save.click()
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    (now,) = listed(user)
    assert (now["title"], now["description"], now["completed"]) == ("Theirs", "Theirs\ntoo", True)

    page.goto(f"/admin/tasks/task/{task['id']}/change/")
    page.get_by_label("Description").fill("Mine")
    user.request("PUT", address, {"title": "Theirs", "description": "Newer\n<b>"})
    save.click()
    expect(page.locator(".errorlist")).to_have_text(re.compile(r"It is now:\s*Newer\s*<b>\s*Save again"))
    expect(page.get_by_label("Description")).to_have_value("Mine")
    shot(page, "admin-conflict")
    assert listed(user)[0]["description"] == "Newer\n<b>"
    save.click()
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    assert listed(user)[0]["description"] == "Mine"

    # Who goes back to a form finds it as it was, or as the task is now: never one beside the other.
    page.goto(f"/admin/tasks/task/{task['id']}/change/")
    page.get_by_label("Description").fill("Typed before")
    page.goto("/admin/")
    user.request("PUT", address, {"title": "Theirs", "description": "Newest"})
    page.go_back()
    save.click()
    assert listed(user)[0]["description"] == "Newest"


@pytest.mark.parametrize("script", [True, False])
def test_select_all_is_used_by_keyboard_and_without_script(
    browser: Browser, live: Live, user: User, operator: str, script: bool
) -> None:
    for number in range(60):
        create(user, f"Task {number}")
    other = User(live)
    other.create("Somebody else's")
    context = browser.new_context(base_url=live.url, java_script_enabled=script)
    context.set_default_timeout(10_000)
    page = context.new_page()
    sign_in_operator(page, operator)

    def ask(action: str) -> None:
        page.goto(f"/admin/tasks/task/?q={quote(user.subject)}")
        if script:
            page.locator("#action-toggle").press("Space")
            page.get_by_role("button", name="Select all 60 tasks").press("Enter")
            expect(page.locator(".actions .all")).to_have_text("All 60 selected")
        else:
            page.get_by_label("Select all 60 tasks").press("Space")
        page.get_by_label("Action:").press(action)
        page.get_by_role("button", name="Go", exact=True).press("Enter")

    for action, done in [("C", "completed"), ("D", "deleted")]:
        ask(action)
        expect(page.locator("#content")).to_contain_text(f"60 tasks will be {done}.")
        shot(page, f"admin-question-{done}")
        page.get_by_role("link", name="No, take me back").press("Enter")
        expect(page.locator("#result_list tbody tr")).to_have_count(50)
        ask(action)
        page.get_by_role("button", name="Yes").press("Enter")
        expect(page.locator(".messagelist")).to_contain_text(f"60 tasks {done}.")
    context.close()
    assert listed(user) == []
    assert [task["completed"] for task in other.list()] == [False]
