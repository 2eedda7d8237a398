"""The tasks spread over a Citus cluster by `manage.py distribute`.

With TEST_CITUS_URL, the tests of tasks/ and todo_project/ run on a spread table as well.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from threading import Event

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conftest import rows
from tasks import data
from tasks.models import Task
from tasks.tests.test_statements import EVERY_CALL
from tests import citus
from tests.live import ROOT, Live, User, environment, manage

on_citus = pytest.mark.skipif(not citus.URL, reason="TEST_CITUS_URL names no Citus coordinator")
elsewhere = pytest.mark.skipif(bool(citus.URL), reason="TEST_CITUS_URL names a Citus coordinator")

SHARDS = ("--shards", "4")


@pytest.mark.promise("P-122")
@elsewhere
def test_where_there_is_no_citus_one_line_says_so_and_nothing_changes(db) -> None:
    def key() -> object:
        with connection.cursor() as cursor:
            return connection.introspection.get_constraints(cursor, Task._meta.db_table)

    before = key()
    with pytest.raises(CommandError, match=r"^Nothing was changed: .*Citus.*$") as refused:
        call_command("distribute", "--yes")
    assert "\n" not in str(refused.value)
    assert key() == before


# --- On the tests' own database -----------------------------------------------------------------------------------


def shards_asked(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        (count,) = [line.split(": ")[1] for (line,) in cursor.fetchall() if "Task Count" in line]
    return int(count)


@pytest.mark.promise("P-123")
@on_citus
@pytest.mark.parametrize("call", EVERY_CALL)
def test_each_statement_of_a_request_asks_one_shard(milk: Task, call: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        EVERY_CALL[call]("alice", milk.pk)
    (sent,) = queries
    assert shards_asked(sent["sql"]) == 1
    assert shards_asked("SELECT id FROM tasks_task WHERE id = 1") == 4


@on_citus
def test_what_operators_write_of_one_task_or_one_user_asks_one_shard(milk: Task) -> None:
    milk.title = "Oat milk"
    for write in (milk.save, lambda: data.erase("alice")):
        with CaptureQueriesContext(connection) as queries:
            write()
        asked = [query["sql"] for query in queries if "tasks_task" in query["sql"]]
        asked = [sql for sql in asked if sql != "ANALYZE tasks_task"]
        assert asked
        assert [sql for sql in asked if shards_asked(sql) != 1] == []
    assert rows() == []


@on_citus
def test_a_spread_table_is_left_as_it_is(db) -> None:
    out = StringIO()
    call_command("distribute", "--yes", stdout=out)
    assert out.getvalue() == "The tasks are spread by user_id already.\n"


# --- On databases of their own ------------------------------------------------------------------------------------


@pytest.fixture
def database_url() -> Iterator[str]:
    """A migrated database with 20,000 tasks of Alice's on the coordinator, where Citus is not yet installed."""
    with citus.database(citus.URL) as url:
        manage(environment(url), "migrate", "--noinput")
        citus.run_sql(
            url,
            "INSERT INTO tasks_task (user_id, title, completed, created_at, updated_at) "
            "SELECT 'alice', 'Milk', false, now(), now() FROM generate_series(1, 20000)",
            "DELETE FROM tasks_task WHERE id = 20000",
        )
        yield url


def distribute(url: str, *options: str, expect: int | None = 0) -> str:
    done = manage(environment(url), "distribute", *SHARDS, *options, expect=expect)
    return done.stdout + done.stderr


def state(url: str) -> dict[str, object]:
    """How the table is kept, and what is lost if something goes wrong on the way."""
    (found,) = citus.run_sql(
        url,
        "SELECT (SELECT citus_table_type || ' by ' || distribution_column FROM citus_tables"
        " WHERE table_name = 'tasks_task'::regclass),"
        "(SELECT array_agg(indexrelid::regclass::text ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = 'tasks_task'::regclass AND indisvalid),"
        "(SELECT count(DISTINCT id) FROM tasks_task), pg_sequence_last_value('tasks_task_id_seq')",
    )
    return dict(zip(("kept", "indexes", "tasks", "last id"), found, strict=True))


SPREAD = {
    "kept": "distributed by user_id",
    "indexes": ["tasks_idempotency_key", "tasks_owner_created", "tasks_task_id", "tasks_task_pkey"],
    "tasks": 19_999,
    "last id": 20_000,
}


@pytest.mark.promise("P-122")
@on_citus
def test_each_thing_that_is_missing_is_named_and_nothing_changes(database_url: str) -> None:
    def refused(word: str) -> None:
        (line,) = distribute(database_url, "--yes", expect=1).splitlines()
        assert line.startswith("CommandError: Nothing was changed: ") and word in line

    refused("CREATE EXTENSION citus")
    citus.run_sql(database_url, "CREATE EXTENSION citus")
    refused("citus_set_coordinator_host")
    citus.run_sql(database_url, "DROP EXTENSION citus")
    with citus.joined(database_url) as workers:
        for shards in ("0", "-1", "64001"):
            assert "1 to 64000 shards" in distribute(database_url, "--yes", "--shards", shards, expect=1)
        (line,) = distribute(workers[0], "--yes", expect=1).splitlines()
        assert "must name the coordinator" in line
        alone = "SET citus.enable_ddl_propagation = off"
        citus.run_sql(workers[0], alone, "CREATE COLLATION \"binary\" (provider = libc, locale = 'POSIX')")
        refused("collation")
        citus.run_sql(workers[0], alone, 'DROP COLLATION "binary"')
        node = citus.run_sql(database_url, "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0")
        for host, port in node:
            citus.run_sql(database_url, f"SELECT citus_set_node_property('{host}', {port}, 'shouldhaveshards', false)")
        refused("no active worker")
        for host, port in node:
            citus.run_sql(database_url, f"SELECT citus_set_node_property('{host}', {port}, 'shouldhaveshards', true)")
        said = distribute(database_url, "--dry-run")
        assert said.startswith("19999 tasks, ")
        assert distribute(database_url, expect=1) == f"{said}CommandError: Nothing was changed. --yes does it.\n"
        assert state(database_url) == SPREAD | {
            "kept": None,
            "indexes": ["tasks_idempotency_key", "tasks_owner_created", "tasks_task_pkey"],
        }


@pytest.mark.promise("P-122")
@on_citus
@pytest.mark.parametrize(
    "step",
    ["CREATE UNIQUE INDEX CONCURRENTLY", "CREATE INDEX CONCURRENTLY", "ALTER TABLE", "create_distributed_table_conc"],
)
def test_interrupted_at_any_step_and_run_again_it_ends_well(database_url: str, step: str) -> None:
    command = [sys.executable, "manage.py", "distribute", *SHARDS, "--yes"]
    with (
        citus.joined(database_url),
        psycopg.connect(database_url) as reader,
        psycopg.connect(citus.URL, autocommit=True) as watch,
    ):
        if step == "ALTER TABLE":  # It is short, and waits for whoever reads the table.
            reader.execute("LOCK TABLE tasks_task IN ACCESS SHARE MODE")
        with subprocess.Popen(command, cwd=ROOT, env=environment(database_url), stderr=subprocess.DEVNULL) as first:
            running = None
            while running is None and first.poll() is None:
                running = watch.execute(
                    "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s AND datname = %s"
                    " AND application_name NOT LIKE 'citus%%'",
                    [f"%{step}%", database_url.rpartition("/")[2]],
                ).fetchone()
            assert running
            watch.execute("SELECT pg_terminate_backend(%s::integer)", running)
        assert first.returncode != 0
        reader.rollback()
        distribute(database_url, "--yes")
        assert state(database_url) == SPREAD
        citus.run_sql(
            database_url,
            "INSERT INTO tasks_task (user_id, title, completed, created_at, updated_at) "
            "VALUES ('bob', 'Milk', false, now(), now())",
        )
        assert citus.run_sql(database_url, "SELECT id FROM tasks_task WHERE user_id = 'bob'") == [(20_001,)]


@pytest.mark.promise("P-122")
@on_citus
def test_users_go_on_writing_while_it_runs_and_every_node_serves_afterwards(database_url: str) -> None:
    done, statuses = Event(), set()
    service = Live(environment(database_url)).start()
    try:

        def write(number: int) -> dict[int, str]:
            user, kept = User(service, f"user{number}"), {}
            while not done.is_set():
                answer = user.request("POST", user.tasks, {"title": "Bread"})
                statuses.add(answer.status)
                if answer.status == 201:
                    kept[answer.json()["id"]] = user.subject
            return kept

        with citus.joined(database_url) as workers, ThreadPoolExecutor() as pool:
            writers = [pool.submit(write, number) for number in range(3)]
            try:
                distribute(database_url, "--yes")
                time.sleep(1)
            finally:
                done.set()
            created = [task for writer in writers for task in writer.result().items()]
            assert statuses <= {201, 503}
            stored = citus.run_sql(database_url, "SELECT id, user_id FROM tasks_task WHERE user_id <> 'alice'")
            assert set(created) <= set(stored)
            assert len({task_id for task_id, _ in stored}) == len(stored)
            service.stop()

            # Migrations go on, and an instance may ask a worker.
            manage(environment(database_url), "migrate", "sessions", "zero")
            manage(environment(database_url), "migrate")
            service = Live(environment(workers[0])).start()
            assert service.request("GET", "/readyz").status == 200
            user = User(service, "user0")
            created_there = user.create("Bread", description="by way of a worker")
            assert created_there["id"] == 2**48 + 1
            assert created_there in user.list()
            service.stop()
    finally:
        service.stop()
        service.log_file.unlink()
