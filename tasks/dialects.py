"""What PostgreSQL and SQLite say differently in the statements."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper

from tasks.search import like_pattern, regex_pattern


@dataclass(frozen=True)
class Dialect:
    """The expressions of one database."""

    # One moment, however often it stands in a statement. With a %s, it is a parameter.
    now: str
    # Later than the row's last write, also when the clock stands still or goes back.
    next_updated_at: str
    rfc3339: str
    timestamp: str
    # The text does not grow with the moments, so that there are few texts to prepare.
    updated_at_among: str
    # Whether a word stands in a text, in either case, and how the word is written for it.
    contains: str
    pattern: Callable[[str], str]


DIALECTS = {
    "postgresql": Dialect(
        now="statement_timestamp()",
        next_updated_at="GREATEST(statement_timestamp(), updated_at + interval '1 microsecond')",
        rfc3339="to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
        timestamp="CAST(%s AS timestamptz)",
        updated_at_among="updated_at = ANY(CAST(string_to_array(%s, ',') AS timestamptz[]))",
        contains='{} COLLATE "C" ~ %s',  # The collation that has no say in it.
        pattern=regex_pattern,
    ),
    # SQLite's own clock has no microseconds, so its expressions call SQLITE_FUNCTIONS.
    "sqlite": Dialect(
        now="%s",
        next_updated_at="next_updated_at(updated_at)",
        rfc3339="rfc3339({})",
        timestamp="stored_timestamp(%s)",
        updated_at_among="updated_at_among(updated_at, %s)",
        contains="{} LIKE %s ESCAPE '\\'",
        pattern=like_pattern,
    ),
}


def dialect_of(connection: BaseDatabaseWrapper) -> Dialect:
    """The expressions of the connection's database.

    Raises:
        NotSupportedError: it is neither PostgreSQL nor SQLite.
    """
    dialect = DIALECTS.get(connection.vendor)
    if dialect is None:
        raise NotSupportedError(f"Tasks are kept in PostgreSQL or SQLite, not in {connection.display_name}.")
    return dialect


# --- Functions that run inside SQLite's statements; times are text as Django stores them --------------------------


def to_stored(moment: datetime) -> str:
    """The time as Django's SQLite backend stores it: in UTC, without saying so."""
    return str(moment.astimezone(UTC).replace(tzinfo=None))


def from_stored(stored: str) -> datetime:
    moment = datetime.fromisoformat(stored)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def next_updated_at(updated_at: str) -> str:
    return to_stored(max(datetime.now(UTC), from_stored(updated_at) + timedelta(microseconds=1)))


def rfc3339(stored: str | None) -> str | None:
    return None if stored is None else from_stored(stored).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def stored_timestamp(rfc3339_text: str) -> str:
    return to_stored(from_stored(rfc3339_text))


def updated_at_among(updated_at: str, moments: str) -> bool:
    return rfc3339(updated_at) in moments.split(",")


SQLITE_FUNCTIONS = (next_updated_at, rfc3339, stored_timestamp, updated_at_among)
