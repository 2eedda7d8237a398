"""Connections that outlive a request, and the way of a statement over them."""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    ProgrammingError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.db.backends.postgresql.base import Cursor
from django.test import RequestFactory
from model_bakery import baker
from psycopg.pq import ConnStatus
from psycopg.pq.abc import PGresult

from conftest import Actor, assert_problem, rows
from tasks import statements
from tasks.models import Task
from tasks.statements import Condition
from tests import citus
from todo_project.postgresql.base import Connection

pytestmark = [
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no connection to drop or to ask"),
    pytest.mark.django_db(transaction=True),
]
lock_is_here = pytest.mark.skipif(bool(citus.URL), reason="With Citus the locks on rows are another node's")


@contextmanager
def another() -> Iterator[psycopg.Connection]:
    """Somebody else at the same database, who may do anything there."""
    with psycopg.connect(connection.connection.info.dsn, user="postgres", autocommit=True) as other:
        yield other


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The backend's options, for the connections that the test makes."""
    changed = dict(connection.settings_dict["OPTIONS"])
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", changed)
    yield changed
    connection.close()


def connect(options: dict[str, Any], choice: str) -> None:
    """A new connection, under this choice of `prepared_statements`."""
    options["prepared_statements"] = choice
    connection.close()
    connection.ensure_connection()


@pytest.fixture(params=["prepared now", "prepared before", "never prepared"])
def way(request, options) -> str:
    """Each way that a statement can take. `ready` goes the chosen way up to the statement that counts."""
    connect(options, "off" if request.param == "never prepared" else "on")
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


def serve(actor: Actor, path: str) -> int:
    """The status of a GET as gunicorn sends it: Django's test client keeps its signals from the connection."""
    from todo_project.wsgi import application

    environ = RequestFactory(headers={"Authorization": f"Bearer {actor.token}"}).get(path).environ
    statuses: list[str] = []
    answer: Any = application(environ, lambda status, headers: statuses.append(status))
    b"".join(answer)
    answer.close()
    return int(statuses[0][:3])


@pytest.mark.promise("P-74")
@pytest.mark.parametrize("choice", ["on", "off"])
def test_a_connection_dropped_while_idle_costs_no_request(options, alice: Actor, choice: str) -> None:
    connect(options, choice)
    for _ in range(5):
        assert serve(alice, alice.tasks) == 200
        pid = connection.connection.info.backend_pid
        with another() as other:
            other.execute("SELECT pg_terminate_backend(%s::integer, 1000)", [pid])
        assert serve(alice, alice.tasks) == 200
        assert connection.connection.info.backend_pid != pid


def test_a_forgotten_transaction_loses_no_later_write(alice: Actor, milk: Task) -> None:
    assert serve(alice, alice.tasks) == 200
    connection.set_autocommit(False)  # Whoever did this forgot to set it back.
    assert serve(alice, alice.task(milk.pk)) == 200
    assert connection.connection is None or connection.connection.autocommit
    made = alice.post(alice.tasks, {"title": "Bread"})
    assert made.status_code == 201
    with another() as other:
        assert other.execute("SELECT count(*) FROM tasks_task WHERE id = %s", [made.json()["id"]]).fetchone() == (1,)


@lock_is_here
@pytest.mark.promise("P-38")
def test_a_connection_dropped_under_a_statement_is_503_once(way: str, alice: Actor, milk: Task, beside) -> None:
    def complete() -> Any:
        return alice.patch(alice.complete(milk.pk), {"completed": True})

    ready(way, lambda: beside.submit(complete).result())
    before = rows()
    with another() as other, other.transaction():
        other.execute("SELECT FROM tasks_task WHERE user_id = 'alice' AND id = %s FOR UPDATE", [milk.pk])
        waiting = beside.submit(complete)
        while not other.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted").fetchall():
            pass
        problem = waiting.result()
    beside.submit(close_old_connections).result()  # Which the test client keeps Django's signals from.
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
        other.execute("SELECT FROM tasks_task WHERE user_id = 'alice' AND id = %s FOR UPDATE", [milk.pk])
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
def test_every_success_is_one_round_trip(options, alice: Actor, choice: str) -> None:
    connect(options, choice)
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
def test_prepared_statements_follow_the_setting(options, alice: Actor, choice: str, prepared: int) -> None:
    connect(options, choice)
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
            statements.update("alice", milk.pk, {"title": "new"}, condition=condition)
            statements.toggle("alice", milk.pk, condition=condition)
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
    one = statements.create(text, {"title": text, "description": text})
    other = statements.create(text, {"title": "other", "completed": True})
    assert one and other
    found: list[Any] = [
        one,
        other,
        statements.read(text, one["id"]),
        statements.read("bob", one["id"]),
        statements.page(text, limit=9, search=text),
        statements.page(text, limit=9, completed=True, ordering="title", after=("", 0)),
        statements.page(text, limit=1, after=(other["created_at"], other["id"])),
        statements.update(text, one["id"], {"title": text, "description": ""}),
        statements.update(text, one["id"], {"title": "new", "completed": True, "description": text}),
        statements.toggle(text, one["id"]),
        statements.update(text, one["id"], {"completed": False}, condition=Condition(among=())),
        statements.toggle(text, one["id"], condition=Condition(not_among=(other["updated_at"],))),
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
            lambda owner=owner, title=title: statements.create(owner, {"title": title}),
            lambda owner=owner, title=title: statements.update(owner, milk.pk, {"title": title}),
        ):
            with pytest.raises(DataError):
                call()
    for call in (
        lambda: statements.read("alice\0bob", milk.pk),
        lambda: statements.page("alice\0bob", limit=9),
        lambda: statements.toggle("alice\0bob", milk.pk),
        lambda: statements.delete("alice\0bob", milk.pk),
    ):
        with pytest.raises(DataError):
            call()
    assert rows() == before


def test_errors_are_django_s_and_leave_the_connection_as_it_was(way: str, milk: Task) -> None:
    ready(way, lambda: statements.create("alice", {"title": "Bread"}))
    before = rows()
    for _ in range(3):
        with pytest.raises(IntegrityError):
            statements.create("alice", {"title": ""})
        with pytest.raises(DataError):
            statements.create("alice", {"title": "x" * 201})
    assert rows() == before
    assert statements.create("alice", {"title": "Bread"})
    with another() as other:
        other.execute("ALTER TABLE tasks_task RENAME TO away")
        try:
            for _ in range(3):
                with pytest.raises(ProgrammingError):
                    statements.create("alice", {"title": "Bread"})
                with pytest.raises(ProgrammingError):
                    statements.read("alice", milk.pk)
        finally:
            other.execute("ALTER TABLE away RENAME TO tasks_task")
    assert statements.create("alice", {"title": "Bread"})
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
def test_what_was_prepared_and_is_no_more_costs_no_request(options, alice: Actor, milk: Task, what: str) -> None:
    connect(options, "on")
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


@pytest.mark.skipif(bool(citus.URL), reason="Citus has no triggers on a table that is spread")
@pytest.mark.parametrize("message", ["cached plan must not change result type", "x"])
def test_a_feature_that_is_not_supported_is_not_asked_for_again(way: str, milk: Task, message: str) -> None:
    """Its SQLSTATE says too that a plan fits no more; here a trigger raises it."""
    ready(way, lambda: statements.update("alice", milk.pk, {"title": "Cream"}))
    with another() as other:
        other.execute("CREATE SEQUENCE seen")
        other.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM nextval('seen'); RAISE EXCEPTION '{message}' USING ERRCODE = 'feature_not_supported'; END $$"
        )
        other.execute("CREATE TRIGGER refuse BEFORE UPDATE ON tasks_task FOR EACH ROW EXECUTE FUNCTION refuse()")
        other.execute("GRANT ALL ON seen TO public")
        try:
            before = rows()
            with pytest.raises(DatabaseError):
                statements.update("alice", milk.pk, {"title": "Jam"})
            assert rows() == before
            assert other.execute("SELECT last_value FROM seen").fetchone() == (1,)
        finally:
            other.execute("DROP TRIGGER refuse ON tasks_task; DROP FUNCTION refuse; DROP SEQUENCE seen")


def test_no_statement_is_sent_again_inside_a_transaction(options, milk: Task) -> None:
    connect(options, "on")
    statements.read("alice", milk.pk)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        with pytest.raises(DatabaseError):
            statements.read("alice", milk.pk)
        transaction.set_rollback(True)


@pytest.mark.parametrize("option", [{"pool": True}, {"isolation_level": 4}])
def test_options_that_do_not_go_with_kept_connections_are_refused_by_name(options, option: dict[str, Any]) -> None:
    connection.close()
    options.update(option)
    with pytest.raises(ImproperlyConfigured, match=next(iter(option))):
        connection.ensure_connection()


def test_giving_up_a_connection_that_is_closed_meanwhile_does_no_harm(options, alice: Actor, milk: Task) -> None:
    """Its answer may come at the very moment at which it is given up."""
    connection.close()
    options["answer_timeout"] = 9
    assert statements.read("alice", milk.pk)
    raw = connection.connection
    raw.give_up()
    close_old_connections()  # As before the next request.
    assert connection.connection is not raw
    raw.give_up()
    assert statements.read("alice", milk.pk)
    assert alice.get(alice.tasks).status_code == 200


@pytest.mark.promise("P-78")
def test_every_statement_goes_by_django_s_cursor_where_the_option_says_so(options, alice: Actor, milk: Task) -> None:
    """As Sentry, OpenTelemetry and the debug toolbar do, this watches the cursor."""
    seen: list[str] = []

    class Watched(Cursor):
        def execute(self, query: Any, *arguments: Any, **named: Any) -> Any:
            seen.append(str(query))
            return super().execute(query, *arguments, **named)

    connection.close()
    options.update(cursor_factory=Watched)
    for by_cursor in (False, True):
        options["by_cursor"] = by_cursor
        connection.close()
        connection.ensure_connection()
        seen.clear()
        assert alice.get(alice.tasks).status_code == 200
        assert alice.put(alice.task(milk.pk), {"title": "Cream"}).status_code == 200
        assert [sql.split()[0] for sql in seen] == (["SELECT", "UPDATE"] if by_cursor else [])


@pytest.mark.parametrize("answer", range(5))
def test_answers_that_were_not_read_never_meet_the_next_statement(
    options, monkeypatch, alice: Actor, bob: Actor, milk: Task, answer: int
) -> None:
    """The process is told to stop while a statement is on its way, and goes on all the same."""
    connect(options, "on")
    pgconn, receive, received = connection.connection.pgconn, Connection._receive, iter(range(5))

    def interrupted(self: Connection) -> PGresult | None:
        if next(received) == answer:
            raise SystemExit
        return receive(self)

    with monkeypatch.context() as patched:
        patched.setattr(Connection, "_receive", interrupted)
        with pytest.raises(SystemExit):
            statements.read("alice", milk.pk)
    assert pgconn.status == ConnStatus.BAD
    close_old_connections()
    assert bob.get(bob.tasks).json() == []
    assert alice.get(alice.task(milk.pk)).json()["title"] == "Milk"


@pytest.mark.promise("P-74")
def test_a_connection_that_was_not_fully_made_serves_all_the_same(options, alice: Actor, milk: Task) -> None:
    """The question whether it is a direct one is cancelled: a function of the same name stands in its way."""
    with another() as other:
        connection.close()
        options.update(prepared_statements="auto", options="-c search_path=public,pg_catalog")
        other.execute(
            "CREATE FUNCTION public.pg_backend_pid() RETURNS int LANGUAGE plpgsql "
            "AS 'BEGIN RAISE EXCEPTION query_canceled; END'"
        )
        try:
            assert_problem(alice.get(alice.task(milk.pk)), 503, "service_unavailable")
        finally:
            other.execute("DROP FUNCTION public.pg_backend_pid()")
    assert alice.get(alice.task(milk.pk)).status_code == 200


def test_a_statement_larger_than_any_buffer_gets_there(way: str) -> None:
    ready(way, lambda: statements.page("alice", limit=1, ordering="title", after=("x", 0)))
    assert statements.page("alice", limit=1, ordering="title", after=("x" * 20_000_000, 0)) == []


def test_a_page_is_not_held_once_it_is_read(way: str) -> None:
    baker.make(Task, user_id="alice", title="Milk", description="x" * 5000, _quantity=1000)
    ready(way, lambda: statements.page("alice", limit=1000))
    assert len(statements.page("alice", limit=1000)) == 1000
    assert connection.connection.transformer.pgresult is None


@lock_is_here
def test_a_statement_that_waits_lets_the_other_threads_run(way: str, alice: Actor, milk: Task, beside) -> None:
    def update() -> Any:
        with connection.cursor() as cursor:  # If it kept them from running, nobody would let it go on.
            cursor.execute("SET lock_timeout = '10s'")
        return alice.put(alice.task(milk.pk), {"title": "Cream"})

    ready(way, lambda: beside.submit(update).result())
    with another() as other, other.transaction():
        other.execute("SELECT FROM tasks_task WHERE user_id = 'alice' AND id = %s FOR UPDATE", [milk.pk])
        waiting = beside.submit(update)
        while not other.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
            pass
        assert alice.get(alice.task(milk.pk)).status_code == 200
        assert not waiting.done()
    assert waiting.result().json()["title"] == "Cream"


@pytest.mark.parametrize("earlier", [False, True])
def test_a_transaction_holds_its_statements_together(way: str, milk: Task, earlier: bool) -> None:
    """Also where a statement is the first one of its transaction, with which psycopg begins it."""
    ready(way, lambda: statements.update("alice", milk.pk, {"title": "Milk"}))
    before = rows()
    with transaction.atomic():
        if earlier:
            Task.objects.create(user_id="alice", title="Bread")
        assert statements.update("alice", milk.pk, {"title": "Cream"})
        assert statements.create("alice", {"title": "Jam"})
        transaction.set_rollback(True)
    assert rows() == before
