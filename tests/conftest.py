"""The running service, once for all tests of a session; each test brings a user of its own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.live import Live, User, live

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session", name="live")
def running() -> Iterator[Live]:
    with live() as service:
        yield service


@pytest.fixture
def user(live: Live) -> User:
    return User(live)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    from tests.chromium import chromium

    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: "Browser", live: Live) -> Iterator["Page"]:
    """An empty profile. Whatever a script or an asset complains of fails the test, and so does another host."""
    context = browser.new_context(base_url=live.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda sent: hosts.add(urlsplit(sent.url).netloc))
    opened.on(
        "response",
        # The admin's pages name no icon, so that a browser looks for one.
        lambda got: (
            complaints.append(f"{got.status} {got.url}")
            if got.status >= 400
            and got.request.resource_type not in {"document", "xhr", "fetch"}
            and not got.url.endswith("/favicon.ico")
            else None
        ),
    )
    opened.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    hosts: set[str] = set()
    yield opened
    context.close()
    assert complaints == []
    assert hosts <= {f"{live.host}:{live.port}", ""}
