"""A real Chromium, and pictures of what it shows."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

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
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=[f"--{flag}" for flag in FLAGS])
        yield running
        running.close()


def shot(page: Page, name: str) -> None:
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
