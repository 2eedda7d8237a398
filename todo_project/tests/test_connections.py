"""Connections that outlive a request."""

import tempfile

import psycopg
import pytest
from django.db import connection

from conftest import Actor, assert_problem, rows

postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no connection to drop")


@postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_dropped_while_idle_costs_no_request(alice: Actor) -> None:
    for _ in range(5):
        assert alice.post(alice.tasks, {"title": "Milk"}).status_code == 201
        pid = connection.connection.info.backend_pid
        with psycopg.connect(connection.connection.info.dsn, user="postgres") as other:
            other.execute("SELECT pg_terminate_backend(%s, 1000)", [pid])
        assert alice.get(alice.tasks).status_code == 200
        assert connection.connection.info.backend_pid != pid


@postgresql
@pytest.mark.django_db(transaction=True)
def test_statements_are_prepared_on_a_direct_connection(alice: Actor) -> None:
    connection.close()
    for _ in range(6):
        assert alice.get(alice.tasks).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT id, title%%'")
        assert cursor.fetchone() == (1,)


@postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("choice, threshold", [("auto", 3), ("on", 3), ("off", None)])
def test_prepared_statements_follow_the_setting(settings, choice: str, threshold: int | None) -> None:
    settings.PREPARED_STATEMENTS = choice
    connection.close()
    connection.ensure_connection()
    assert connection.connection.prepare_threshold == threshold
    connection.close()


@postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("choice, trips", [("off", [1, 1, 1, 1, 1, 1]), ("on", [1, 1, 1, 2, 1, 1])])
def test_a_success_is_one_round_trip_and_psycopg_takes_one_more_to_prepare(
    settings, alice: Actor, choice: str, trips: list[int]
) -> None:
    settings.PREPARED_STATEMENTS = choice
    connection.close()
    connection.ensure_connection()
    seen = []
    for _ in trips:
        with tempfile.TemporaryFile() as trace:  # What libpq sends and receives; the server ends each trip with this.
            connection.connection.pgconn.trace(trace.fileno())
            assert alice.get(alice.tasks).status_code == 200
            connection.connection.pgconn.untrace()
            trace.seek(0)
            seen.append(trace.read().count(b"\tReadyForQuery\t"))
    assert seen == trips
    connection.close()


@postgresql
@pytest.mark.django_db(transaction=True)
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
