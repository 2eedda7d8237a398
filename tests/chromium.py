"""A real Chromium, and pictures of what it shows."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

SHOTS = Path(os.environ.get("SHOTS") or Path(tempfile.gettempdir()) / "todo-screenshots")
FLAGS = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run"]
# Without these it looks for Google's hosts at every start.
FLAGS += ["disable-background-networking", "disable-component-update", "disable-sync"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, and a folder for pictures of what it shows."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "Chromium is not installed: apt-get install chromium"
    SHOTS.mkdir(parents=True, exist_ok=True)
    print(f"Screenshots: {SHOTS}")
    expect.set_options(timeout=20_000)  # Only a failure takes as long, or a machine that has much else to do.
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=[f"--{flag}" for flag in FLAGS])
        yield running
        running.close()


def shot(page: Page, name: str) -> None:
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def let_go(page: Page, waiting: list[Route]) -> None:
    """Send the request that a route holds, once it is there."""
    for _ in range(1000):
        if waiting:
            waiting.pop().continue_()
            return
        page.wait_for_timeout(10)
    raise AssertionError("Nothing was sent.")
