"""Follows a guide of docs/ to the letter: writes the files it shows, runs its commands, leaves its servers running."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live import ROOT, Live, end_group
from tests.test_documents import blocks

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
