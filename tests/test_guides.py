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

# Milliseconds. A development server compiles a page at its first request.
COMPILING = 60_000
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "CI": "true"}


def serve(command: str, port: int, folder: Path, log_file: Path) -> subprocess.Popen[bytes]:
    """Start one of a guide's servers, and wait until it listens."""
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            ["sh", "-c", command], cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
        )
    ends = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        assert process.poll() is None and time.monotonic() < ends, log_file.read_text()
        time.sleep(0.1)


def run(commands: str, folder: Path, note: Path) -> Path:
    """Run a block, and return the folder in which it left the shell."""
    script = ["bash", "-euc", f"{commands}\npwd > {note}"]
    done = subprocess.run(script, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return Path(note.read_text().strip())


@contextmanager
def followed(guide: str, folder: Path, api: Live, ports: dict[int, int]) -> Iterator[None]:
    """Work through a guide, with these ports instead of its own; the last one is that of the web pages.

    The live service replaces the one that `make run` starts. The folder `todo` has the files that the guides use.
    """
    (folder / "todo").mkdir()
    (folder / "todo" / "examples").symlink_to(ROOT / "examples")
    (folder / "todo" / ".env").write_text(f"BETTER_AUTH_SECRET={api.variables['BETTER_AUTH_SECRET']}\n")
    servers: list[subprocess.Popen[bytes]] = []
    place, pages = folder, list(ports.values())[-1]
    try:
        for block in blocks(guide):
            text = block.text.replace("127.0.0.1:8000", f"{api.host}:{api.port}")
            for shown, port in ports.items():
                text = re.sub(rf"\b{shown}\b", str(port), text)
            if block.info in {"ts", "tsx", "js"}:
                file = place / text.partition("\n")[0].removeprefix("// ")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text + "\n")
            elif text == "npm run dev":
                servers.append(serve(f"{text} -- --port {pages}", pages, place, folder / "server.log"))
            elif text.startswith("node "):
                servers.append(serve(text, ports[3000], place, folder / "server.log"))
            elif block.info == "sh" and not text.endswith("make run"):
                place = run(text, place, folder / "place")
        yield
    finally:
        for process in servers:
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
