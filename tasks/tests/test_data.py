"""All tasks of one user: exported completely, erased completely, restored as they were."""

import inspect
import io
import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from model_bakery import baker

from conftest import Actor, rows
from tasks import data, statements
from tasks.models import Task

pytestmark = pytest.mark.django_db


def run(command: str, *arguments: Any) -> str:
    said = io.StringIO()
    call_command(command, *map(str, arguments), stdout=said)
    return said.getvalue()


def export(owner: str, folder: Path) -> list[dict[str, Any]]:
    """Export to a new file, and read it."""
    file = folder / f"{len(list(folder.iterdir()))}.jsonl"
    run("export_user", owner, file)
    *tasks, end = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert end == {"tasks": len(tasks)}
    return tasks


def log(task: Task) -> None:
    LogEntry.objects.log_actions(baker.make(User).pk, [task], CHANGE, "Changed.", single_object=True)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "BATCH_SIZE", 2)


# --- export_user ------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-118")
@pytest.mark.usefixtures("small_batches")
def test_an_export_is_what_the_owner_sees_and_nothing_else(alice: Actor, bobs: Task, tmp_path: Path) -> None:
    for number in range(5):
        alice.post(alice.tasks, {"title": f"Ünï {number}", "description": "a\r\n\u2028b" if number else None})
    before = rows()
    assert export("alice", tmp_path) == alice.get(f"{alice.tasks}?ordering=created_at").json()
    assert export("nobody", tmp_path) == []
    assert rows() == before


def test_an_exported_file_is_for_its_owner_alone_and_replaces_none(alice: Actor, milk: Task, tmp_path: Path) -> None:
    file = tmp_path / "alice.jsonl"
    run("export_user", "alice", file)
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.read_bytes()
    for path in (file, tmp_path, "/dev/null"):
        with pytest.raises(CommandError, match="exists already"):
            run("export_user", "alice", path)
    with pytest.raises(CommandError, match="No such file"):
        run("export_user", "alice", tmp_path / "not" / "there")
    assert file.read_bytes() == written
    assert list(tmp_path.iterdir()) == [file]


def test_an_export_replaces_no_file_that_came_up_meanwhile(milk: Task, tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "alice.jsonl"

    def somebody_writes_it(owner: str):
        file.write_text("Mine")
        yield [statements.read(owner, milk.pk)]

    monkeypatch.setattr(data, "export", somebody_writes_it)
    with pytest.raises(CommandError, match="File exists"):
        run("export_user", "alice", file)
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == [(file, "Mine")]


def test_an_export_is_on_the_disk_before_it_has_its_name(milk: Task, tmp_path: Path, monkeypatch) -> None:
    written = []

    def fsync(descriptor: int) -> None:
        path = Path(f"/dev/fd/{descriptor}").resolve()
        written.append((path.parent, path.stat().st_size) if path.is_file() else (path, sorted(path.iterdir())))

    monkeypatch.setattr(os, "fsync", fsync)
    file = tmp_path / "alice.jsonl"
    run("export_user", "alice", file)
    assert written == [(tmp_path, file.stat().st_size), (tmp_path, [file])]


def test_an_export_that_breaks_off_leaves_no_file(milk: Task, tmp_path: Path, monkeypatch) -> None:
    def breaks_off(owner: str):
        yield [statements.read(owner, milk.pk)]
        raise OSError("the disk is full")

    monkeypatch.setattr(data, "export", breaks_off)
    with pytest.raises(CommandError, match="the disk is full"):
        run("export_user", "alice", tmp_path / "alice.jsonl")
    assert list(tmp_path.iterdir()) == []


# --- import_user ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_an_import_restores_everything_but_ids_and_keys(alice: Actor, bob: Actor, bobs: Task, tmp_path: Path) -> None:
    for number in range(5):
        task = alice.post(alice.tasks, {"title": f"Task {number}"}, Idempotency_Key=f"k{number}").json()
    alice.patch(alice.complete(task["id"]))
    tag = alice.get(alice.task(task["id"]))["ETag"]
    exported = export("alice", tmp_path)
    run("erase_user", "alice", "--yes")
    assert run("import_user", "alice", tmp_path / "0.jsonl") == "Imported 5 tasks.\n"
    restored = export("alice", tmp_path)
    assert not {one["id"] for one in restored} & {one["id"] for one in exported}
    assert [{**one, "id": 0} for one in restored] == [{**one, "id": 0} for one in exported]
    assert alice.get(alice.task(restored[4]["id"]))["ETag"] == tag
    assert alice.put(alice.task(restored[4]["id"]), {"title": "Written"}, If_Match=tag).status_code == 200
    # The ids go on, and a key that was erased makes a new task.
    assert alice.post(alice.tasks, {"title": "Task 0"}, Idempotency_Key="k0").json()["id"] > restored[4]["id"]
    assert bob.get(bob.tasks).json()[0]["title"] == "Bob's secret"


@pytest.mark.parametrize(
    "text", [" padded ", " ", "\u2028\u0085\r\n\t", '"\\/', "𝄞e\u0301\ufeff\ufffe\x7f\x01", "x" * 200]
)
def test_text_and_times_come_back_exactly_however_they_got_there(text: str, tmp_path: Path) -> None:
    moments = [
        datetime(999, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(9999, 1, 1, tzinfo=UTC),
    ]
    for moment in moments:
        Task.objects.create(user_id="alice", title=text, description=text * 25, created_at=moment, updated_at=moment)
    exported = export("alice", tmp_path)
    run("import_user", "bob", tmp_path / "0.jsonl")
    restored = Task.objects.filter(user_id="bob").order_by("created_at")
    assert [(task.title, task.description, task.created_at) for task in restored] == [
        (text, text * 25, moment) for moment in moments
    ]
    assert [{**one, "id": 0, "user_id": "alice"} for one in export("bob", tmp_path)] == [
        {**one, "id": 0} for one in exported
    ]


def test_an_export_of_a_release_with_fewer_fields_can_be_restored(milk: Task, tmp_path: Path) -> None:
    line = {key: value for key, value in export("alice", tmp_path)[0].items() if key != "description"}
    (tmp_path / "old.jsonl").write_text(json.dumps(line) + '\n{"tasks": 1}\n')
    run("import_user", "bob", tmp_path / "old.jsonl")
    assert Task.objects.get(user_id="bob").description is None


LINE = {
    "id": 1, "title": "Milk", "description": None, "completed": False, "user_id": "alice",
    "created_at": "2026-01-01T00:00:00.000001Z", "updated_at": "2026-01-01T00:00:00.000002Z",
}  # fmt: skip
BROKEN = {
    "cut off": json.dumps(LINE)[:-9],
    "empty": "",
    "no object": "[]",
    "null": "null",
    "nested": "[" * 5000,
    "twice": json.dumps(LINE)[:-1] + ', "title": "x"}',
    "no text": '{"title": "\\ud800"}',
    "too long a line": json.dumps({**LINE, "description": " " * 300_000}),
    "unknown member": json.dumps({**LINE, "due_at": None}),
    "another's": json.dumps({**LINE, "user_id": "bob"}),
    "binary": "\x00\x01",
    **{f"no {name}": json.dumps({key: value for key, value in LINE.items() if key != name})
       for name in ("title", "user_id", "created_at", "updated_at")},
    **{f"{name} {value!r:.20}": json.dumps({**LINE, name: value})
       for name, values in {
           "title": ["", None, 5, "x" * 201, "a\0", "\ud800"],
           "description": [5, "x" * 5001, "a\0", ["x"]],
           "completed": ["yes", 1, None],
           "user_id": ["", None],
           "created_at": ["", None, "yesterday", 5, "2026-13-01T00:00:00Z"],
           "updated_at": ["9999-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999999Z"],
       }.items() for value in values},
}  # fmt: skip


@pytest.mark.promise("P-118")
@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_refused_by_its_line_and_nothing_is_imported(fault: str, bobs: Task, tmp_path: Path) -> None:
    good = json.dumps(LINE)
    (tmp_path / "broken.jsonl").write_text("\n".join([good, good, good, BROKEN[fault], good]))
    before = rows()
    with pytest.raises(CommandError, match=r"^Nothing was imported\. Line 4\b") as refusal:
        run("import_user", "alice", tmp_path / "broken.jsonl")
    assert "Milk" not in str(refusal.value)
    assert rows() == before


@pytest.mark.promise("P-118")
@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("tasks", [0, 3, 4])
def test_a_damaged_export_is_refused_with_what_is_wrong_and_what_to_do(tasks: int, bobs: Task, tmp_path: Path) -> None:
    for number in range(tasks):
        Task.objects.create(user_id="alice", title=f"Milk {number}")
    export("alice", tmp_path)
    *lines, end = (tmp_path / "0.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "damaged.jsonl").touch()
    before = rows()
    refused = {
        "The last line is missing, which says how many tasks there are.": [lines, lines[:1]],
        f"Line {tasks + 2} comes after the end of the export.": [[*lines, end] * 2, [*lines, end, b"\n"]],
        f"Line {tasks + 1} does not say how many tasks come before it, {tasks}.": [
            [*lines, b'{"tasks": %s}' % number] for number in (b"1", b"-1", b"null", b'"Milk"')
        ],
    }
    if tasks:
        refused[f"Line {tasks} does not say how many tasks come before it, {tasks - 1}."] = [[*lines[1:], end]]
    for reason, files in refused.items():
        for file in files:
            (tmp_path / "damaged.jsonl").write_bytes(b"".join(file))
            with pytest.raises(CommandError) as refusal:
                run("import_user", "carol", tmp_path / "damaged.jsonl")
            assert str(refusal.value) == f"Nothing was imported. {reason} Import the whole file that export_user wrote."
    assert rows() == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"due_at": "Milk", "Milk at home": 1}', "The member due_at is not known here."),
        ('{"Milk at home": 1}', "A member of it is not known here."),
        ("[]", "The line is not a JSON object."),
        ("null", "The line is not a JSON object."),
    ],
)
def test_a_refusal_names_what_another_release_has_and_quotes_nothing(db, line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text(line)
    with pytest.raises(CommandError) as refusal:
        run("import_user", "alice", tmp_path / "other.jsonl")
    assert str(refusal.value) == f"Nothing was imported. Line 1: {said}"


def test_an_import_is_refused_for_a_user_who_has_tasks(milk: Task, tmp_path: Path) -> None:
    export("alice", tmp_path)
    before = rows()
    with pytest.raises(CommandError, match="this user has tasks"):
        run("import_user", "alice", tmp_path / "0.jsonl")
    for user in ("", "x" * 256, "a/b", "a\0", "a\udcff"):
        with pytest.raises(CommandError, match="1 to 255"):
            run("import_user", user, tmp_path / "0.jsonl")
    with pytest.raises(CommandError, match="No such file"):
        run("import_user", "bob", tmp_path / "1.jsonl")
    assert rows() == before


@pytest.mark.django_db(transaction=True)
def test_of_two_imports_at_one_moment_one_is_refused(milk: Task, tmp_path: Path) -> None:
    export("alice", tmp_path)
    lines, both, refused = (tmp_path / "0.jsonl").read_bytes().splitlines(), threading.Barrier(2, timeout=1), []

    def wait_for_the_other() -> Iterator[bytes]:
        with suppress(threading.BrokenBarrierError):
            both.wait()  # Where one waits for the other before it reads, they do not meet.
        yield from lines

    def restore() -> None:
        try:
            data.restore("bob", data.parse_export(wait_for_the_other()))
        except data.NotEmpty as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=restore) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert Task.objects.filter(user_id="bob").count() == 1


# --- erase_user -------------------------------------------------------------------------------------------------------


def test_erasing_says_the_number_first_and_needs_a_yes(milk: Task, bobs: Task) -> None:
    log(milk)
    before, entries = rows(), LogEntry.objects.count()
    assert run("erase_user", "alice", "--dry-run") == "alice has 1 task.\n"
    said = io.StringIO()
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase_user", "alice", stdout=said)
    assert said.getvalue() == "alice has 1 task.\n"
    with pytest.raises(CommandError, match="not allowed with"):
        run("erase_user", "alice", "--yes", "--dry-run")
    assert (rows(), LogEntry.objects.count()) == (before, entries)


@pytest.mark.promise("P-119")
@pytest.mark.usefixtures("small_batches")
def test_nothing_of_the_erased_user_is_left_and_all_of_the_others_is(alice: Actor, bobs: Task) -> None:
    log(bobs)
    before, entries = rows(), list(LogEntry.objects.values())
    for number in range(5):
        alice.post(alice.tasks, {"title": f"Alice {number}"}, Idempotency_Key=f"k{number}")
    for task in Task.objects.filter(user_id="alice"):
        log(task)
    assert run("erase_user", "alice", "--yes") == (
        "alice has 5 tasks.\nErased 5 tasks, and 5 entries of the admin's log.\n"
    )
    assert (rows(), list(LogEntry.objects.values())) == (before, entries)
    assert run("erase_user", "alice", "--yes") == (
        "alice has 0 tasks.\nErased 0 tasks, and 0 entries of the admin's log.\n"
    )


@pytest.mark.parametrize("user", ["-alice", "--yes", "-"])
def test_a_user_id_may_begin_with_a_dash_after_two(user: str, bobs: Task, tmp_path: Path) -> None:
    Task.objects.create(user_id=user, title="Milk")
    before = rows()
    run("export_user", "--", user, tmp_path / "file")
    run("erase_user", "--yes", "--", user)
    assert [row for row in before if row[1] == "bob"] == rows()
    run("import_user", "--", user, tmp_path / "file")
    assert Task.objects.get(user_id=user).title == "Milk"


def test_the_token_of_an_erased_user_sees_an_empty_list(alice: Actor, milk: Task) -> None:
    run("erase_user", "alice", "--yes")
    assert (alice.get(alice.tasks).status_code, alice.get(alice.tasks).json()) == (200, [])
    assert alice.get(alice.task(milk.pk)).status_code == 404


@pytest.mark.promise("P-119")
@pytest.mark.usefixtures("small_batches")
def test_an_erasure_that_was_interrupted_goes_on(alice: Actor, db) -> None:
    for number in range(7):
        log(Task.objects.create(user_id="alice", title=f"{number}"))

    def stop(deleted: int) -> None:
        if Task.objects.count() <= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.erase("alice", stop)
    assert (Task.objects.count(), LogEntry.objects.count()) == (3, 3)
    assert data.erase("alice") == (3, 3, True)
    assert not Task.objects.exists()
    assert not LogEntry.objects.exists()


@pytest.mark.usefixtures("small_batches")
def test_a_task_that_is_created_meanwhile_is_erased_too(db) -> None:
    for number in range(5):
        Task.objects.create(user_id="alice", title=f"{number}")
    late = [timezone.now() - timedelta(days=1), timezone.now() + timedelta(days=1)]

    def go_on_creating(deleted: int) -> None:
        if late:
            Task.objects.create(user_id="alice", title="late", created_at=late.pop(0))

    assert data.erase("alice", go_on_creating) == (7, 0, True)
    assert not Task.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite alone keeps what is deleted in its file.")
def test_no_title_is_left_in_the_files_of_sqlite_and_while_somebody_reads_them_it_is_said(alice: Actor) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 100")  # As long as the command waits for the reader.
    for number in range(200):
        alice.post(alice.tasks, {"title": f"Unmistakable {number}", "description": "Unmistakable" * 9})
    file = Path(str(connection.settings_dict["NAME"]))
    files = [file, file.with_name(file.name + "-wal")]
    assert b"Unmistakable" in b"".join(file.read_bytes() for file in files)
    with closing(sqlite3.connect(file, isolation_level=None)) as backup:
        backup.execute("BEGIN")
        backup.execute("SELECT count(*) FROM tasks_task").fetchone()
        for tasks in (200, 0):
            with pytest.raises(CommandError, match=f"^Erased {tasks} tasks, but .* Run it again.$"):
                run("erase_user", "alice", "--yes")
        assert b"Unmistakable" in b"".join(file.read_bytes() for file in files)
    assert "Erased 0 tasks, and" in run("erase_user", "alice", "--yes")
    assert b"Unmistakable" not in b"".join(file.read_bytes() for file in files)
    connection.close()  # The next one has its own timeout.


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite keeps no samples of what is deleted")
def test_no_title_is_left_in_the_statistics_of_postgresql(alice: Actor, bobs: Task) -> None:
    for number in range(200):
        Task.objects.create(user_id="alice", title=f"Unmistakable {number}", idempotency_key=f"k{number}")
    statistics = "SELECT * FROM pg_stats WHERE tablename = 'tasks_task'"
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE tasks_task")
        cursor.execute(statistics)
        assert "Unmistakable" in str(cursor.fetchall())
        data.erase("alice")
        cursor.execute(statistics)
        assert not re.search("Unmistakable|alice", str(cursor.fetchall()))


# --- The statements ---------------------------------------------------------------------------------------------------


def test_every_statement_on_tasks_names_the_owner(milk: Task, bobs: Task, tmp_path: Path) -> None:
    log(milk)
    export("alice", tmp_path)
    with CaptureQueriesContext(connection) as queries:
        run("export_user", "alice", tmp_path / "alice.jsonl")
        run("erase_user", "alice", "--yes")
        run("import_user", "alice", tmp_path / "alice.jsonl")
    statements = [query["sql"] for query in queries if "tasks_task" in query["sql"]]
    statements = [sql for sql in statements if sql != "ANALYZE tasks_task"]
    assert len(statements) >= 7
    for sql in statements:
        if sql.startswith("INSERT"):
            assert "VALUES ('alice'," in sql or "('alice')" in sql or "['alice']" in sql, sql
        else:
            condition = sql.partition(" WHERE ")[2]
            assert re.search(r"user_id\"? = 'alice'", condition), sql
            assert " OR " not in condition, sql


@pytest.mark.parametrize("function", [data.count, data.export, data.export_lines, data.erase, data.restore])
def test_every_function_that_touches_rows_takes_the_owner_first(function) -> None:
    owner = next(iter(inspect.signature(function).parameters.values()))
    assert (owner.name, owner.default) == ("owner", inspect.Parameter.empty)
