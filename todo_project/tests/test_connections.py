"""Connections that outlive a request, and the way of a statement over them."""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import DataError, IntegrityError, ProgrammingError, connection, connections, transaction
from django.db.backends.signals import connection_created
from model_bakery import baker
from psycopg.pq import ConnStatus
from psycopg.pq.abc import PGconn, PGresult

import todo_project.connections
from conftest import Actor, assert_problem, rows
from tasks import statements
from tasks.models import Task
from tasks.statements import Condition

pytestmark = [
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no connection to drop or to ask"),
    pytest.mark.django_db(transaction=True),
]


@contextmanager
def another() -> Iterator[psycopg.Connection]:
    """Somebody else at the same database, who may do anything there."""
    with psycopg.connect(connection.connection.info.dsn, user="postgres", autocommit=True) as other:
        yield other


def connect(settings, choice: str) -> None:
    """A new connection, under this choice of PREPARED_STATEMENTS."""
    settings.PREPARED_STATEMENTS = choice
    connection.close()
    connection.ensure_connection()


@pytest.fixture(params=["prepared now", "prepared before", "never prepared"])
def way(request, settings) -> str:
    """Each way that a statement can take. `ready` goes the chosen way up to the statement that counts."""
    connect(settings, "off" if request.param == "never prepared" else "on")
    way: str = request.param
    return way


def ready(way: str, call: Callable[[], Any]) -> None:
    """Where the statement is to be prepared already, run it once."""
    if way == "prepared before":
        call()


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """A thread with a connection of its own."""
    with ThreadPoolExecutor(1) as thread:
        yield thread
        thread.submit(connections.close_all).result()


# --- Dropped and refused ------------------------------------------------------------------------------------------


@pytest.mark.promise("P-74")
def test_a_connection_dropped_while_idle_costs_no_request(alice: Actor) -> None:
    for _ in range(5):
        assert alice.post(alice.tasks, {"title": "Milk"}).status_code == 201
        pid = connection.connection.info.backend_pid
        with another() as other:
            other.execute("SELECT pg_terminate_backend(%s, 1000)", [pid])
        assert alice.get(alice.tasks).status_code == 200
        assert connection.connection.info.backend_pid != pid


@pytest.mark.promise("P-38")
def test_a_connection_dropped_under_a_statement_is_503_once(way: str, alice: Actor, milk: Task, beside) -> None:
    def complete() -> Any:
        return alice.patch(alice.complete(milk.pk), {"completed": True})

    ready(way, lambda: beside.submit(complete).result())
    before = rows()
    with another() as other, other.transaction():
        other.execute("SELECT FROM tasks_task WHERE id = %s FOR UPDATE", [milk.pk])
        waiting = beside.submit(complete)
        while not other.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted").fetchall():
            pass
        problem = waiting.result()
    assert_problem(problem, 503, "service_unavailable")
    assert problem["Retry-After"]
    assert rows() == before
    assert beside.submit(complete).result().status_code == 200


def test_a_server_that_takes_no_writes_is_503_for_writes_and_reads_go_on(alice: Actor) -> None:
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    try:
        problem = alice.post(alice.tasks, {"title": "Milk"})
        assert_problem(problem, 503, "service_unavailable")
        assert problem["Retry-After"]
        assert alice.get(alice.tasks).status_code == 200
        assert rows() == []
    finally:
        connection.close()


@pytest.mark.promise("P-38")
def test_a_statement_that_takes_too_long_is_503_and_the_connection_stays(way: str, alice: Actor, milk: Task) -> None:
    ready(way, lambda: alice.put(alice.task(milk.pk), {"title": "Cream"}))
    before, pid = rows(), connection.connection.info.backend_pid
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 100")
    with another() as other, other.transaction():
        other.execute("SELECT FROM tasks_task WHERE id = %s FOR UPDATE", [milk.pk])
        assert_problem(alice.put(alice.task(milk.pk), {"title": "Oat milk"}), 503, "service_unavailable")
    assert rows() == before
    assert alice.put(alice.task(milk.pk), {"title": "Oat milk"}).json()["title"] == "Oat milk"
    assert connection.connection.info.backend_pid == pid
    connection.close()


# --- One round trip -----------------------------------------------------------------------------------------------


def round_trips(send: Callable[[], Any]) -> tuple[Any, int]:
    """A success, and how often libpq waited for the server: each of its answers ends with a ReadyForQuery."""
    with tempfile.TemporaryFile() as trace:
        connection.connection.pgconn.trace(trace.fileno())
        response = send()
        connection.connection.pgconn.untrace()
        assert 200 <= response.status_code < 400, response.content
        trace.seek(0)
        return response, trace.read().count(b"\tReadyForQuery\t")


@pytest.mark.promise("P-75")
@pytest.mark.parametrize("choice", ["auto", "on", "off"])
def test_every_success_is_one_round_trip(settings, alice: Actor, choice: str) -> None:
    connect(settings, choice)
    seen: dict[str, list[int]] = {}

    def one(name: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        response, trips = round_trips(lambda: alice.request(method, path, body, **headers))
        seen.setdefault(name, []).append(trips)
        return response

    for time in range(6):
        milk, cream, jam = baker.make(Task, user_id="alice", title="Milk", _quantity=3)
        tag, tag_of_jam = (task.updated_at.strftime('"%Y%m%d%H%M%S%f"') for task in (milk, jam))
        page = one("list", "GET", f"{alice.tasks}?limit=1")
        one("next page", "GET", page["Link"].partition(">")[0].removeprefix("<http://testserver"))
        one("all of a query", "GET", f"{alice.tasks}?completed=false&search=milk&ordering=title&limit=7")
        one("read", "GET", alice.task(milk.pk))
        one("HEAD", "HEAD", alice.task(milk.pk))
        assert one("not modified", "GET", alice.task(milk.pk), If_None_Match=tag).status_code == 304
        one("create", "POST", alice.tasks, {"title": "Bread"})
        made = one("create with a key", "POST", alice.tasks, {"title": "Bread"}, Idempotency_Key=f"{time}").json()
        assert one("replay", "POST", alice.tasks, {"title": "Bread"}, Idempotency_Key=f"{time}").json() == made
        one("update of a state", "PUT", alice.task(milk.pk), {"title": "Oat milk"}, If_Match=tag)
        one("update", "PUT", alice.task(milk.pk), {"title": "Milk", "description": "Two"})
        one("toggle", "PATCH", alice.complete(milk.pk))
        one("toggle of another state", "PATCH", alice.complete(milk.pk), If_None_Match=tag)
        one("delete", "DELETE", alice.task(cream.pk))
        one("delete of a state", "DELETE", alice.task(jam.pk), If_Match=tag_of_jam)
    assert seen == {name: [1] * 6 for name in seen}
    connection.close()


@pytest.mark.promise("P-75")
@pytest.mark.parametrize("choice, prepared", [("auto", 1), ("on", 1), ("off", 0)])
def test_prepared_statements_follow_the_setting(settings, alice: Actor, choice: str, prepared: int) -> None:
    connect(settings, choice)
    for _ in range(6):
        assert alice.get(alice.tasks).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        assert cursor.fetchone() == (prepared,)
    connection.close()


def test_a_condition_of_many_tags_is_the_statement_of_one(milk: Task) -> None:
    connection.close()
    tags = tuple(f"2026-01-01T00:00:00.{number:06}Z" for number in range(1000))
    for number in (1, 2, 1000):
        for condition in (Condition(among=tags[:number]), Condition(not_among=tags[:number])):
            statements.update("alice", milk.pk, title="new", condition=condition)
            statements.complete("alice", milk.pk, condition=condition)
    assert len(connection.connection.prepared) == 4


# --- libpq's way and the cursor's ---------------------------------------------------------------------------------

TEXTS = [
    "%s",
    "%",
    "%%",
    "$1",
    "'",
    '"',
    "\\",
    "\\N",
    "NULL",
    "{1,2}",
    "t",
    "\n\t\r ",
    "é",
    "e\u0301",
    "\U0001f600",
    "\u2028",
]


def answers(text: str) -> list[Any]:
    """What the statements answer to this owner with this text; times and ids, which differ, as their place."""
    one = statements.create(text, title=text, description=text)
    other = statements.create(text, title="other", completed=True)
    assert one and other
    found: list[Any] = [
        one,
        other,
        statements.read(text, one["id"]),
        statements.read("bob", one["id"]),
        statements.page(text, limit=9, search=text),
        statements.page(text, limit=9, completed=True, ordering="title", after=("", 0)),
        statements.page(text, limit=1, after=(other["created_at"], other["id"])),
        statements.update(text, one["id"], title=text, description="", set_description=True),
        statements.update(text, one["id"], title="new", completed=True, description=text),
        statements.complete(text, one["id"]),
        statements.complete(text, one["id"], completed=False, condition=Condition(among=())),
        statements.complete(text, one["id"], condition=Condition(not_among=(other["updated_at"],))),
        statements.delete("bob", one["id"]),
        statements.delete(text, one["id"]),
        statements.delete(text, one["id"]),
    ]
    place = {one["id"]: "one", other["id"]: "other"}
    for task in [task for answer in found for task in (answer if isinstance(answer, list) else [answer])]:
        if isinstance(task, dict):
            task["id"] = place.get(task["id"], task["id"])
            task["created_at"], task["updated_at"] = "created", "updated"
    return found


@pytest.mark.promise("P-75")
@pytest.mark.parametrize("text", [*TEXTS, "x" * 200])
def test_a_statement_says_the_same_whichever_way_it_is_sent(way: str, text: str) -> None:
    ready(way, lambda: answers("alice"))
    by_libpq = answers(text)
    assert by_libpq[2]["title"] == by_libpq[2]["user_id"] == text
    Task.objects.all().delete()
    with connection.execute_wrapper(lambda execute, *arguments: execute(*arguments)):  # So it takes Django's cursor.
        assert answers(text) == by_libpq


def test_a_zero_byte_is_refused_and_never_cuts_an_owner_short(way: str, milk: Task) -> None:
    """libpq takes text up to a zero byte: with it, `alice` and more would be Alice."""
    ready(way, lambda: statements.read("alice", milk.pk))
    before = rows()
    for owner, title in (("alice\0bob", "new"), ("bob", "new\0")):
        for call in (
            lambda owner=owner, title=title: statements.create(owner, title=title),
            lambda owner=owner, title=title: statements.update(owner, milk.pk, title=title),
        ):
            with pytest.raises(DataError):
                call()
    for call in (
        lambda: statements.read("alice\0bob", milk.pk),
        lambda: statements.page("alice\0bob", limit=9),
        lambda: statements.complete("alice\0bob", milk.pk),
        lambda: statements.delete("alice\0bob", milk.pk),
    ):
        with pytest.raises(DataError):
            call()
    assert rows() == before


def test_errors_are_django_s_and_leave_the_connection_as_it_was(way: str, milk: Task) -> None:
    ready(way, lambda: statements.create("alice", title="Bread"))
    before = rows()
    for _ in range(3):
        with pytest.raises(IntegrityError):
            statements.create("alice", title="")
        with pytest.raises(DataError):
            statements.create("alice", title="x" * 201)
    assert rows() == before
    assert statements.create("alice", title="Bread")
    with another() as other:
        other.execute("ALTER TABLE tasks_task RENAME TO away")
        try:
            for _ in range(3):
                with pytest.raises(ProgrammingError):
                    statements.create("alice", title="Bread")
                with pytest.raises(ProgrammingError):
                    statements.read("alice", milk.pk)
        finally:
            other.execute("ALTER TABLE away RENAME TO tasks_task")
    assert statements.create("alice", title="Bread")
    assert statements.read("alice", milk.pk)


@pytest.mark.promise("P-74")
@pytest.mark.parametrize(
    "what",
    [
        "DEALLOCATE ALL",
        "DISCARD ALL",
        "ALTER TABLE tasks_task ALTER title TYPE varchar(300)",
        # Somebody took the name: what it stands for is never run.
        "PREPARE {} AS UPDATE tasks_task SET title = 'lost' WHERE user_id = $1 AND id = $2",
    ],
)
def test_what_was_prepared_and_is_no_more_costs_no_request(settings, alice: Actor, milk: Task, what: str) -> None:
    connect(settings, "on")
    assert alice.get(alice.task(milk.pk)).status_code == 200
    before = rows()
    ((sql, name),) = connection.connection.prepared.items()
    try:
        with connection.cursor() as cursor:
            if "{}" in what:
                connection.connection.prepared.clear()
                cursor.execute("DEALLOCATE ALL")
            cursor.execute(what.format(name.decode()))
        for _ in range(3):
            assert alice.get(alice.task(milk.pk)).json()["title"] == "Milk"
        assert connection.connection.prepared == {sql: name}
        assert rows() == before
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE tasks_task ALTER title TYPE varchar(200)")


@pytest.mark.parametrize("answer", range(5))
def test_answers_that_were_not_read_never_meet_the_next_statement(
    settings, monkeypatch, alice: Actor, bob: Actor, milk: Task, answer: int
) -> None:
    """The process is told to stop while a statement is on its way, and goes on all the same."""
    connect(settings, "on")
    pgconn, receive, received = connection.connection.pgconn, todo_project.connections._receive, iter(range(5))

    def interrupted(pgconn: PGconn) -> PGresult | None:
        if next(received) == answer:
            raise SystemExit
        return receive(pgconn)

    with monkeypatch.context() as patched:
        patched.setattr(todo_project.connections, "_receive", interrupted)
        with pytest.raises(SystemExit):
            statements.read("alice", milk.pk)
    assert pgconn.status == ConnStatus.BAD
    assert bob.get(bob.tasks).json() == []
    assert alice.get(alice.task(milk.pk)).json()["title"] == "Milk"


def test_a_connection_that_was_not_fully_made_serves_all_the_same(alice: Actor, milk: Task) -> None:
    connection.close()
    before = list(connection_created.receivers)

    def cancelled(sender: Any, connection: Any, **kwargs: Any) -> None:
        connection.connection.execute("SELECT pg_cancel_backend(pg_backend_pid())")

    connection_created.connect(cancelled)
    connection_created.receivers = [connection_created.receivers[-1], *before]  # Ahead of ours, which is not called.
    try:
        assert_problem(alice.get(alice.task(milk.pk)), 503, "service_unavailable")
    finally:
        connection_created.receivers = before
    assert alice.get(alice.task(milk.pk)).status_code == 200
    connection.close()


def test_a_statement_larger_than_any_buffer_gets_there(way: str) -> None:
    ready(way, lambda: statements.page("alice", limit=1, search="x"))
    assert statements.page("alice", limit=1, search="x" * 20_000_000) == []


def test_a_page_is_not_held_once_it_is_read(way: str) -> None:
    baker.make(Task, user_id="alice", title="Milk", description="x" * 5000, _quantity=1000)
    ready(way, lambda: statements.page("alice", limit=1000))
    assert len(statements.page("alice", limit=1000)) == 1000
    assert connection.connection.transformer.pgresult is None


def test_a_statement_that_waits_lets_the_other_threads_run(way: str, alice: Actor, milk: Task, beside) -> None:
    def update() -> Any:
        with connection.cursor() as cursor:  # If it kept them from running, nobody would let it go on.
            cursor.execute("SET lock_timeout = '10s'")
        return alice.put(alice.task(milk.pk), {"title": "Cream"})

    ready(way, lambda: beside.submit(update).result())
    with another() as other, other.transaction():
        other.execute("SELECT FROM tasks_task WHERE id = %s FOR UPDATE", [milk.pk])
        waiting = beside.submit(update)
        while not other.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
            pass
        assert alice.get(alice.task(milk.pk)).status_code == 200
        assert not waiting.done()
    assert waiting.result().json()["title"] == "Cream"


@pytest.mark.parametrize("earlier", [False, True])
def test_a_transaction_holds_its_statements_together(way: str, milk: Task, earlier: bool) -> None:
    """Also where a statement is the first one of its transaction, with which psycopg begins it."""
    ready(way, lambda: statements.update("alice", milk.pk, title="Milk"))
    before = rows()
    with transaction.atomic():
        if earlier:
            Task.objects.create(user_id="alice", title="Bread")
        assert statements.update("alice", milk.pk, title="Cream")
        assert statements.create("alice", title="Jam")
        transaction.set_rollback(True)
    assert rows() == before
