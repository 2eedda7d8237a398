"""The SQL expressions that differ between PostgreSQL and SQLite."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper

from tasks.search import like_pattern, regex_pattern


@dataclass(frozen=True)
class Dialect:
    """The expressions of one database."""

    # The current time, the same wherever it occurs in a statement. Where it is %s, the caller passes it.
    now: str
    # Later than the row's last write, even if the clock stands still or goes back.
    next_updated_at: str
    rfc3339: str
    # The same in RETURNING, unless it gives a datetime in UTC, which the caller still has to format.
    returned: str
    # A time in the column {}, as a page begins after it. With `at_task`, owner, id and time are parameters once more.
    timestamp: str
    at_task: bool
    # One parameter for any number of times, so that there are few different statements to prepare.
    updated_at_among: str
    # Case-insensitive search for a word, and how the word is written as its parameter.
    contains: str
    pattern: Callable[[str], str]


# A time with microseconds as Django's SQLite backend stores it, for SQLite's GLOB.
STORED = "????-??-?? ??:??:??." + "[0-9]" * 6
# Text as Django stores it is rewritten by SQLite itself, any other by the function.
SQLITE_RFC3339 = f"CASE WHEN {{0}} GLOB '{STORED}' THEN replace({{0}}, ' ', 'T') || 'Z' ELSE rfc3339({{0}}) END"

DIALECTS = {
    "postgresql": Dialect(
        now="statement_timestamp()",
        # Without a time zone the sum is immutable, and so is what is returned: Citus writes columns in no other way.
        next_updated_at="GREATEST(statement_timestamp(), "
        "(updated_at AT TIME ZONE 'UTC' + interval '1 microsecond') AT TIME ZONE 'UTC')",
        rfc3339="to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
        returned="{} AT TIME ZONE 'UTC'",
        timestamp="CAST(%s AS timestamptz)",
        at_task=False,
        updated_at_among="updated_at = ANY(CAST(string_to_array(%s, ',') AS timestamptz[]))",
        contains='{} COLLATE "C" ~ %s',  # With this collation the server's locale has no effect.
        pattern=regex_pattern,
    ),
    # SQLite's own clock has no microseconds, so its expressions call SQLITE_FUNCTIONS.
    "sqlite": Dialect(
        now="%s",
        next_updated_at="next_updated_at(updated_at)",
        rfc3339=SQLITE_RFC3339,
        returned=SQLITE_RFC3339,
        # Rows sort by the text that is stored, so a page begins after the task's own, however another program wrote it.
        timestamp="coalesce((SELECT {0} FROM tasks_task WHERE user_id = %s AND id = %s "
        f"AND {SQLITE_RFC3339} = %s), stored_timestamp(%s))",
        at_task=True,
        updated_at_among="updated_at_among(updated_at, %s)",
        contains="{} LIKE %s ESCAPE '\\'",
        pattern=like_pattern,
    ),
}


def dialect_of(connection: BaseDatabaseWrapper) -> Dialect:
    """Return the expressions of the connection's database.

    Raises:
        NotSupportedError: the database is neither PostgreSQL nor SQLite.
    """
    dialect = DIALECTS.get(connection.vendor)
    if dialect is None:
        raise NotSupportedError(f"Tasks are kept in PostgreSQL or SQLite, not in {connection.display_name}.")
    return dialect


# --- Functions that SQLite's statements call; times are text as Django stores them --------------------------------


def to_stored(moment: datetime) -> str:
    """Return the time as Django's SQLite backend stores it: in UTC, without an offset."""
    return str(moment.astimezone(UTC).replace(tzinfo=None))


def from_stored(stored: str) -> datetime:
    moment = datetime.fromisoformat(stored)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def next_updated_at(updated_at: str) -> str:
    return to_stored(max(datetime.now(UTC), from_stored(updated_at) + timedelta(microseconds=1)))


def rfc3339(stored: str | None) -> str | None:
    if stored is None:
        return None
    # Unlike strftime, it writes a year below 1000 in four digits.
    return f"{from_stored(stored).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def stored_timestamp(rfc3339_text: str) -> str:
    return to_stored(from_stored(rfc3339_text))


def updated_at_among(updated_at: str, moments: str) -> bool:
    return rfc3339(updated_at) in moments.split(",")


SQLITE_FUNCTIONS = (next_updated_at, rfc3339, stored_timestamp, updated_at_among)
