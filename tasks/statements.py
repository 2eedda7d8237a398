"""Every statement by which a request reaches a row.

Each function takes the owner first and sends exactly one statement, scoped by that owner; a task comes back as a
dict that is ready for JSON. PostgreSQL and SQLite run the same text but for the few expressions in `Dialect`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypedDict, cast

from django.db import connection

from todo_project.connections import fetch_all


class TaskRow(TypedDict):
    """A task as clients see it; times are RFC 3339 text in UTC with six digits of microseconds."""

    id: int
    title: str
    description: str | None
    completed: bool
    user_id: str
    created_at: str
    updated_at: str


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


@dataclass(frozen=True)
class Dialect:
    """What the two databases say differently."""

    # One moment, however often it stands in a statement.
    now: str
    # Later than the row's last write, also when the clock stands still or goes back.
    next_updated_at: str
    rfc3339: str
    timestamp: str
    # The text does not grow with the moments, so that there are few texts to prepare.
    updated_at_among: str
    like: str

    @cached_property
    def columns(self) -> str:
        times = ", ".join(self.rfc3339.format(name) for name in ("created_at", "updated_at"))
        return f"id, title, description, completed, user_id, {times}"


POSTGRESQL = Dialect(
    now="statement_timestamp()",
    next_updated_at="GREATEST(statement_timestamp(), updated_at + interval '1 microsecond')",
    rfc3339="to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    timestamp="CAST(%s AS timestamptz)",
    updated_at_among="updated_at = ANY(CAST(string_to_array(%s, ',') AS timestamptz[]))",
    # The columns sort by code point, in a collation that folds ASCII only; `caseless` folds Unicode.
    like="{} COLLATE caseless ILIKE %s",
)
SQLITE = Dialect(
    now="%s",
    next_updated_at="next_updated_at(updated_at)",
    rfc3339="rfc3339({})",
    timestamp="stored_timestamp(%s)",
    updated_at_among="updated_at_among(updated_at, %s)",
    like="{} LIKE %s ESCAPE '\\'",
)


# --- SQLite has no clock with microseconds: these run inside its statements ---------------------------------------


def _stored(moment: datetime) -> str:
    return str(moment.astimezone(UTC).replace(tzinfo=None))  # As Django stores it.


def _moment(stored: str) -> datetime:
    moment = datetime.fromisoformat(stored)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def next_updated_at(updated_at: str) -> str:
    return _stored(max(datetime.now(UTC), _moment(updated_at) + timedelta(microseconds=1)))


def rfc3339(stored: str) -> str:
    return _moment(stored).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def stored_timestamp(rfc3339_text: str) -> str:
    return _stored(_moment(rfc3339_text))


def updated_at_among(updated_at: str, moments: str) -> bool:
    return rfc3339(updated_at) in moments.split(",")


SQLITE_FUNCTIONS = (next_updated_at, rfc3339, stored_timestamp, updated_at_among)


# --- The statements -----------------------------------------------------------------------------------------------


def dialect() -> Dialect:
    return POSTGRESQL if connection.vendor == "postgresql" else SQLITE


def _run(sql: str, parameters: Sequence[Any]) -> list[TaskRow]:
    return [
        {
            "id": task_id,
            "title": title,
            "description": description,
            "completed": completed,
            "user_id": user_id,
            "created_at": created_at,
            "updated_at": updated_at,
        }
        for task_id, title, description, completed, user_id, created_at, updated_at in fetch_all(sql, parameters)
    ]


def _where(owner: str, task_id: int, condition: Condition | None) -> tuple[str, list[Any]]:
    """The one row a write may touch, if it is the owner's and the condition holds of it."""
    where, parameters = "user_id = %s AND id = %s", [cast(Any, owner), task_id]
    if condition is not None:
        among = dialect().updated_at_among
        if condition.among is not None:
            where += f" AND {among}"
            parameters.append(",".join(condition.among))
        if condition.not_among:
            where += f" AND NOT {among}"
            parameters.append(",".join(condition.not_among))
    return where, parameters


def page(
    owner: str,
    *,
    limit: int,
    completed: bool | None = None,
    search: str | None = None,
    ordering: str = "-created_at",
    after: tuple[str, int] | None = None,
) -> list[TaskRow]:
    """At most `limit` of the owner's tasks, in order, from behind the task whose sort key and id are `after`.

    `ordering` is `created_at`, `updated_at` or `title`, with `-` for descending; the id breaks ties the same way.
    """
    speaks = dialect()
    key, descending = ordering.removeprefix("-"), ordering.startswith("-")
    assert key in {"created_at", "updated_at", "title"}
    where, parameters = ["user_id = %s"], [cast(Any, owner)]
    if completed is not None:
        where.append("completed = %s")
        parameters.append(completed)
    if search is not None:
        pattern = "%" + search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        where.append(f"({speaks.like.format('title')} OR {speaks.like.format('description')})")
        parameters += [pattern, pattern]
    if after is not None:
        # A row comparison, which an index on (user_id, key, id) answers from the right place on.
        placeholder = "%s" if key == "title" else speaks.timestamp
        where.append(f"({key}, id) {'<' if descending else '>'} ({placeholder}, %s)")
        parameters += after
    direction = "DESC" if descending else "ASC"
    return _run(
        f"SELECT {speaks.columns} FROM tasks_task WHERE {' AND '.join(where)} "
        f"ORDER BY {key} {direction}, id {direction} LIMIT %s",
        [*parameters, limit],
    )


def read(owner: str, task_id: int) -> TaskRow | None:
    """The owner's task of that id."""
    rows = _run(f"SELECT {dialect().columns} FROM tasks_task WHERE user_id = %s AND id = %s", [owner, task_id])
    return rows[0] if rows else None


def create(
    owner: str,
    *,
    title: str,
    description: str | None = None,
    completed: bool = False,
    idempotency: Idempotency | None = None,
) -> TaskRow | None:
    """A new task of the owner's; or the one that this idempotency key made, as it is now.

    None if the key made a task of other values. A create with the same key under way is waited for.
    """
    speaks = dialect()
    columns, values = "user_id, title, description, completed", [cast(Any, owner), title, description, completed]
    conflict = ""
    if idempotency is not None:
        columns += ", idempotency_key, idempotency_fingerprint"
        values += [idempotency.key, idempotency.fingerprint]
        # Writing the key over itself returns the row that is there, and locks it until its own create is committed.
        conflict = (
            "ON CONFLICT (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL "
            "DO UPDATE SET idempotency_key = excluded.idempotency_key "
            "WHERE tasks_task.idempotency_fingerprint = excluded.idempotency_fingerprint "
        )
    rows = _run(
        f"INSERT INTO tasks_task ({columns}, created_at, updated_at) "
        f"VALUES ({', '.join(['%s'] * len(values))}, {speaks.now}, {speaks.now}) "
        f"{conflict}RETURNING {speaks.columns}",
        values + [_stored(datetime.now(UTC))] * (2 if speaks is SQLITE else 0),
    )
    return rows[0] if rows else None


def update(
    owner: str,
    task_id: int,
    *,
    title: str,
    description: str | None = None,
    set_description: bool = False,
    completed: bool | None = None,
    condition: Condition | None = None,
) -> TaskRow | None:
    """Write what was given, keep the rest: the description unless `set_description`, the flag if it is None."""
    speaks = dialect()
    where, parameters = _where(owner, task_id, condition)
    rows = _run(
        "UPDATE tasks_task SET title = %s, "
        "description = CASE WHEN CAST(%s AS boolean) THEN %s ELSE description END, "
        f"completed = COALESCE(%s, completed), updated_at = {speaks.next_updated_at} "
        f"WHERE {where} RETURNING {speaks.columns}",
        [title, set_description, description, completed, *parameters],
    )
    return rows[0] if rows else None


def complete(
    owner: str, task_id: int, *, completed: bool | None = None, condition: Condition | None = None
) -> TaskRow | None:
    """Set the flag, or flip it if `completed` is None; two flips at the same moment both count."""
    speaks = dialect()
    where, parameters = _where(owner, task_id, condition)
    rows = _run(
        f"UPDATE tasks_task SET completed = COALESCE(%s, NOT completed), updated_at = {speaks.next_updated_at} "
        f"WHERE {where} RETURNING {speaks.columns}",
        [completed, *parameters],
    )
    return rows[0] if rows else None


def delete(owner: str, task_id: int, *, condition: Condition | None = None) -> bool:
    """Whether there was such a task to delete."""
    where, parameters = _where(owner, task_id, condition)
    return bool(fetch_all(f"DELETE FROM tasks_task WHERE {where} RETURNING id", parameters))
