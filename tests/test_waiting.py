"""No request waits for a database without end: PostgreSQL that is stopped, and a network that is gone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.live import Live, User, environment, manage
from tests.postgres import free_port, server

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not os.environ.get("TEST_DATABASE_URL"), reason="SQLite has no server that could be stopped"),
]

TIMEOUT = 2


@contextmanager
def waiting_service(database_url: str, **variables: str) -> Iterator[User]:
    """A user of a service whose requests wait two seconds for this database."""
    service = Live(environment(database_url, DATABASE_TIMEOUT=str(TIMEOUT), WEB_CONCURRENCY="1", **variables))
    manage(service.variables, "migrate", "--noinput")
    service.start()
    try:
        yield User(service)
    finally:
        service.stop(signal.SIGKILL)
        service.log_file.unlink()


def takes(send: Callable[[], object]) -> float:
    started = time.monotonic()
    send()
    return time.monotonic() - started


def assert_bounded(user: User) -> None:
    """Each way that a request has to the database ends in 503 in time, and asks to be sent again."""
    for method, path, body in (
        ("GET", user.tasks, None),  # On a connection that is there; the next ones have to make one.
        ("POST", user.tasks, {"title": "lost"}),
        ("GET", "/readyz", None),
        ("GET", "/admin/login/?next=/admin/", None),
    ):
        started = time.monotonic()
        answer = user.request(method, path, body)
        took = time.monotonic() - started
        assert took < 15
        if path != "/admin/login/?next=/admin/":
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1"), answer.body
    assert user.request("GET", "/healthz").status == 200


@pytest.fixture
def postmaster() -> Iterator[tuple[str, int]]:
    """A PostgreSQL server of the test's own: its address and process id."""
    with server() as url:
        data = parse_qs(urlsplit(url).query)["host"][0]
        yield url, int((Path(data) / "postmaster.pid").read_text().split()[0])


def processes(postmaster: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(postmaster)], capture_output=True, text=True, check=True)
    return [postmaster, *map(int, found.stdout.split())]


@pytest.mark.promise("P-77")
@pytest.mark.parametrize("by_cursor", ["", "true"])
def test_a_postgresql_that_is_stopped_is_503_and_the_next_request_is_served(
    postmaster: tuple[str, int], by_cursor: str
) -> None:
    url, pid = postmaster
    with waiting_service(url, STATEMENTS_BY_CURSOR=by_cursor) as user:
        user.create("Milk")
        for _ in range(8):  # So that each thread has its connection.
            user.list()
        stopped = processes(pid)
        for one in stopped:
            os.kill(one, signal.SIGSTOP)
        try:
            assert_bounded(user)
        finally:
            for one in stopped:
                os.kill(one, signal.SIGCONT)
        assert [task["title"] for task in user.list() if task["title"] != "lost"] == ["Milk"]
        assert user.create("Bread")


@pytest.mark.promise("P-77")
def test_a_command_is_not_bounded(postmaster: tuple[str, int]) -> None:
    """A migration of many rows takes as long as it takes."""
    url, _ = postmaster
    variables = environment(url, DATABASE_TIMEOUT="1")
    slow = "from django.db import connection as c; c.cursor().execute('SELECT pg_sleep(2)'); print('done')"
    assert "done" in manage(variables, "shell", "-c", slow).stdout


# --- A network namespace stands for another machine -----------------------------------------------------------------

FORWARD = """
import socket, sys, threading
def pass_on(a, b):
    while data := a.recv(65536):
        b.sendall(data)
listening = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    client, _ = listening.accept()
    database = socket.socket(socket.AF_UNIX)
    database.connect(sys.argv[3])
    for pair in ((client, database), (database, client)):
        threading.Thread(target=pass_on, args=pair, daemon=True).start()
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The name of a network namespace at 10.213.7.2, whose other side is 10.213.7.1 here."""
    name = f"todo{os.getpid()}"
    if not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("network namespaces need root and iproute2")
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError:
        pytest.skip("this machine gives no network namespaces")
    try:
        ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        ip("addr", "add", "10.213.7.1/30", "dev", f"{name}a")
        ip("link", "set", f"{name}a", "up")
        ip("-n", name, "addr", "add", "10.213.7.2/30", "dev", f"{name}b")
        ip("-n", name, "link", "set", f"{name}b", "up")
        yield name
    finally:
        ip("netns", "del", name)


@pytest.mark.promise("P-77")
def test_a_network_that_is_gone_is_503_and_the_next_request_is_served(
    postmaster: tuple[str, int], elsewhere: str
) -> None:
    url, _ = postmaster
    parts, port = urlsplit(url), free_port()
    socket_path = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
    forward = subprocess.Popen(
        ["ip", "netns", "exec", elsewhere, sys.executable, "-c", FORWARD, "10.213.7.2", str(port), socket_path]
    )
    try:
        time.sleep(0.5)
        with waiting_service(f"postgresql://postgres@10.213.7.2:{port}/{parts.path.strip('/')}") as user:
            user.create("Milk")
            for _ in range(8):
                user.list()
            # The other side keeps its link and loses its address: packets go out, and nothing comes back.
            ip("-n", elsewhere, "addr", "del", "10.213.7.2/30", "dev", f"{elsewhere}b")
            assert_bounded(user)
            ip("-n", elsewhere, "addr", "add", "10.213.7.2/30", "dev", f"{elsewhere}b")
            assert [task["title"] for task in user.list() if task["title"] != "lost"] == ["Milk"]
    finally:
        forward.kill()
        forward.wait()
