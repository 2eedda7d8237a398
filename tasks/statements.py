"""All SQL that requests run on tasks.

Each function takes the owner first and sends exactly one statement, scoped to that owner. Tasks come back as dicts
that are ready for JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField

from tasks.dialects import Dialect, dialect_of, to_stored
from tasks.models import Task, client_fields, with_defaults

# A task as clients see it: the values of COLUMNS by name, times as RFC 3339 text in UTC with six decimals.
TaskRow = dict[str, Any]

COLUMNS = ("id", *Task.CLIENT_FIELDS, "user_id", "created_at", "updated_at")
TIMES = [name for name in COLUMNS if isinstance(Task._meta.get_field(name), DateTimeField)]


@dataclass(frozen=True)
class Condition:
    """A condition on a write: the row's `updated_at` is one of `among`, if given, and none of `not_among`."""

    among: tuple[str, ...] | None = None
    not_among: tuple[str, ...] = ()


@dataclass(frozen=True)
class Idempotency:
    """A create's key, and a fingerprint of what it would create."""

    key: str
    fingerprint: str


def page(
    owner: str,
    *,
    limit: int,
    completed: bool | None = None,
    search: str | None = None,
    ordering: str = "-created_at",
    after: tuple[str, int] | None = None,
) -> list[TaskRow]:
    """Return at most `limit` of the owner's tasks, in order, beginning after the sort key and id in `after`.

    `ordering` is `created_at`, `updated_at` or `title`, with `-` for descending; the id breaks ties the same way.
    """
    database = connections[DEFAULT_DB_ALIAS]
    dialect = dialect_of(database)
    key, descending = ordering.removeprefix("-"), ordering.startswith("-")
    assert key in {"created_at", "updated_at", "title"}
    where, parameters = ["user_id = %s"], [cast(Any, owner)]
    if completed is not None:
        where.append("completed = %s")
        parameters.append(completed)
    if search is not None:
        where.append(f"({dialect.contains.format('title')} OR {dialect.contains.format('description')})")
        parameters += [dialect.pattern(search)] * 2
    if after is not None:
        # An index on (user_id, key, id) can seek straight to the place that a row comparison names.
        placeholder = "%s" if key == "title" else dialect.timestamp.format(key)
        where.append(f"({key}, id) {'<' if descending else '>'} ({placeholder}, %s)")
        if dialect.at_task and key != "title":
            parameters += [owner, after[1], after[0]]
        parameters += after
    direction = "DESC" if descending else "ASC"
    return _tasks(
        database,
        f"SELECT {_columns(dialect.rfc3339)} FROM tasks_task WHERE {' AND '.join(where)} "
        f"ORDER BY {key} {direction}, id {direction} LIMIT %s",
        [*parameters, limit],
    )


def read(owner: str, task_id: int) -> TaskRow | None:
    """Return the owner's task with this id, or None."""
    database = connections[DEFAULT_DB_ALIAS]
    columns = _columns(dialect_of(database).rfc3339)
    return _task(database, f"SELECT {columns} FROM tasks_task WHERE user_id = %s AND id = %s", [owner, task_id])


def create(owner: str, values: Mapping[str, Any], *, idempotency: Idempotency | None = None) -> TaskRow | None:
    """Create a task and return it; a repeated idempotency key returns the task it first created, as it is now.

    A client field missing from the values gets its model's default. Returns None if the key was used with other values.
    Waits for a concurrent create with the same key.
    """
    database = connections[DEFAULT_DB_ALIAS]
    dialect = dialect_of(database)
    columns = ["user_id", *Task.CLIENT_FIELDS]
    parameters = [owner, *_stored(with_defaults(values), database)]
    conflict = ""
    if idempotency is not None:
        columns += ["idempotency_key", "idempotency_fingerprint"]
        parameters += [idempotency.key, idempotency.fingerprint]
        # Writing the key over itself returns the row that is there, and locks it until its own create is committed.
        conflict = (
            "ON CONFLICT (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL "
            "DO UPDATE SET idempotency_key = excluded.idempotency_key "
            "WHERE tasks_task.idempotency_fingerprint = excluded.idempotency_fingerprint "
        )
    placeholders = ", ".join(["%s"] * len(columns))
    if dialect.now == "%s":
        parameters += [to_stored(datetime.now(UTC))] * 2
    return _written(
        database,
        f"INSERT INTO tasks_task ({', '.join(columns)}, created_at, updated_at) "
        f"VALUES ({placeholders}, {dialect.now}, {dialect.now}) {conflict}RETURNING {_columns(dialect.returned)}",
        parameters,
    )


def update(
    owner: str, task_id: int, values: Mapping[str, Any], *, condition: Condition | None = None
) -> TaskRow | None:
    """Write these client fields, keep the others, and return the task; None if no row matched."""
    # In the order of CLIENT_FIELDS, so that the same fields always give the same SQL to prepare.
    assignments = [f"{name} = %s" for name in Task.CLIENT_FIELDS if name in values]
    return _write(owner, task_id, assignments, _stored(values, connections[DEFAULT_DB_ALIAS]), condition)


def toggle(owner: str, task_id: int, *, condition: Condition | None = None) -> TaskRow | None:
    """Flip `completed` and return the task; None if no row matched. Concurrent toggles all take effect."""
    return _write(owner, task_id, ["completed = NOT completed"], [], condition)


def delete(owner: str, task_id: int, *, condition: Condition | None = None) -> bool:
    """Delete the task and return whether a row matched."""
    database = connections[DEFAULT_DB_ALIAS]
    where, parameters = _where(owner, task_id, condition, dialect_of(database))
    return bool(_fetch_all(database, f"DELETE FROM tasks_task WHERE {where} RETURNING id", parameters))


# --- Building and running the SQL ---------------------------------------------------------------------------------


def _write(
    owner: str, task_id: int, assignments: list[str], values: list[Any], condition: Condition | None
) -> TaskRow | None:
    database = connections[DEFAULT_DB_ALIAS]
    dialect = dialect_of(database)
    where, parameters = _where(owner, task_id, condition, dialect)
    assignments = [*assignments, f"updated_at = {dialect.next_updated_at}"]
    return _written(
        database,
        f"UPDATE tasks_task SET {', '.join(assignments)} WHERE {where} RETURNING {_columns(dialect.returned)}",
        [*values, *parameters],
    )


def _where(owner: str, task_id: int, condition: Condition | None, dialect: Dialect) -> tuple[str, list[Any]]:
    """Return a WHERE clause and its parameters that match the owner's task only while the condition holds."""
    where, parameters = "user_id = %s AND id = %s", [cast(Any, owner), task_id]
    if condition is not None:
        among = dialect.updated_at_among
        if condition.among is not None:
            where += f" AND {among}"
            parameters.append(",".join(condition.among))
        if condition.not_among:
            where += f" AND NOT {among}"
            parameters.append(",".join(condition.not_among))
    return where, parameters


@cache
def _columns(time: str) -> str:
    """Return the SQL for COLUMNS, with each time in this expression."""
    return ", ".join(time.format(name) if name in TIMES else name for name in COLUMNS)


def _stored(values: Mapping[str, Any], database: BaseDatabaseWrapper) -> list[Any]:
    """Return the values of client fields as the database takes them, in the order of CLIENT_FIELDS."""
    return [
        field.get_db_prep_value(values[name], database) for name, field in client_fields().items() if name in values
    ]


# Turns rows into dicts. A dict display generated from COLUMNS is quicker than dict(zip(...)), and a page has many rows.
_as_tasks: Callable[[list[tuple[Any, ...]]], list[TaskRow]] = eval(  # noqa: S307
    f"lambda rows: [{{{', '.join(f'{name!r}: {name}' for name in COLUMNS)}}} for {', '.join(COLUMNS)} in rows]"
)


def _tasks(database: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[TaskRow]:
    return _as_tasks(_fetch_all(database, sql, parameters))


def _task(database: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> TaskRow | None:
    tasks = _tasks(database, sql, parameters)
    return tasks[0] if tasks else None


def _written(database: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> TaskRow | None:
    """Return the task that a write returns."""
    task = _task(database, sql, parameters)
    if task is not None:
        for name in TIMES:
            if isinstance(task[name], datetime):
                task[name] = f"{task[name].isoformat(timespec='microseconds')}Z"
    return task


def _fetch_all(database: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of one statement, in one round trip on PostgreSQL."""
    if database.vendor == "postgresql":
        rows: list[tuple[Any, ...]] = cast(Any, database).fetch_all(sql, parameters)
        return rows
    with database.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
