"""The tasks as a person meets them in a browser: with a mouse, with the keyboard alone, on a phone, in the dark."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from conftest import sign
from tests.chromium import shot
from tests.live import Live, User
from tests.test_browser import SCRIPT, create, path, sign_in
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


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_in_every_state_is_accessible_and_fits(page: Page, user: User, scheme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    taken = 0

    def look(name: str) -> None:
        nonlocal taken
        taken += 1
        shot(page, f"{taken:02}-{name}-{scheme}-{width}")
        assert_fits(page)
        assert_accessible(page)
        dark = page.evaluate(
            "matchMedia('(prefers-color-scheme: dark)').matches && getComputedStyle(document.documentElement).colorScheme"
        )
        assert dark == ("light dark" if scheme == "dark" else False)

    page.goto("/")
    look("start")
    page.goto(path(user))
    look("signed-out")
    sign_in(page, user.token)
    look("empty")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#fields [name=title]")).to_be_focused()
    look("error")
    tasks = [create(user, title) for title in ["Buy milk", "Call the dentist about the appointment in March", "Read"]]
    user.request("PATCH", f"{path(user)}/{tasks[2]['id']}/complete", {"completed": True})
    page.goto(path(user))
    look("three")
    page.locator("#fields [name=title]").fill("Water the plants")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("The task was created.")
    look("created")
    page.get_by_text("For developers").click()
    page.get_by_text("Order:").click()
    look("developers")
    page.goto(f"{path(user)}?search=nothing&completed=false")
    look("no-hit")
    page.goto(f"{path(user)}?ordering=sideways&search=milk")
    look("refused-query")
    for title in HOSTILE:
        create(user, title, description=title)
    page.goto(path(user))
    look("hostile")
    page.get_by_role("link", name="WWWW").click()
    look("hostile-task")

    one = f"{path(user)}/{tasks[0]['id']}"
    page.goto(one)
    look("task")
    page.locator("#fields [name=title]").fill("Mine")
    page.locator("#fields [name=description]").fill("What I typed")
    user.request("PUT", one, {"title": "Theirs", "description": "What they typed\non two lines"})
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="Title")).to_be_visible()
    look("conflict")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("The task was saved.")
    look("saved")
    page.locator("#fields [name=title]").fill("Typed while the sign-in ended")
    cookies = page.context.cookies()
    page.context.clear_cookies(name=SIGN_IN_COOKIE)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("401 Unauthorized")
    look("expired")
    page.context.add_cookies(cookies)
    page.goto(one)
    look("restored")
    page.goto(f"{path(user)}/999999")
    look("404")
    page.goto(f"{one}/complete")
    look("405")
    page.goto("/api/somebody-else/tasks")
    look("403")
    for number in range(150):
        create(user, f"Task {number}", completed=number % 3 == 0)
    page.goto(path(user))
    look("many")
