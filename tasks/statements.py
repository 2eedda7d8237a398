"""Every statement by which a request reaches a row.

Each function takes the owner first and sends exactly one statement, scoped by that owner; a task comes back as a
dict that is ready for JSON.
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

# A task as clients see it: the values of COLUMNS by their names, times as RFC 3339 text in UTC with six digits of
# microseconds.
TaskRow = dict[str, Any]

COLUMNS = ("id", *Task.CLIENT_FIELDS, "user_id", "created_at", "updated_at")


@dataclass(frozen=True)
class Condition:
    """What must hold of the row for a write to happen: its `updated_at` is one of some, and none of others."""

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
    """At most `limit` of the owner's tasks, in order, from after the task whose sort key and id are `after`.

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
        # A row comparison, which an index on (user_id, key, id) answers from the right place on.
        placeholder = "%s" if key == "title" else dialect.timestamp
        where.append(f"({key}, id) {'<' if descending else '>'} ({placeholder}, %s)")
        parameters += after
    direction = "DESC" if descending else "ASC"
    return _tasks(
        database,
        f"SELECT {_columns(dialect)} FROM tasks_task WHERE {' AND '.join(where)} "
        f"ORDER BY {key} {direction}, id {direction} LIMIT %s",
        [*parameters, limit],
    )


def read(owner: str, task_id: int) -> TaskRow | None:
    """The owner's task of that id."""
    database = connections[DEFAULT_DB_ALIAS]
    columns = _columns(dialect_of(database))
    return _task(database, f"SELECT {columns} FROM tasks_task WHERE user_id = %s AND id = %s", [owner, task_id])


def create(owner: str, values: Mapping[str, Any], *, idempotency: Idempotency | None = None) -> TaskRow | None:
    """A new task of the owner's; or the one that this idempotency key made, as it is now.

    A client field that is not among the values has its model's default. None if the key made a task of other values. A
    create with the same key under way is waited for.
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
    return _task(
        database,
        f"INSERT INTO tasks_task ({', '.join(columns)}, created_at, updated_at) "
        f"VALUES ({placeholders}, {dialect.now}, {dialect.now}) {conflict}RETURNING {_columns(dialect)}",
        parameters,
    )


def update(
    owner: str, task_id: int, values: Mapping[str, Any], *, condition: Condition | None = None
) -> TaskRow | None:
    """Write these client fields and keep the others."""
    # In the order of the declaration, so that the same fields are always the same text.
    assignments = [f"{name} = %s" for name in Task.CLIENT_FIELDS if name in values]
    return _write(owner, task_id, assignments, _stored(values, connections[DEFAULT_DB_ALIAS]), condition)


def toggle(owner: str, task_id: int, *, condition: Condition | None = None) -> TaskRow | None:
    """Complete an open task, reopen a completed one; two at the same moment both count."""
    return _write(owner, task_id, ["completed = NOT completed"], [], condition)


def delete(owner: str, task_id: int, *, condition: Condition | None = None) -> bool:
    """Whether there was such a task to delete."""
    database = connections[DEFAULT_DB_ALIAS]
    where, parameters = _where(owner, task_id, condition, dialect_of(database))
    return bool(_fetch_all(database, f"DELETE FROM tasks_task WHERE {where} RETURNING id", parameters))


# --- What they are made of ----------------------------------------------------------------------------------------


def _write(
    owner: str, task_id: int, assignments: list[str], values: list[Any], condition: Condition | None
) -> TaskRow | None:
    database = connections[DEFAULT_DB_ALIAS]
    dialect = dialect_of(database)
    where, parameters = _where(owner, task_id, condition, dialect)
    assignments = [*assignments, f"updated_at = {dialect.next_updated_at}"]
    return _task(
        database,
        f"UPDATE tasks_task SET {', '.join(assignments)} WHERE {where} RETURNING {_columns(dialect)}",
        [*values, *parameters],
    )


def _where(owner: str, task_id: int, condition: Condition | None, dialect: Dialect) -> tuple[str, list[Any]]:
    """The one row a write may touch, if it is the owner's and the condition holds of it."""
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
def _columns(dialect: Dialect) -> str:
    """What a statement returns: each of COLUMNS as JSON has it."""
    times = {field.name for field in Task._meta.concrete_fields if isinstance(field, DateTimeField)}
    return ", ".join(dialect.rfc3339.format(name) if name in times else name for name in COLUMNS)


def _stored(values: Mapping[str, Any], database: BaseDatabaseWrapper) -> list[Any]:
    """The client fields among the values as the database takes them, in the order of the declaration."""
    return [
        field.get_db_prep_value(values[name], database) for name, field in client_fields().items() if name in values
    ]


# The rows as dicts. A display for each, written out of COLUMNS, is twice as quick as dict(zip(...)); a list has 1000.
_as_tasks: Callable[[list[tuple[Any, ...]]], list[TaskRow]] = eval(  # noqa: S307
    f"lambda rows: [{{{', '.join(f'{name!r}: {name}' for name in COLUMNS)}}} for {', '.join(COLUMNS)} in rows]"
)


def _tasks(database: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[TaskRow]:
    return _as_tasks(_fetch_all(database, sql, parameters))


def _task(database: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> TaskRow | None:
    tasks = _tasks(database, sql, parameters)
    return tasks[0] if tasks else None


def _fetch_all(database: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of one statement, in one round trip where the database is PostgreSQL."""
    if database.vendor == "postgresql":
        rows: list[tuple[Any, ...]] = cast(Any, database).fetch_all(sql, parameters)
        return rows
    with database.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
