"""The guides for Vite and Next.js, followed to the letter in an empty folder, end with a list in a real Chromium."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.better_auth.client import why_unavailable
from tests.live import ROOT, Live, end_group, live
from tests.postgres import free_port
from tests.test_documents import blocks

MISSING = why_unavailable()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(MISSING is not None, reason=f"The guides were not followed: {MISSING}."),
]

COMPILING = (
    60_000  # A development server compiles a page when it is first asked for, and milliseconds are no matter here.
)
SERVERS = ("node ", "npm run dev")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def followed(page: str, folder: Path, api: Live, ports: dict[int, int]) -> Iterator[None]:
    """Work through a guide in an empty folder, with these ports in place of its own.

    `make run` is left to the caller, whose service stands in for the one that it starts.
    """
    started: list[subprocess.Popen[bytes]] = []
    environment = {name: os.environ[name] for name in ("PATH", "HOME")} | {"CI": "true"}
    # What the guides take from the project's folder.
    (folder / "todo").mkdir()
    (folder / "todo" / "examples").symlink_to(ROOT / "examples")
    (folder / "todo" / ".env").write_text(f"BETTER_AUTH_SECRET={api.variables['BETTER_AUTH_SECRET']}\n")
    place = folder
    try:
        for block in blocks(page):
            text = block.text.replace("127.0.0.1:8000", f"{api.host}:{api.port}")
            for shown, port in ports.items():
                text = re.sub(rf"\b{shown}\b", str(port), text)
            if block.info in {"ts", "tsx", "js"}:
                file = place / text.partition("\n")[0].removeprefix("// ")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text + "\n")
            elif block.info == "sh" and text.startswith(SERVERS):
                # The last of the ports is the pages' own.
                port = list(ports.values())[-1] if text == "npm run dev" else ports[3000]
                if text == "npm run dev":
                    text += f" -- --port {port}"
                with (folder / "server.log").open("ab") as log:
                    started.append(
                        subprocess.Popen(
                            ["sh", "-c", text],
                            cwd=place,
                            env=environment,
                            stdout=log,
                            stderr=log,
                            start_new_session=True,
                        )
                    )
                ends = time.monotonic() + 30
                while not listens(port):
                    assert started[-1].poll() is None and time.monotonic() < ends, (folder / "server.log").read_text()
                    time.sleep(0.1)
            elif block.info == "sh" and not text.endswith("make run"):
                done = subprocess.run(
                    ["bash", "-euc", f"{text}\npwd > {folder}/pwd"],
                    cwd=place,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=300,
                )
                assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
                place = Path((folder / "pwd").read_text().strip())  # as `cd` has left it
        yield
    finally:
        for process in started:
            end_group(process.pid)
            process.wait()


@pytest.mark.promise("P-60")
@pytest.mark.parametrize(
    ("guide", "shown", "pages"),
    [("docs/vite.md", [3000, 5173], ["/"]), ("docs/nextjs.md", [3000], ["/server", "/"])],
)
def test_a_guide_followed_to_the_letter_ends_with_a_list(
    browser: Browser, tmp_path: Path, guide: str, shown: list[int], pages: list[str]
) -> None:
    ports = {port: free_port() for port in shown}
    address = f"http://localhost:{ports[shown[-1]]}"
    variables = {"BETTER_AUTH_URL": f"http://localhost:{ports[3000]}", "CORS_ALLOWED_ORIGINS": address}
    with live(**variables) as service, followed(guide, tmp_path, service, ports):
        context = browser.new_context()
        context.set_default_timeout(COMPILING)
        opened = context.new_page()
        opened.goto(address + pages[0])
        opened.get_by_label("E-mail").fill("ann@example.com")
        opened.get_by_label("Password").fill("correct horse battery")
        opened.get_by_role("button", name="Sign up").click()
        tasks = opened.get_by_role("listitem")
        for title in ("Buy milk", "Call the bank"):
            opened.get_by_label("New task").fill(title)
            opened.get_by_role("button", name="Add").click()
            expect(tasks.filter(has_text=title)).to_be_visible(timeout=COMPILING)
        opened.get_by_label("New task").fill("x" * 201)
        opened.get_by_role("button", name="Add").click()
        expect(opened.get_by_text("title: at most 200 characters.")).to_be_visible(timeout=COMPILING)
        for path in pages:
            opened.goto(address + path)
            expect(tasks).to_have_text(["Call the bank", "Buy milk"], timeout=COMPILING)
        opened.get_by_role("button", name="Sign out").click()
        expect(opened.get_by_label("Password")).to_be_visible(timeout=COMPILING)
        context.close()
