"""Django's PostgreSQL backend with two things more: a statement in one round trip, and an end to waiting.

It takes three `OPTIONS` of its own:

`prepared_statements`: "on", "off", or "auto" (the default): where nothing stands between this process and PostgreSQL.
`by_cursor`: true to send every statement by Django's cursor, for tools that watch statements there.
`answer_timeout`: the seconds after which a statement without an answer is given up; None, the default, for never.
"""

import itertools
import re
import select
import time
from collections.abc import Sequence
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base
from psycopg import errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import Buffer, PGresult

Row = tuple[Any, ...]


class Connection(psycopg.Connection[Row]):
    """psycopg's connection, which waits no longer than it is told to, and sends a statement in one round trip."""

    answer_timeout: float | None = None
    # The name of each statement that is prepared; None where none may be.
    prepared: dict[str, bytes] | None = None

    @cached_property
    def transformer(self) -> Any:
        """psycopg's `Transformer`, kept since it remembers how to write and read each type."""
        return Transformer(self)

    @cached_property
    def _idle(self) -> select.poll:
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN | select.POLLPRI)
        return poller

    def has_hung_up(self) -> bool:
        """Whether the server closed this idle connection.

        A dead idle connection shows as readable: the server's last word, or the end of the stream, waits there. Looking
        costs no round trip, where asking (`CONN_HEALTH_CHECKS`) costs one on every request.
        """
        return self.closed or bool(self._idle.poll(0))

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for an answer to psycopg's own cursor, no longer than `answer_timeout`."""
        try:
            return super().wait(gen, interval, timeout or self.answer_timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()  # The answer that was not read must not meet the next statement.
            raise

    def fetch_all(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """The rows of one statement, in one round trip by libpq's own calls: psycopg's cursor takes two to prepare.

        Raises:
            psycopg.Error: as psycopg's cursor does.
        """
        values = self.transformer.dump_sequence(parameters, [PyFormat.TEXT] * len(parameters))
        try:
            result = self._execute(sql, values)
        except BaseException:
            self.close()  # Answers that were not read must not meet the next statement.
            raise
        if result.status != ExecStatus.TUPLES_OK:
            error = errors.error_from_result(result, self.info.encoding)
            # What libpq itself has to say, of a connection that is lost, has no SQLSTATE.
            raise error if error.sqlstate else psycopg.OperationalError(str(error))
        self.transformer.set_pgresult(result)
        rows: list[Row] = self.transformer.load_rows(0, result.ntuples, tuple)
        self.transformer.set_pgresult(None)  # A large page is not to be held until the connection's next statement.
        return rows

    def _execute(self, sql: str, values: Sequence[Buffer | None]) -> PGresult:
        pgconn = self.pgconn
        deadline = time.monotonic() + self.answer_timeout if self.answer_timeout else None
        if self.prepared is None:
            pgconn.send_query_params(_numbered(sql), values)
        elif name := self.prepared.get(sql):
            pgconn.send_query_prepared(name, values)
        else:
            return self._prepare_and_execute(sql, values, deadline)
        result, end = self._receive(deadline), self._receive(deadline)
        if result is None or end is not None:
            raise psycopg.OperationalError("The server answered otherwise than it was asked.")
        return result

    def _prepare_and_execute(self, sql: str, values: Sequence[Buffer | None], deadline: float | None) -> PGresult:
        assert self.prepared is not None
        # A name that says which statement: under no circumstances does it stand for another.
        name = b"todo_" + blake2b(sql.encode(), digest_size=16).hexdigest().encode()
        pgconn = self.pgconn
        pgconn.enter_pipeline_mode()
        pgconn.send_prepare(name, _numbered(sql))
        pgconn.send_query_prepared(name, values)
        pgconn.pipeline_sync()
        # An answer and its end, twice, and the answer to the sync: one round trip for all of them.
        prepared, _, executed, _, synced = [self._receive(deadline) for _ in range(5)]
        if not (prepared and executed and synced and synced.status == ExecStatus.PIPELINE_SYNC):
            raise psycopg.OperationalError("The server answered otherwise than it was asked.")
        pgconn.exit_pipeline_mode()
        if prepared.status != ExecStatus.COMMAND_OK:
            return prepared
        self.prepared[sql] = name
        return executed

    def _receive(self, deadline: float | None) -> PGresult | None:
        """libpq's next result. libpq's own call would wait for ever, and keep every other thread from running."""
        pgconn = self.pgconn
        while pgconn.is_busy():
            poller = select.poll()
            poller.register(pgconn.socket, select.POLLIN | (select.POLLOUT if pgconn.flush() else 0))
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            if not poller.poll(left):
                raise psycopg.OperationalError(f"The database gave no answer in {self.answer_timeout} seconds.")
            pgconn.consume_input()
        return pgconn.get_result()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, whose connections outlive a request and are looked at before the next."""

    connection: Connection | None

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        for refused in ("pool", "isolation_level"):
            if refused in self.settings_dict["OPTIONS"]:
                raise ImproperlyConfigured(f"{refused} is not an option of this database backend.")
        for ours in ("prepared_statements", "by_cursor", "answer_timeout"):
            params.pop(ours, None)
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        connection = Connection.connect(**conn_params)
        connection.answer_timeout = self.settings_dict["OPTIONS"].get("answer_timeout")
        return connection

    def init_connection_state(self) -> None:
        """Choose whether statements are prepared.

        Behind a pooler in transaction mode that does not carry them, one client could run another's statement without
        any error, so it is never tried out: a direct connection shows itself by the server's process id being the one
        it greeted us with, and a pooler that carries them is named by `prepared_statements: on`.
        """
        super().init_connection_state()
        assert self.connection is not None
        choice = self.settings_dict["OPTIONS"].get("prepared_statements", "auto")
        direct = choice == "on"
        if choice == "auto":
            server = self.connection.execute("SELECT pg_backend_pid()").fetchone()
            direct = server == (self.connection.info.backend_pid,)
        self.connection.prepared = {} if direct else None

    def close_if_unusable_or_obsolete(self) -> None:
        """Django calls this around each request: close what broke, and what the server has closed meanwhile."""
        super().close_if_unusable_or_obsolete()
        if self.connection is not None and not self.in_atomic_block and self.connection.has_hung_up():
            self.close()

    def fetch_all(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """The rows of one statement, which has a `%s` for each parameter, in one round trip.

        Django's cursor sends it where it has to: for who watches it, and as a transaction's first statement, with which
        psycopg begins the transaction.

        Raises:
            django.db.Error: as Django's cursor does.
        """
        self.ensure_connection()
        raw = self.connection
        assert raw is not None
        begins = not raw.autocommit and raw.pgconn.transaction_status == TransactionStatus.IDLE
        if begins or self.needs_rollback or self.execute_wrappers or self.settings_dict["OPTIONS"].get("by_cursor"):
            with self.cursor() as cursor:
                cursor.execute(sql, parameters)
                return list(cursor.fetchall())
        started = time.perf_counter()
        try:
            with self.wrap_database_errors:
                return self._fetch_all(raw, sql, parameters)
        finally:
            if self.queries_logged:  # As Django's own cursor does for `connection.queries`.
                took = time.perf_counter() - started
                self.queries_log.append({"sql": self.ops.compose_sql(sql, parameters), "time": f"{took:.3f}"})

    def _fetch_all(self, raw: Connection, sql: str, parameters: Sequence[Any]) -> list[Row]:
        was_prepared = raw.prepared is not None and sql in raw.prepared
        try:
            return raw.fetch_all(sql, parameters)
        except psycopg.Error as error:
            if self.in_atomic_block or not _is_prepared_no_more(error, was_prepared):
                raise
        self.close()
        self.ensure_connection()
        assert self.connection is not None
        return self.connection.fetch_all(sql, parameters)


def _is_prepared_no_more(error: psycopg.Error, was_prepared: bool) -> bool:
    """Whether the statement was refused before it ran, since what was prepared is gone, taken, or fits no more."""
    if isinstance(error, errors.DuplicatePreparedStatement):
        return True
    # A migration changed the result's type: PostgreSQL has no SQLSTATE for that alone, and its message is translated.
    stale = isinstance(error, errors.FeatureNotSupported) and error.diag.source_function == "RevalidateCachedQuery"
    return was_prepared and (stale or isinstance(error, errors.InvalidSqlStatementName))


@lru_cache
def _numbered(sql: str) -> bytes:
    """The statement with libpq's `$1`, `$2`, ... for `%s`."""
    numbers = itertools.count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", sql).encode()
