"""Database connections outlive a request: they are looked at before the next, and may keep prepared statements.

A request's statement goes to PostgreSQL by libpq's own calls, in one round trip: psycopg's cursor takes two the time it
prepares, and costs a tenth of the throughput.
"""

import itertools
import re
import select
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import Buffer, PGconn, PGresult

Values = Sequence[Buffer | None]

# What was prepared is gone (DISCARD ALL), or returns another type than it did (a migration). Nothing was run.
PREPARED_NO_MORE = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement, errors.FeatureNotSupported)


def close_dropped_connection() -> None:
    """Close the PostgreSQL connection if it broke, or if its server has hung up; the request then opens a new one.

    A dead idle connection shows as readable: the server's last word, or the end of the stream, waits there. Looking
    costs a microsecond, where asking (`CONN_HEALTH_CHECKS`) costs a round trip on every request.
    """
    connection = connections["default"]
    if connection.connection is None or connection.in_atomic_block:
        return
    if connection.errors_occurred:
        connection.close_if_unusable_or_obsolete()
        return
    if connection.vendor != "postgresql":
        return
    try:
        poller = select.poll()
        poller.register(connection.connection.fileno(), select.POLLIN | select.POLLPRI)
        dropped = bool(poller.poll(0))
    except Exception:  # psycopg says in several ways that a connection has no socket any more.
        dropped = True
    if dropped:
        connection.close()


def choose_prepared_statements(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Let `fetch_all` prepare its statements where nothing stands between us and PostgreSQL.

    Behind a pooler in transaction mode that does not carry them, one client could run another's statement without
    any error, so it is never tried out: a direct connection shows itself by the server's process id being the one
    it greeted us with, and a pooler that carries them is named by PREPARED_STATEMENTS=on.
    """
    if connection.vendor != "postgresql":
        return
    raw = connection.connection
    direct = settings.PREPARED_STATEMENTS == "on"
    if settings.PREPARED_STATEMENTS == "auto":
        row = raw.execute("SELECT pg_backend_pid()").fetchone()
        direct = row == (raw.info.backend_pid,)
    raw.prepared = {} if direct else None  # The name of each statement that is.


def fetch_all(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of one statement, which has a `%s` for each parameter. On PostgreSQL that is one round trip.

    Django's cursor sends it where somebody listens to Django's statements, and where it is a transaction's first.

    Raises:
        django.db.Error: as Django's cursor does.
    """
    database = connections["default"]
    database.ensure_connection()
    raw = database.connection
    listened_to = database.queries_logged or database.execute_wrappers
    if database.vendor != "postgresql" or listened_to or database.needs_rollback or _begins(raw):
        with database.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())
    with database.wrap_database_errors:
        try:
            return _fetch_all(raw, sql, parameters)
        except PREPARED_NO_MORE:
            if database.in_atomic_block:
                raise
        database.close()
        database.ensure_connection()
        return _fetch_all(database.connection, sql, parameters)


def _begins(raw: Any) -> bool:
    """Whether a transaction is due, which psycopg opens with its own next statement."""
    return not raw.autocommit and raw.pgconn.transaction_status == TransactionStatus.IDLE


def _fetch_all(raw: Any, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    transformer = _transformer(raw)
    values = transformer.dump_sequence(parameters, [PyFormat.TEXT] * len(parameters))
    result = _execute(raw, sql, values)
    if result.status != ExecStatus.TUPLES_OK:
        error = errors.error_from_result(result, raw.info.encoding)
        # What libpq itself has to say, of a connection that is lost, has no SQLSTATE.
        raise error if error.sqlstate else psycopg.OperationalError(str(error))
    transformer.set_pgresult(result)
    rows: list[tuple[Any, ...]] = transformer.load_rows(0, result.ntuples, tuple)
    transformer.set_pgresult(None)  # A large page is not to be held until the connection's next statement.
    return rows


def _transformer(raw: Any) -> Any:
    """The connection's psycopg `Transformer`, kept as it remembers how to write and read each type."""
    if not hasattr(raw, "transformer"):
        raw.transformer = Transformer(raw)
    return raw.transformer


def _execute(raw: Any, sql: str, values: Values) -> PGresult:
    pgconn: PGconn = raw.pgconn
    names = getattr(raw, "prepared", None)  # Not there if something went wrong while the connection was made.
    if names is None:
        return pgconn.exec_params(_numbered(sql), values)
    if sql in names:
        return pgconn.exec_prepared(names[sql], values)  # type: ignore[arg-type]  # None is NULL.
    # A name that says which statement: under no circumstances does it stand for another.
    name = b"todo_" + blake2b(sql.encode(), digest_size=16).hexdigest().encode()
    try:
        pgconn.enter_pipeline_mode()
        pgconn.send_prepare(name, _numbered(sql))
        pgconn.send_query_prepared(name, values)
        pgconn.pipeline_sync()
        # An answer and its end, twice, and the answer to the sync: one round trip for all of them.
        prepared, _, executed, _, synced = [_receive(pgconn) for _ in range(5)]
        if not (prepared and executed and synced and synced.status == ExecStatus.PIPELINE_SYNC):
            raise psycopg.OperationalError("The server answered otherwise than it was asked.")
        pgconn.exit_pipeline_mode()
    except BaseException:
        raw.close()  # Answers that were not read must not meet the next statement.
        raise
    if prepared.status != ExecStatus.COMMAND_OK:
        return prepared
    names[sql] = name
    return executed


def _receive(pgconn: PGconn) -> PGresult | None:
    """What `get_result` returns, which would keep every other thread from running while it waits."""
    while pgconn.is_busy():
        poller = select.poll()
        poller.register(pgconn.socket, select.POLLIN | (select.POLLOUT if pgconn.flush() else 0))
        poller.poll()
        pgconn.consume_input()
    return pgconn.get_result()


@lru_cache
def _numbered(sql: str) -> bytes:
    """The statement with libpq's `$1`, `$2`, ... for `%s`."""
    numbers = itertools.count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", sql).encode()
