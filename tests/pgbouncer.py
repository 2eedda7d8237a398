"""Runs a command with TEST_DATABASE_URL naming PgBouncer in transaction mode, before a real PostgreSQL server.

    python -m tests.pgbouncer python -m pytest tests/test_live.py

Needs the program `pgbouncer`, in any version. From 1.21 on it carries prepared statements, and the command finds
TEST_PREPARED_STATEMENTS=on.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg

from tests.postgres import free_port, server

SETTINGS = """\
[databases]
* = host={socket} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = 20
server_idle_timeout = 1
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
"""
PREPARED = "max_prepared_statements = 100\n"


def describe(program: str) -> tuple[str, bool]:
    """Its name with its version, and whether it carries prepared statements."""
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    major, minor = (int(part) for part in re.findall("[0-9]+", said)[:2])
    carries = (major, minor) >= (1, 21)
    return f"PgBouncer {major}.{minor}, {'with' if carries else 'without'} prepared statements", carries


@contextmanager
def pooler() -> Iterator[dict[str, str]]:
    """The variables that name the pooler and say what it can.

    As root it runs as the user that PostgreSQL runs as, since neither runs as root.
    """
    program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        sys.exit("pgbouncer is not installed.")
    name, carries = describe(program)
    print(name)
    with server() as url:
        folder, port = Path(tempfile.mkdtemp(prefix="todo-pgbouncer-")), free_port()
        host = parse_qs(urlsplit(url).query)["host"][0]
        (folder / "ini").write_text(SETTINGS.format(socket=host, port=port, folder=folder) + PREPARED * carries)
        user = "pgserver" if os.geteuid() == 0 else None
        if user:
            for path in (folder, folder / "ini"):
                shutil.chown(path, user)
        running = subprocess.Popen([program, "-q", str(folder / "ini")], user=user)
        pooled = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        try:
            for _ in range(100):
                try:
                    psycopg.connect(pooled).close()
                    break
                except psycopg.OperationalError:
                    time.sleep(0.1)
            yield {"TEST_DATABASE_URL": pooled, "TEST_PREPARED_STATEMENTS": "on" if carries else ""}
        finally:
            running.terminate()
            running.wait()
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    with pooler() as variables:
        return subprocess.run(sys.argv[1:], check=False, env={**os.environ, **variables}).returncode


if __name__ == "__main__":
    sys.exit(main())
