"""All tasks of one user, for operators: count, export, restore and erase them.

Each function takes the owner first, and each statement on tasks names that owner in an equality; ANALYZE alone cannot.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import orjson
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from rest_framework.exceptions import ValidationError

from tasks import statements
from tasks.models import Task
from tasks.serializers import ExportedTaskSerializer
from tasks.statements import TaskRow
from todo_project.problems import in_words, validation_errors
from todo_project.strict import decode_json

BATCH_SIZE = 1000  # Tasks that are in memory at once, and that `erase` deletes in one transaction.
MAX_LINE_BYTES = 256 * 1024  # More than the longest task needs, even with every character escaped.
NOT_UTF_8 = "No user has this id: it is not UTF-8."
TAKE_A_WHOLE_ONE = "Import the whole file that export_user wrote."
STILL_READ = "but the database's files still hold the text while somebody reads them, such as a backup."


class NotEmpty(Exception):
    """The owner has tasks, so nothing is restored."""


class BrokenExport(ValueError):
    """The lines are not one whole export; the message says where and why."""


def count(owner: str) -> int:
    """Return how many tasks the owner has."""
    return Task.objects.filter(user_id=owner).count()


def export(owner: str) -> Iterator[list[TaskRow]]:
    """Yield the owner's tasks in batches, oldest first, as clients see them.

    Each task that exists throughout is yielded exactly once, in a state that it had during the export.
    """
    after = None
    while batch := statements.page(owner, limit=BATCH_SIZE, ordering="created_at", after=after):
        yield batch
        after = batch[-1]["created_at"], batch[-1]["id"]


def export_lines(owner: str) -> Iterator[bytes]:
    """Yield the owner's tasks as lines of JSON, and last how many they are, so that a cut file is noticed."""
    exported = 0
    for batch in export(owner):
        for task in batch:
            yield orjson.dumps(task, option=orjson.OPT_APPEND_NEWLINE)
        exported += len(batch)
    yield b'{"tasks": %d}\n' % exported


def erase(owner: str, progress: Callable[[int], object] = lambda tasks: None) -> tuple[int, int, bool]:
    """Delete the owner's tasks with their idempotency keys, and their entries in the admin's log.

    Each batch is committed separately, so a second call continues an interrupted one. Returns how many tasks and how
    many log entries were deleted, and whether their text is gone from SQLite's files too.
    """
    log = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Task))
    tasks = entries = 0
    while statements.page(owner, limit=1):  # The owner may create tasks during the loop below.
        for batch in export(owner):
            ids = [task["id"] for task in batch]
            with transaction.atomic():
                deleted, _ = Task.objects.filter(user_id=owner, pk__in=ids).delete()
                entries += log.filter(object_id__in=map(str, ids)).delete()[0]
            tasks += deleted
            progress(deleted)
    gone = True
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        # The write-ahead log still has the deleted tasks, and stays while somebody reads from before the deletion.
        gone = _execute("PRAGMA wal_checkpoint(TRUNCATE)")[0] == 0
    if connection.vendor == "postgresql":
        _execute("ANALYZE tasks_task")  # Its statistics still have titles. No reader or writer waits for it.
    return tasks, entries, gone


def restore(owner: str, tasks: Iterable[Mapping[str, Any]]) -> int:
    """Create these tasks for the owner, all of them or none, and return how many they are.

    They get new ids and keep their times. If iterating over `tasks` raises an exception, nothing is created.

    Raises:
        NotEmpty: the owner has tasks.
    """
    remaining, restored = iter(tasks), 0
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # A concurrent restore to the same owner waits here, and then sees this one's tasks.
            _execute("SELECT pg_advisory_xact_lock(hashtext(%s))", owner)
        if statements.page(owner, limit=1):
            raise NotEmpty
        while batch := [Task(user_id=owner, **values) for values in islice(remaining, BATCH_SIZE)]:
            Task.objects.bulk_create(batch)
            restored += len(batch)
    return restored


def parse_export(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the tasks in the lines of an export, as `restore` takes them.

    Raises:
        BrokenExport: a line is not JSON, not a task, or belongs to another user than the first line, or the last line
            is missing, has another number of tasks, or is not the last.
    """
    serializer, first, ended = ExportedTaskSerializer(), None, False
    for number, line in enumerate(lines, 1):
        if ended:
            raise BrokenExport(f"Line {number} comes after the end of the export. {TAKE_A_WHOLE_ONE}")
        try:
            if len(line) > MAX_LINE_BYTES:
                raise ValueError
            value = decode_json(line)
            ended = isinstance(value, dict) and value.keys() == {"tasks"}
            values: dict[str, Any] = value if ended else serializer.run_validation(value)
        except ValidationError as error:
            raise BrokenExport(f"Line {number}: {in_words(next(validation_errors(error.detail)))}") from None
        except (ValueError, RecursionError):
            raise BrokenExport(f"Line {number} is not a line of JSON, or too long for a task.") from None
        if ended:
            if type(values["tasks"]) is not int or values["tasks"] != number - 1:
                said = f"Line {number} does not say how many tasks come before it, {number - 1}."
                raise BrokenExport(f"{said} {TAKE_A_WHOLE_ONE}")
            continue
        user_id = values.pop("user_id")
        first = first or user_id
        if user_id != first:
            raise BrokenExport(f"Line {number} is a task of another user than line 1.")
        yield values
    if not ended:
        raise BrokenExport(f"The last line is missing, which says how many tasks there are. {TAKE_A_WHOLE_ONE}")


def _execute(sql: str, *parameters: Any) -> Any:
    """Run a statement, and return its first row, if it has rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.description and cursor.fetchone()
