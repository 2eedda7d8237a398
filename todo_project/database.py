"""Checks that this code can serve from its database, and one-line reasons for the log when the database fails."""

import logging
from sqlite3 import SQLITE_CORRUPT, SQLITE_ERROR, SQLITE_NOTADB
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import (
    Error,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.exceptions import MigrationSchemaMissing
from django.db.migrations.loader import MigrationLoader

logger = logging.getLogger(__name__)

INSUFFICIENT_PRIVILEGE = "42501"
# In these classes of SQLSTATE, PostgreSQL's message is about the server, the statement or the schema. In any other it
# may quote a row.
MESSAGE_IS_SAFE = frozenset({"08", "25", "28", "3D", "42", "53", "57", "58"})


class WrongDatabase(ImproperlyConfigured, OperationalError):
    """This database can never serve this code: a starting process stops, and a request is answered with 503."""


def refuse_wrong_database(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Close a new connection to a database that this service cannot run on. It costs no round trip.

    Raises:
        WrongDatabase: it is neither PostgreSQL nor SQLite, or its encoding is not UTF-8.
    """
    fault = ""
    if connection.vendor not in {"postgresql", "sqlite"}:
        fault = f"is {connection.display_name}, and this service runs on PostgreSQL or SQLite."
    elif connection.vendor == "postgresql":
        # A pooler may not report the encoding; then there is nothing to check.
        encoding = connection.connection.info.parameter_status("server_encoding") or "UTF8"
        if encoding != "UTF8":
            fault = f"has the encoding {encoding}. Create it with ENCODING 'UTF8' TEMPLATE template0."
    if fault:
        connection.close()
        raise WrongDatabase(f"The database of DATABASE_URL {fault}")


# --- Migrations ---------------------------------------------------------------------------------------------------

_migrated = False


def is_migrated() -> bool:
    """Return whether every migration of this code is applied. Once they are, later calls skip the check.

    Unknown migrations come from a later release that was rolled back; they are logged once and do no harm.

    Raises:
        django.db.Error: the database did not answer.
    """
    global _migrated
    if not _migrated:
        missing, unknown = _migrations()
        if missing:
            logger.error("%s", _not_migrated(missing))
            return False
        if unknown:
            logger.warning("The database has migrations of another release: %s", ", ".join(unknown))
        _migrated = True
    return True


def _migrations() -> tuple[list[str], list[str]]:
    """Return the migrations that the database lacks, and those of installed apps that only the database knows."""
    loader = MigrationLoader(connection)
    missing = loader.graph.nodes.keys() - loader.applied_migrations.keys()
    unknown = {
        (app, name)
        for app, name in loader.applied_migrations.keys() - loader.disk_migrations.keys()
        if app in loader.migrated_apps
    }
    return sorted(map(".".join, missing)), sorted(map(".".join, unknown))


def _not_migrated(missing: list[str]) -> str:
    return (
        f"The database is not migrated (manage.py migrate): it lacks {len(missing)} migrations, such as {missing[-1]}"
    )


# --- Errors -------------------------------------------------------------------------------------------------------


def is_refusal(error: Error) -> bool:
    """Return whether the database is away, broken, busy, full or too old, or takes no writes from this service."""
    cause = error.__cause__ or error
    code = _sqlite_code(cause)
    if getattr(cause, "sqlstate", None) == INSUFFICIENT_PRIVILEGE or code in {SQLITE_CORRUPT, SQLITE_NOTADB}:
        return True
    kinds = OperationalError | InterfaceError | InternalError | NotSupportedError | MigrationSchemaMissing
    return isinstance(error, kinds) and code != SQLITE_ERROR


def report_unavailable(error: BaseException | None) -> bool:
    """Log in one line why the database failed; return False, and log nothing, if the database is not at fault.

    A statement that the database does not understand is a bug, unless the database is not migrated to this code.
    """
    if not isinstance(error, Error):
        return False
    cause = error.__cause__ or error
    reason = _describe(cause)
    if not is_refusal(error):
        if not isinstance(error, ProgrammingError) and _sqlite_code(cause) != SQLITE_ERROR:
            return False
        try:
            missing, _ = _migrations()
        except Error as another:
            reason += f", then {_describe(another.__cause__ or another)}"
        else:
            if not missing:
                return False
            reason += f". {_not_migrated(missing)}"
    logger.error("Database: %s", reason)
    return True


def _sqlite_code(cause: BaseException) -> int:
    """SQLite's primary result code; SQLITE_ERROR is what it says of a statement that it does not understand."""
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF


def _describe(cause: BaseException) -> str:
    """Return the error's class, its SQLSTATE, and its message if that cannot quote a row."""
    kind, state = f"{type(cause).__module__}.{type(cause).__qualname__}", getattr(cause, "sqlstate", None)
    if state is None:
        # psycopg lists one cause for each address it tried; the first says enough.
        message = str(cause).strip().partition("\n")[0]
    else:
        kind += f" (SQLSTATE {state})"
        message = (cause.diag.message_primary or "") if state[:2] in MESSAGE_IS_SAFE else ""  # type: ignore[attr-defined]  # An error with an SQLSTATE is psycopg's.
    return f"{kind} {message[:300]!r}" if message else kind


# --- The start ----------------------------------------------------------------------------------------------------


def check_at_start() -> None:
    """Log what is wrong with the database now. One that is away or not migrated may recover, so the start goes on.

    Raises:
        ImproperlyConfigured: this database can never serve.
    """
    try:
        is_migrated()
    except WrongDatabase:
        raise
    except NotSupportedError as error:  # Django does not support this version of the database.
        raise ImproperlyConfigured(f"The database of DATABASE_URL is too old: {error}") from None
    except Error as error:
        if not report_unavailable(error):
            raise
    finally:
        connection.close()
