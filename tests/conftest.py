"""The running service, once for all tests of a session; each test brings a user of its own."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.live import Live, User, live

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# What `make browser` installs, and `make test` does not need.
collect_ignore = [] if find_spec("playwright") else ["test_browser.py", "test_frontend.py", "test_guides.py"]


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
