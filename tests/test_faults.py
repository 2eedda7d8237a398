"""The fault table: what becomes of writes under load while the database, a worker, the key server or the network fails.

Writers create tasks with unique titles, some with an `Idempotency-Key`, and each updates a task that nobody else
writes. An answer of 2xx is *acked*; a 4xx, or a connection that was refused, is *rejected*; anything else is *maybe*,
and may take effect at any later time. When the fault is over the table is read past the service. Every acked write
must be there, nothing that was rejected or never tried may be there, and nothing may be there twice.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.live import Answer, Live, User, environment, exchange, serving
from tests.nginx import NGINX, nginx
from tests.postgres import Cluster, free_port
from tests.test_waiting import FORWARD, elsewhere, ip  # noqa: F401
from todo_project.tests.key_server import KeyServer, answer_bytes, answer_json, entry, signed

pytestmark = pytest.mark.faults

TIMEOUT = 2  # DATABASE_TIMEOUT of the service.
WRITERS = 8
PAUSE = 0.02
FINE = {"200", "201", "422"}


class Writer(threading.Thread):
    """One user's client, which sends all the time and remembers what became of each write."""

    def __init__(self, user: User, going: threading.Event, stopping: threading.Event, keeps_alive: bool) -> None:
        super().__init__(daemon=True)
        self.user, self.going, self.stopping, self.keeps_alive = user, going, stopping, keeps_alive
        self.connection: HTTPConnection | None = None
        self.statuses: Counter[str] = Counter()
        self.slowest = 0.0
        self.acked_at: list[float] = []
        # By title, or by the register's value: "acked", "rejected" or "maybe". Titles with a key are sent again.
        self.titles: dict[str, str] = {}
        self.values: dict[int, str] = {}
        self.keyed: list[str] = []
        self.register: dict[str, Any] = self.user.create("register")

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            self.going.wait()
            number += 1
            title = f"{self.user.subject} {number}"
            if number % 10 == 0:
                self.titles[title] = self.send("POST", self.user.tasks, {"title": title, "completed": "a word"})
            elif number % 3 == 0:
                self.values[number] = self.update(number)
            elif number % 3 == 1:
                self.keyed.append(title)
                self.titles[title] = self.create(title, Idempotency_Key=title.replace(" ", "-"))
            else:
                self.titles[title] = self.create(title)
            time.sleep(PAUSE)

    def create(self, title: str, **headers: str) -> str:
        return self.send("POST", self.user.tasks, {"title": title, "description": "x" * 500}, **headers)

    def update(self, value: int) -> str:
        path = f"{self.user.tasks}/{self.register['id']}"
        return self.send("PUT", path, {"title": "register", "description": str(value)})

    def settle(self) -> None:
        """Send again each create with a key whose answer was not seen, as a client with a key does."""
        for title in self.keyed:
            if self.titles[title] != "acked":
                self.titles[title] = self.create(title, Idempotency_Key=title.replace(" ", "-"))
                assert self.titles[title] == "acked", self.statuses
        if self.connection is not None:
            self.connection.close()

    def send(self, method: str, path: str, body: Any, **headers: str) -> str:
        started = time.monotonic()
        try:
            answer = self.exchange(method, path, body, headers)
        except ConnectionRefusedError:
            assert self.connection is not None
            self.connection.close()
            self.statuses["refused"] += 1
            time.sleep(PAUSE)
            return "rejected"
        except (OSError, HTTPException) as error:
            assert self.connection is not None
            self.connection.close()
            self.statuses[type(error).__name__] += 1
            return "maybe"
        finally:
            self.slowest = max(self.slowest, time.monotonic() - started)
        self.statuses[str(answer.status)] += 1
        if answer.status < 300:
            self.acked_at.append(time.monotonic())
            return "acked"
        return "rejected" if answer.status < 500 else "maybe"

    def exchange(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        connection = self.connection = self.connection or self.user.live.connect()
        if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
            connection.close()  # The server hung up before anything was sent: clients then connect anew.
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {self.user.token}", "Content-Type": "application/json"}
        answer = exchange(connection, method, path, json.dumps(body), sent)
        if not self.keeps_alive:
            connection.close()
        return answer


class Load:
    """Writers at work, and the checker of what they leave behind."""

    def __init__(self, fault: str, database: str, users: list[User]) -> None:
        self.fault, self.database = fault, database
        self.going, self.stopping = threading.Event(), threading.Event()
        self.going.set()
        # Every other one keeps its connection alive.
        self.writers = [Writer(user, self.going, self.stopping, number % 2 == 0) for number, user in enumerate(users)]
        self.over_at = 0.0
        self.lost: list[str] = []
        self.wrong: list[str] = []

    @property
    def statuses(self) -> Counter[str]:
        return sum((writer.statuses for writer in self.writers), Counter())

    @property
    def slowest(self) -> float:
        return max(writer.slowest for writer in self.writers)

    @property
    def recovered(self) -> float:
        """Seconds from the end of the fault until every writer's write was answered."""
        return max(next(at for at in writer.acked_at if at > self.over_at) for writer in self.writers) - self.over_at

    def over(self) -> None:
        """The fault ends now."""
        self.over_at = time.monotonic()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < ends, f"{self.fault}: it did not come to that: {self.statuses}"
            time.sleep(0.02)

    def wait_for_answers(self) -> None:
        """Wait until a write of every writer is acked that is later than now."""
        since = time.monotonic()
        self.wait_for(lambda: all(writer.acked_at and writer.acked_at[-1] > since for writer in self.writers))

    def finish(self) -> None:
        self.stopping.set()
        for writer in self.writers:
            writer.join(30)
            assert not writer.is_alive(), f"{self.fault}: a request hangs."

    def check(self) -> None:
        for writer in self.writers:
            writer.settle()
        with psycopg.connect(self.database) as connection:
            rows = connection.execute(
                "SELECT user_id, title, description FROM tasks_task WHERE user_id = ANY(%s)",
                [[writer.user.subject for writer in self.writers]],
            ).fetchall()
        registers = {owner: text for owner, title, text in rows if title == "register"}
        assert len(registers) == len(self.writers), "The read must see what was there before the fault."
        found = Counter(title for _, title, _ in rows if title != "register")
        tried: dict[str, str] = {}
        for writer in self.writers:
            tried |= writer.titles
            self.check_register(writer, int(registers[writer.user.subject] or 0))
        assert sum(outcome == "acked" for outcome in tried.values()) > len(self.writers)
        self.lost += [title for title, outcome in tried.items() if outcome == "acked" and not found[title]]
        self.wrong += [title for title, times in found.items() if times > 1 or tried.get(title, "rejected") == "rejected"]  # fmt: skip

    def check_register(self, writer: Writer, value: int) -> None:
        last = max((number for number, outcome in writer.values.items() if outcome == "acked"), default=0)
        outcome = writer.values.get(value, "acked" if value == 0 else "rejected")
        if outcome == "rejected":
            self.wrong.append(f"{writer.user.subject}'s register is {value}")
        elif outcome == "acked" and value != last:
            self.lost.append(f"{writer.user.subject}'s register is {value}, not {last}")

    def row(self) -> str:
        acked = sum(len(writer.acked_at) for writer in self.writers)
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        recovered = f"{self.recovered:.1f}" if self.over_at else "-"
        return f"{self.fault} | {acked} | {len(self.lost)} | {len(self.wrong)} | {statuses} | {recovered}"


ROWS = ["fault | acked | lost | wrongly present | by status | seconds to recover"]


@contextmanager
def load(fault: str, live: Live, database: str, users: list[User] | None = None, loses: bool = False) -> Iterator[Load]:
    """Writers at work around a fault; afterwards nothing that was acked may be lost, and nothing else present."""
    under = Load(fault, database, users or [User(live) for _ in range(WRITERS)])
    for writer in under.writers:
        writer.start()
    try:
        under.wait_for_answers()
        time.sleep(0.5)
        yield under
        under.wait_for_answers()
    finally:
        under.finish()
    under.check()
    ROWS.append(under.row())
    assert not under.wrong
    assert bool(under.lost) == loses, under.lost


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prints the rows once all of them are there."""
    yield
    widths = [max(map(len, column)) for column in zip(*(row.split(" | ") for row in ROWS), strict=True)]
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print()
        for row in ROWS:
            print(" | ".join(cell.ljust(width) for cell, width in zip(row.split(" | "), widths, strict=True)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    running = Cluster()
    running.create()
    yield running
    running.remove()


@pytest.fixture(scope="module")
def keys() -> Iterator[KeyServer]:
    with KeyServer(entry()) as running:
        yield running


bounded = partial(serving, DATABASE_TIMEOUT=str(TIMEOUT))


@pytest.fixture(scope="module")
def service(cluster: Cluster, keys: KeyServer) -> Iterator[Live]:
    with bounded(cluster.url, BETTER_AUTH_JWKS_URL=keys.url) as running:
        yield running


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


def execute(cluster: Cluster, *statements: str) -> None:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]


@contextmanager
def setting(cluster: Cluster, **settings: str) -> Iterator[None]:
    """These settings of the server, until the end."""
    execute(cluster, *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()), RELOAD)
    time.sleep(0.5)
    try:
        yield
    finally:
        execute(cluster, *(f"ALTER SYSTEM RESET {name}" for name in settings), RELOAD)


RELOAD = "SELECT pg_reload_conf()"
CLIENTS = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND application_name <> 'test'"  # fmt: skip
DISCONNECT = f"SELECT pg_terminate_backend(pid) {CLIENTS}"
DISCONNECTED = f"SELECT pg_terminate_backend(pid, 1000) {CLIENTS}"  # It waits until they are.


def assert_only_503(under: Load) -> None:
    assert set(under.statuses) - FINE == {"503"}
    assert under.slowest < 15
    assert under.recovered < 2


@pytest.mark.promise("P-115")
@pytest.mark.parametrize("how", ["killed -9", "stopped fast", "stopped at once"])
def test_a_postgresql_that_stops_and_starts_loses_nothing(service: Live, cluster: Cluster, how: str) -> None:
    with load(f"PostgreSQL {how}", service, cluster.url) as under:
        if how == "killed -9":
            cluster.signal(signal.SIGKILL)
        else:
            cluster.stop("fast" if how == "stopped fast" else "immediate")
        time.sleep(1)
        cluster.start()
        under.over()
    assert_only_503(under)


def test_the_control_an_acked_write_that_is_lost_is_found(service: Live, cluster: Cluster) -> None:
    """With these settings PostgreSQL answers before a write is on the disk: the checker must say so."""
    fault = "CONTROL: synchronous_commit=off, killed -9"
    with setting(cluster, synchronous_commit="off"), load(fault, service, cluster.url, loses=True):
        execute(cluster, "CHECKPOINT")
        # However long `wal_writer_delay`, this process writes each full page at once.
        with psycopg.connect(cluster.url) as connection:
            writer = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'").fetchone()
        assert writer is not None
        os.kill(writer[0], signal.SIGSTOP)
        time.sleep(1)
        cluster.signal(signal.SIGKILL)
        cluster.start()


@pytest.mark.promise("P-115")
def test_connections_that_end_while_they_are_idle_cost_no_request(service: Live, cluster: Cluster) -> None:
    with load("idle connections ended", service, cluster.url) as under:
        for _ in range(3):
            under.going.clear()
            time.sleep(0.5)
            execute(cluster, DISCONNECTED)
            under.going.set()
            under.wait_for_answers()
        under.over()
    assert set(under.statuses) <= FINE


@pytest.mark.promise("P-115")
def test_connections_that_end_while_they_are_busy_lose_nothing(service: Live, cluster: Cluster) -> None:
    with load("busy connections ended", service, cluster.url) as under:
        for _ in range(40):
            execute(cluster, DISCONNECT)
            time.sleep(0.05)
        under.over()
    assert_only_503(under)


@pytest.mark.promise("P-115")
def test_all_connections_taken_is_503_quickly(service: Live, cluster: Cluster) -> None:
    with load("all connections taken", service, cluster.url) as under, ExitStack() as taken:
        first = taken.enter_context(psycopg.connect(cluster.url, application_name="test", autocommit=True))
        for _ in range(20):
            first.execute(DISCONNECT)
            with suppress(psycopg.OperationalError):
                while True:
                    taken.enter_context(psycopg.connect(cluster.url, application_name="test"))
            time.sleep(0.1)
        started = time.monotonic()
        user = User(service)
        answer = user.request("GET", user.tasks)
        assert (answer.status, time.monotonic() - started < 1) == (503, True), answer.body
        taken.close()
        under.over()
    assert_only_503(under)


@pytest.mark.promise("P-115")
def test_a_postgresql_under_sigstop_is_503_in_time(service: Live, cluster: Cluster) -> None:
    with load("PostgreSQL under SIGSTOP", service, cluster.url) as under:
        cluster.signal(signal.SIGSTOP)
        time.sleep(2 * TIMEOUT)
        cluster.signal(signal.SIGCONT)
        under.over()
    assert_only_503(under)


@pytest.mark.promise("P-115")
@pytest.mark.parametrize("lock_timeout", ["0", "300ms"])
def test_a_lock_on_the_table_is_503_in_time_and_reads_go_on(service: Live, cluster: Cluster, lock_timeout: str) -> None:
    fault = f"a lock held, lock_timeout {lock_timeout}"
    with setting(cluster, lock_timeout=lock_timeout), load(fault, service, cluster.url) as under:
        with locked(cluster.url):
            time.sleep(2 * TIMEOUT)
            under.writers[0].user.list()
        under.over()
    assert_only_503(under)
    assert under.slowest < (TIMEOUT + 2 if lock_timeout == "0" else TIMEOUT)


# --- A full disk --------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(cluster: Cluster) -> Iterator[Path]:
    """A file system of 160 MiB that PostgreSQL may write to."""
    folder = Path(tempfile.mkdtemp(prefix="todo-disk-"))
    options = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(options, capture_output=True).returncode != 0:
        folder.rmdir()
        pytest.skip("a file system of its own needs root, on a machine that lets it mount one")
    cluster.own(folder)
    folder.chmod(0o700)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


@pytest.mark.promise("P-115")
def test_a_full_disk_is_503_for_writes_and_reads_go_on(service: Live, cluster: Cluster, small_disk: Path) -> None:
    execute(
        cluster,
        f"CREATE TABLESPACE small LOCATION '{small_disk}'",
        "ALTER TABLE tasks_task SET TABLESPACE small",
        "ALTER INDEX ALL IN TABLESPACE pg_default SET TABLESPACE small",
    )
    with load("disk of the table full", service, cluster.url) as under:
        fill(small_disk)
        under.wait_for(lambda: all(writer.statuses["503"] for writer in under.writers))
        for writer in under.writers:
            writer.user.list()
        (small_disk / "ballast").unlink()
        under.over()
    assert_only_503(under)
    execute(
        cluster,
        "ALTER TABLE tasks_task SET TABLESPACE pg_default",
        "ALTER INDEX ALL IN TABLESPACE small SET TABLESPACE pg_default",
        "DROP TABLESPACE small",
    )


@pytest.mark.promise("P-115")
def test_a_full_disk_of_the_whole_server_loses_nothing(small_disk: Path) -> None:
    """PostgreSQL stops where it cannot write its log ahead; an operator makes room and starts it."""
    full = Cluster(small_disk / "data")
    full.create(min_wal_size="32MB", max_wal_size="48MB")
    try:
        with bounded(full.url) as service, load("disk of the server full", service, full.url) as under:
            fill(small_disk)
            with suppress(psycopg.OperationalError):
                for _ in range(20):
                    execute(full, "SELECT pg_switch_wal()", "SELECT pg_create_restore_point('more to write')")
            under.wait_for(lambda: all(writer.statuses["503"] for writer in under.writers))
            assert "PANIC" in (full.folder / "log").read_text()
            (small_disk / "ballast").unlink()
            full.stop("immediate", check=False)
            full.start()
            under.over()
        assert_only_503(under)
    finally:
        full.remove()


# --- The network, and a lost writer -------------------------------------------------------------------------------


@pytest.mark.promise("P-115")
def test_a_network_that_is_gone_loses_nothing(cluster: Cluster, elsewhere: str) -> None:  # noqa: F811
    port = free_port()
    forward = ["ip", "netns", "exec", elsewhere, sys.executable, "-c", FORWARD, "10.213.7.2", str(port), cluster.socket]
    with subprocess.Popen(forward) as forwarding:
        try:
            time.sleep(0.5)
            with (
                bounded(f"postgresql://postgres@10.213.7.2:{port}/postgres") as far,
                load("the network gone", far, cluster.url) as under,
            ):
                ip("-n", elsewhere, "addr", "del", "10.213.7.2/30", "dev", f"{elsewhere}b")
                time.sleep(2 * TIMEOUT)
                ip("-n", elsewhere, "addr", "add", "10.213.7.2/30", "dev", f"{elsewhere}b")
                under.over()
            assert set(under.statuses) - FINE == {"503"}
            assert under.slowest < 15
        finally:
            forwarding.kill()


@pytest.mark.promise("P-116")
def test_a_promoted_standby_is_followed_and_nothing_acked_is_lost() -> None:
    primary, standby = Cluster(), Cluster()
    primary.create()
    try:
        standby.copy(primary)
        execute(primary, "ALTER SYSTEM SET synchronous_standby_names = 'standby'", RELOAD)
        addresses = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = f"postgresql://postgres@{addresses}/postgres?target_session_attrs=read-write"
        with bounded(url) as service, load("primary killed, standby promoted", service, standby.url) as under:
            primary.signal(signal.SIGKILL)
            time.sleep(1)
            standby.run("pg_ctl", "-D", str(standby.data), "-w", "promote")
            under.over()
        assert_only_503(under)
    finally:
        standby.remove()
        primary.remove()


# --- The key server -----------------------------------------------------------------------------------------------


@pytest.mark.promise("P-115")
def test_a_key_server_that_fails_signs_nobody_out(service: Live, cluster: Cluster, keys: KeyServer) -> None:
    users = [User(service, subject := f"keys-{number}", signed(subject)) for number in range(WRITERS)]

    def status(kid: str) -> int:
        time.sleep(1.1)  # One fetch a second.
        return service.request("GET", "/api/alice/tasks", token=signed(kid=kid)).status

    def slow(handler: BaseHTTPRequestHandler) -> None:
        keys.stopping.wait(5)

    with load("key server rotating, slow, lying, gone", service, cluster.url, users) as under:
        keys.publish(entry(kid="key-2"), entry())
        assert status("key-2") == 200
        for answer in (slow, answer_json({}), answer_bytes(b"<html>"), answer_bytes(b"{}", 500)):
            keys.answer = answer
            assert status("key-3") == 503
        keys.stop()
        assert status("key-3") == 503
        under.over()
    assert set(under.statuses) <= FINE


# --- A worker, and the service itself -----------------------------------------------------------------------------


@contextmanager
def locked(database: str) -> Iterator[None]:
    """Nobody else may write to the table."""
    with psycopg.connect(database) as connection:
        connection.execute("LOCK TABLE tasks_task IN EXCLUSIVE MODE")
        yield


@pytest.mark.promise("P-109")
def test_sigterm_cuts_no_request(service: Live, cluster: Cluster) -> None:
    with load("SIGTERM, then a start", service, cluster.url) as under:
        assert service.process is not None
        with locked(cluster.url):
            time.sleep(0.5)  # Now a request of each writer is in flight.
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        service.stop()
        service.start()
        under.over()
    assert set(under.statuses) <= FINE | {"refused"}


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def workers(service: Live) -> list[int]:
    assert service.process is not None
    found = ["ps", "-o", "pid=", "--ppid", str(service.process.pid)]
    return [int(pid) for pid in subprocess.run(found, capture_output=True, text=True, check=True).stdout.split()]


@pytest.mark.promise("P-109")
def test_sighup_and_sigterm_of_a_worker_fail_no_request(service: Live, cluster: Cluster) -> None:
    assert service.process is not None
    with load("SIGHUP, SIGTERM of a worker", service, cluster.url) as under:
        before = workers(service)
        service.process.send_signal(signal.SIGHUP)
        under.wait_for(lambda: not set(before) & set(workers(service)))
        under.wait_for_answers()
        os.kill(workers(service)[0], signal.SIGTERM)
        under.over()
    assert set(under.statuses) <= FINE


@pytest.mark.promise("P-115")
def test_a_worker_that_is_killed_loses_nothing(service: Live, cluster: Cluster) -> None:
    with load("a worker killed -9", service, cluster.url) as under:
        for _ in range(3):
            os.kill(workers(service)[0], signal.SIGKILL)
            under.wait_for(lambda: len(workers(service)) == 2)
            under.wait_for_answers()
        under.over()
    # The last: killed between an answer's headers and its body.
    assert set(under.statuses) <= FINE | {"RemoteDisconnected", "ConnectionResetError", "IncompleteRead"}


@pytest.mark.promise("P-109")
def test_two_instances_restarted_in_turn_behind_nginx_fail_no_request(service: Live, cluster: Cluster) -> None:
    other = Live(environment(cluster.url)).start()
    try:
        with nginx(service, other) as proxy:
            # What the writers know: each instance has an address of its own, where its start is waited for.
            front = Live(service.variables, front=proxy.http)
            front.log_file.unlink()
            with load("two restarted in turn behind nginx", front, cluster.url) as under:
                for instance in (service, other, service):
                    instance.stop()
                    time.sleep(0.2)
                    instance.start()
                under.over()
            assert set(under.statuses) <= FINE
    finally:
        other.stop()
        other.log_file.unlink()
