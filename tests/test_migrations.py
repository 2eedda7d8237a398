"""A release: the previous code serves during and after the new migrations, and no migration blocks requests."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from tests.live import ROOT, User, environment, fresh_database, live, manage

POSTGRESQL = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2] != "sqlite3"

# --- What a migration may do ------------------------------------------------------------------------------------------

# The first makes the table, and the fourth an index by SQL: test_the_index_of_the_keys_is_made_while_somebody_writes.
TRIED_BELOW = {"0001_task_table", "0004_idempotency_index"}
HARMLESS = (migrations.CreateModel, migrations.AlterModelOptions, migrations.AlterModelManagers)


def faults(operations: list[Operation], atomic: bool, made: frozenset[str] = frozenset()) -> Iterator[str]:
    """What would lock a full table for long, or break the code that is still running. What is not known is refused."""
    for operation in operations:
        if isinstance(operation, migrations.CreateModel):
            made |= {operation.name_lower}
        if isinstance(operation, HARMLESS) or getattr(operation, "model_name_lower", None) in made:
            continue
        if type(operation) in {migrations.AddIndex, migrations.RemoveIndex}:
            if atomic:
                yield f"{operation.describe()}: it locks the table; `atomic = False` makes it concurrent."
        elif not atomic:
            yield f"{operation.describe()}: on SQLite it may copy the table, and lose what is written meanwhile."
        elif isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from faults(operation.database_operations, atomic, made)
        elif isinstance(operation, migrations.AddField):
            field = operation.field
            if not field.null and not field.has_db_default():
                yield f"{operation.describe()}: the running code's inserts name no such column; give it null=True or db_default."
            if field.unique or field.db_index or field.remote_field:
                yield f"{operation.describe()}: its index or foreign key is made under a lock; add it by itself, concurrently."
        else:
            yield f"{operation.describe()}: it may rewrite or lock the table, or take away what the running code uses."


@pytest.mark.promise("P-110")
def test_no_migration_locks_a_full_table_or_breaks_the_running_code() -> None:
    loader = MigrationLoader(None)
    ours = {
        name: one for (app, name), one in loader.disk_migrations.items() if app == "tasks" and name not in TRIED_BELOW
    }
    assert [f"{name}: {fault}" for name, one in ours.items() for fault in faults(one.operations, one.atomic)] == []


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("task", "priority", models.IntegerField(default=0)),
        migrations.AddField("task", "priority", models.IntegerField(null=True, db_index=True)),
        migrations.AddField("task", "slug", models.CharField(max_length=9, null=True, unique=True)),
        migrations.AddField("task", "parent", models.ForeignKey("tasks.Task", models.CASCADE, null=True)),
        migrations.AddIndex("task", models.Index(fields=["title"], name="titles")),
        migrations.RemoveIndex("task", "tasks_owner_created"),
        migrations.AddConstraint("task", models.UniqueConstraint(fields=["title"], name="titles")),
        migrations.AddConstraint("task", models.CheckConstraint(condition=models.Q(id__gt=0), name="ids")),
        migrations.AlterField("task", "title", models.CharField(max_length=300)),
        migrations.AlterField("task", "id", models.IntegerField(primary_key=True)),
        migrations.RemoveField("task", "completed"),
        migrations.RenameField("task", "title", "name"),
        migrations.RenameModel("Task", "Todo"),
        migrations.DeleteModel("Task"),
        migrations.AlterModelTable("task", "todo"),
        AddIndexConcurrently("task", models.Index(fields=["title"], name="titles")),  # It fails on SQLite.
        migrations.RunSQL("UPDATE tasks_task SET completed = false"),
        migrations.RunPython(migrations.RunPython.noop),
        migrations.SeparateDatabaseAndState([migrations.RunSQL("VACUUM FULL tasks_task")]),
    ],
    ids=lambda operation: operation.describe(),
)
def test_what_locks_a_full_table_or_breaks_the_running_code_is_found(operation: Operation) -> None:
    assert len(list(faults([operation], atomic=True))) == 1


def test_what_neither_locks_nor_breaks_is_let_through() -> None:
    index = models.Index(fields=["title"], name="titles")
    notes = migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True))])
    operations = [
        notes,
        migrations.AddIndex("note", index),
        migrations.AddField("task", "due_at", models.DateTimeField(null=True)),
        migrations.AddField("task", "priority", models.IntegerField(db_default=0)),
        migrations.SeparateDatabaseAndState([], [migrations.RemoveField("task", "completed")]),
    ]
    assert list(faults(operations, atomic=True)) == []
    indexes: list[Operation] = [migrations.AddIndex("task", index), migrations.RemoveIndex("task", "titles")]
    assert list(faults(indexes, atomic=False)) == []


def test_only_an_index_may_be_made_without_a_transaction() -> None:
    """On SQLite Django copies the table for most other changes."""
    due = migrations.AddField("task", "due_at", models.DateTimeField(null=True))
    assert len(list(faults([due], atomic=False))) == 1


# --- The code before a release, and the database after it ---------------------------------------------------------


@contextmanager
def client_at_work(user: User) -> Iterator[set[int]]:
    """The six endpoints, again and again; what they answered."""
    stopping, statuses = threading.Event(), set[int]()

    def work() -> None:
        while not stopping.is_set():
            made = user.request("POST", user.tasks, {"title": "Milk"})
            statuses.add(made.status)
            one = f"{user.tasks}/{made.json()['id']}"
            for method, path, body in (
                ("GET", f"{user.tasks}?search=milk", None),
                ("GET", one, None),
                ("PUT", one, {"title": "Bread"}),
                ("PATCH", f"{one}/complete", None),
                ("DELETE", one, None),
            ):
                statuses.add(user.request(method, path, body).status)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        time.sleep(0.5)
        yield statuses
        time.sleep(0.5)
    finally:
        stopping.set()
        thread.join()


def next_release(folder: Path, changes: dict[str, str]) -> None:
    """Copy the project into the folder and change its model there."""
    for name in ("tasks", "todo_project"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", ".env.example"):
        shutil.copy(ROOT / name, folder / name)
    models_file = folder / "tasks" / "models.py"
    text = models_file.read_text()
    for before, after in changes.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    models_file.write_text(text)


def run(folder: Path, database_url: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=folder,
        env=environment(database_url),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.promise("P-110")
def test_the_code_before_a_migration_serves_while_and_after_it_runs(tmp_path: Path) -> None:
    """A copy of the project, the next release, gets two columns; this code knows nothing of them."""
    flag = "    completed = models.BooleanField(default=False)\n"
    due, priority = "models.DateTimeField(null=True, blank=True)", "models.IntegerField(db_default=0)"
    next_release(tmp_path, {flag: f"{flag}    due_at = {due}\n    priority = {priority}\n"})
    with live() as service:
        database_url = service.variables["DATABASE_URL"]
        run(tmp_path, database_url, "makemigrations", "tasks", "--name", "next")
        assert service.request("GET", "/readyz").status == 200
        with client_at_work(User(service)) as statuses:
            run(tmp_path, database_url, "migrate", "--noinput")
        assert statuses == {200, 201, 204}
        assert "next" in manage(service.variables, "shell", "-c", APPLIED).stdout
        # A process of the old code that starts now, as after a crash or where the release is taken back.
        service.stop()
        service.start()
        assert service.request("GET", "/readyz").status == 200
        with client_at_work(User(service)) as statuses:
            pass
        assert statuses == {200, 201, 204}


@pytest.mark.promise("P-110")
def test_an_index_is_made_while_somebody_writes(tmp_path: Path) -> None:
    index = 'models.Index(fields=["user_id", "title", "id"], name="tasks_owner_title"),'
    next_release(tmp_path, {"indexes = [": f"indexes = [{index}"})
    with live() as service:
        database_url = service.variables["DATABASE_URL"]
        run(tmp_path, database_url, "makemigrations", "tasks", "--name", "next")
        (migration,) = (tmp_path / "tasks" / "migrations").glob("*_next.py")
        top = "class Migration(migrations.Migration):\n"
        migration.write_text(migration.read_text().replace(top, f"{top}    atomic = False\n"))
        cut_off(tmp_path, database_url, "tasks_owner_title")
        with client_at_work(User(service)) as statuses, open_writer(database_url):
            run(tmp_path, database_url, "migrate", "--noinput")
        assert statuses == {200, 201, 204}
        if POSTGRESQL:
            assert is_valid(database_url, "tasks_owner_title")
            # As where the last attempt ended before Django recorded it.
            run(tmp_path, database_url, "migrate", "--fake", "tasks", "0004")
            run(tmp_path, database_url, "migrate", "--noinput")
        run(tmp_path, database_url, "migrate", "tasks", "0004")
        assert service.request("GET", "/readyz").status == 200


@pytest.mark.promise("P-110")
def test_the_index_of_the_keys_is_made_while_somebody_writes() -> None:
    with fresh_database() as database_url:
        run(ROOT, database_url, "migrate", "tasks", "0003")
        cut_off(ROOT, database_url, "tasks_idempotency_key")
        with open_writer(database_url):
            run(ROOT, database_url, "migrate", "--noinput")
        assert not POSTGRESQL or is_valid(database_url, "tasks_idempotency_key")
        run(ROOT, database_url, "migrate", "tasks", "0001")
        run(ROOT, database_url, "migrate", "--noinput")


def test_a_database_that_has_the_index_of_the_keys_keeps_it() -> None:
    """Before 0004 was a migration of its own, 0002 made the index."""
    with fresh_database() as database_url:
        run(ROOT, database_url, "migrate", "--noinput")
        run(ROOT, database_url, "migrate", "--fake", "tasks", "0003")
        run(ROOT, database_url, "migrate", "--noinput")


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite makes an index in one transaction")
def test_an_index_that_somebody_else_is_making_is_left_to_them() -> None:
    with fresh_database() as database_url:
        run(ROOT, database_url, "migrate", "tasks", "0003")
        with psycopg.connect(database_url) as writer:
            writer.execute(WRITE)
            with migrating(ROOT, database_url) as first:
                until_an_index_waits(database_url)
                with migrating(ROOT, database_url) as second:
                    assert second.communicate(timeout=30)[1] == "Database: canceling statement due to lock timeout\n"
                writer.rollback()
                assert first.wait(timeout=30) == 0
        assert is_valid(database_url, "tasks_idempotency_key")


@contextmanager
def open_writer(database_url: str) -> Iterator[None]:
    """Somebody whose transaction has written, and who ends it a second after an index is seen waiting for that.

    SQLite has one writer at a time: there a migration waits for the end of the transaction like any other.
    """
    if not POSTGRESQL:
        yield
        return

    def end() -> None:
        until_an_index_waits(database_url)
        time.sleep(1)
        writer.rollback()

    with psycopg.connect(database_url) as writer:
        writer.execute(WRITE)
        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        yield
        assert not ending.is_alive(), "No index was made concurrently."


def cut_off(folder: Path, database_url: str, index: str) -> None:
    """Let a migration lose its connection while it makes the index; what is left is not valid."""
    if not POSTGRESQL:
        return
    with psycopg.connect(database_url) as writer:
        writer.execute(WRITE)
        with migrating(folder, database_url) as process:
            writer.execute("SELECT pg_terminate_backend(%s)", [until_an_index_waits(database_url)])
            assert process.wait(timeout=30) == 1
        writer.rollback()
    assert not is_valid(database_url, index)


def until_an_index_waits(database_url: str) -> int:
    """Wait until an index that is made concurrently waits for a writer; return the process that makes it."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE query LIKE '% INDEX CONCURRENTLY %' AND wait_event_type = 'Lock'"
    waiting += " AND datname = current_database()"
    ends = time.monotonic() + 60
    with psycopg.connect(database_url, autocommit=True) as watcher:
        while time.monotonic() < ends:
            for (pid,) in watcher.execute(waiting):
                return int(pid)
            time.sleep(0.1)
    raise AssertionError("No index was made concurrently.")


@contextmanager
def migrating(folder: Path, database_url: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "manage.py", "migrate", "--noinput"]
    process = subprocess.Popen(command, cwd=folder, env=environment(database_url), stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()  # Where a test has failed, it may wait for ever.


def is_valid(database_url: str, index: str) -> bool:
    with psycopg.connect(database_url) as connection:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass"
        return connection.execute(valid, [index]).fetchone() == (True,)


WRITE = """
INSERT INTO tasks_task (user_id, title, completed, created_at, updated_at) VALUES ('bob', 'Rent', false, now(), now())
"""
APPLIED = "from django.db.migrations.recorder import MigrationRecorder as M; print(M.Migration.objects.last().name)"


# --- Locks ------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-110")
@pytest.mark.skipif(not POSTGRESQL, reason="SQLite has one lock, for writers")
def test_a_migration_waits_for_a_lock_no_longer_than_a_second(tmp_path: Path) -> None:
    """While a migration waits, all other statements queue up behind it. So it gives up, changes nothing, and can be repeated."""
    with live() as service:
        database_url = service.variables["DATABASE_URL"]
        manage(service.variables, "migrate", "tasks", "0001")
        with psycopg.connect(database_url) as reader:
            reader.execute("SELECT count(*) FROM tasks_task")  # As a long report does, or pg_dump.
            started = time.monotonic()
            done = manage(service.variables, "migrate", "--noinput", expect=1)
            assert done.stderr.splitlines() == ["Database: canceling statement due to lock timeout"]
            assert time.monotonic() - started < 15
        with psycopg.connect(database_url) as connection:
            (count,) = connection.execute("SELECT count(*) FROM django_migrations WHERE app = 'tasks'").fetchone()
        assert count == 1
        manage(service.variables, "migrate", "--noinput")
        assert service.request("GET", "/readyz").status == 200
