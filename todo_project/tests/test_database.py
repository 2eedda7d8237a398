"""Which database is refused, and what the log says of one that could not do what it was asked."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DataError, IntegrityError, ProgrammingError, connection, connections, transaction

from conftest import Actor, assert_problem
from tasks import statements
from todo_project import database
from todo_project.database import WrongDatabase, check_at_start, report_unavailable

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def not_looked_yet(monkeypatch) -> None:
    monkeypatch.setattr(database, "_migrated", False)


def test_engine_that_is_neither_of_the_two_is_refused_by_name(alice: Actor, log) -> None:
    """Another engine under Django, which only a settings module of one's own can name."""

    class DatabaseWrapper(type(connections["default"])):
        vendor, display_name = "mariadb", "MariaDB"

    other = DatabaseWrapper(connections["default"].settings_dict, "default")
    there = connections["default"]
    connections["default"] = other
    try:
        with pytest.raises(WrongDatabase, match="MariaDB, and this service runs on PostgreSQL or SQLite"):
            check_at_start()
        assert other.connection is None
        assert_problem(alice.get(alice.tasks), 503, "service_unavailable")
        assert "MariaDB" in log.getvalue()
    finally:
        connections["default"] = there


def test_version_that_django_does_not_take_stops_the_start(monkeypatch, alice: Actor, log) -> None:
    monkeypatch.setattr(type(connection.features), "minimum_database_version", (99, 1))
    monkeypatch.setattr("django.db.backends.base.base.RAN_DB_VERSION_CHECK", set())
    connection.close()
    with pytest.raises(ImproperlyConfigured, match=r"too old: .* 99\.1 or later is required"):
        check_at_start()
    assert_problem(alice.get(alice.tasks), 503, "service_unavailable")
    assert "99.1 or later is required" in log.getvalue()
    connection.close()


def test_readyz_asks_for_the_migrations_until_they_are_there_and_then_no_more(
    stranger: Actor, django_assert_num_queries
) -> None:
    assert stranger.get("/readyz").status_code == 200
    with django_assert_num_queries(1):
        assert stranger.get("/readyz").status_code == 200


def test_start_leaves_no_connection_behind(log) -> None:
    check_at_start()
    assert connection.connection is None
    assert log.getvalue() == ""


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nothing FROM tasks_task",
        "SELECT * FROM nothing",
        "SELECT nothing(1)",
        "SELEKT 1",
        "SELECT 'x' COLLATE nothing",
    ],
)
def test_statement_of_ours_that_is_wrong_is_500(alice: Actor, log, monkeypatch, sql: str) -> None:
    monkeypatch.setattr(statements, "page", lambda owner, **named: connection.cursor().execute(sql))
    assert_problem(alice.get(alice.tasks), 500, "internal_error")
    assert "todo_project.database" not in log.getvalue()


def test_row_that_the_database_refuses_is_a_bug() -> None:
    for error, text in (
        (IntegrityError, ""),
        (DataError if connection.vendor == "postgresql" else IntegrityError, "x" * 201),
    ):
        with pytest.raises(error) as raised:
            statements.create("alice", {"title": text})
        assert not report_unavailable(raised.value)
    assert not report_unavailable(ValueError())
    assert not report_unavailable(None)


def test_a_bug_within_a_broken_transaction_is_answered_and_logged(log) -> None:
    """Where nobody can be asked whether the database is migrated, the answer is 503, and the log has both errors."""
    with transaction.atomic():
        transaction.set_rollback(True)
        connection.rollback_exc = None  # Which a test before may have left.
        with pytest.raises(ProgrammingError) as raised:
            connection.validate_no_broken_transaction()
        assert report_unavailable(raised.value)
    assert "TransactionManagementError" in log.getvalue()


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no procedures")
def test_message_that_may_quote_a_row_is_left_out(alice: Actor, log, monkeypatch) -> None:
    """An operator's own trigger may write whatever it likes."""
    for state, kind in (("53100", "DiskFull"), ("40001", "SerializationFailure"), ("XX000", "InternalError_")):
        raising = f"DO $$ BEGIN RAISE EXCEPTION 'Zebrastreifen' USING ERRCODE = '{state}'; END $$"
        monkeypatch.setattr(statements, "page", lambda owner, sql=raising, **named: connection.cursor().execute(sql))
        assert_problem(alice.get(alice.tasks), 503, "service_unavailable")
        said = log.getvalue().splitlines()[-2]
        assert f"Database: psycopg.errors.{kind} (SQLSTATE {state})" in said
        assert ("Zebrastreifen" in said) == (state == "53100")  # PostgreSQL's own class, of its resources.


def test_database_away_is_one_line_with_host_and_cause(database_away, alice: Actor, stranger: Actor, log) -> None:
    port = connection.settings_dict["PORT"]
    alice.get(alice.tasks, X_Request_ID="find-me")
    stranger.get("/readyz", X_Request_ID="find-me")
    alice.client.post("/admin/login/", {"username": "root", "password": "x"}, headers={"X-Request-ID": "find-me"})
    said = log.getvalue().splitlines()
    for line in said[::2]:
        assert "ERROR todo_project.database [find-me] Database: psycopg.OperationalError " in line
        assert f'127.0.0.1", port {port} failed: Connection refused' in line
    assert [line.split()[-2] for line in said[1::2]] == ["503"] * 3
    assert len(said) == 6


@pytest.mark.promise("P-38")
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite alone is in one file")
def test_file_that_takes_no_writes_is_503_for_writes_and_reads_go_on(alice: Actor, log) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
    try:
        assert_problem(alice.post(alice.tasks, {"title": "Milk"}), 503, "service_unavailable")
        assert "Database: sqlite3.OperationalError 'attempt to write a readonly database'" in log.getvalue()
        assert alice.get(alice.tasks).json() == []
    finally:
        connection.close()
