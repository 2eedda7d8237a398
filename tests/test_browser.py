"""The pages as a person sees them, in a real Chromium. Screenshots are kept in a folder the run names."""

import re
import time
from urllib.parse import quote, urlsplit

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, expect

from conftest import sign
from tests.chromium import SHOTS, shot
from tests.live import Live, User, manage

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
    with page.expect_navigation():
        page.get_by_role("button", name="Sign in").click()


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
    sign_in(page, sign(user.subject, iat=now - 60, exp=now + 10))
    expect(page.get_by_role("heading", name="Tasks")).to_be_visible()
    page.wait_for_timeout(max(0.0, now + 11.5 - time.time()) * 1000)
    page.goto(path(user))
    assert urlsplit(page.url).path == "/login"
    assert page.context.cookies() == [
        cookie for cookie in page.context.cookies() if cookie["name"] == settings.CSRF_COOKIE_NAME
    ]


@pytest.mark.promise("P-52")
def test_the_documentation_can_be_tried(page: Page, user: User) -> None:
    page.goto("/docs")
    expect(page.locator(".opblock")).to_have_count(6)
    shot(page, "docs")
    page.get_by_role("button", name="Authorize").click()
    page.locator(".auth-container input").fill(user.token)
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Authorize").click()
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
    with page.expect_navigation():
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
        page.wait_for_load_state()  # Then its script is there.
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
    expect(page.locator(".messagelist, .errorlist").first).to_be_visible()
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
