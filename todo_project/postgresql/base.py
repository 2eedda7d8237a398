"""Django's PostgreSQL backend, with statements in one round trip and a limit on waiting for their answers.

It takes three `OPTIONS` of its own:

`prepared_statements`: "on", "off", or "auto" (the default), which prepares them only on a direct connection.
`by_cursor`: true to send every statement by Django's cursor, for tools that watch statements there.
`answer_timeout`: the seconds to wait for a statement's answer; None, the default, waits without limit.
"""

import itertools
import os
import re
import select
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.backends.postgresql import base, schema
from django.db.models import Index, Model
from psycopg import errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import Buffer, PGresult

Row = tuple[Any, ...]


class Connection(psycopg.Connection[Row]):
    """A psycopg connection with a limit on waiting, and `fetch_all` to run a statement in one round trip."""

    answer_timeout: float | None = None
    _handle: socket.socket | None = None
    # The name of each prepared statement by its SQL; None where statements may not be prepared.
    prepared: dict[str, bytes] | None = None
    gave_up = False
    # Whether a statement was answered since the last call of `has_hung_up`.
    heard_from = False

    @cached_property
    def transformer(self) -> Any:
        """psycopg's `Transformer`, kept since it remembers how to write and read each type."""
        return Transformer(self)

    @cached_property
    def _poller(self) -> select.poll:
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN | select.POLLPRI)
        return poller

    def bound(self, seconds: float) -> None:
        """Limit how long each statement may wait for its answer.

        It takes a duplicate of libpq's socket, whose number is not reused when libpq closes its own.
        """
        self.answer_timeout = seconds
        self._handle = socket.socket(fileno=os.dup(self.fileno()))

    def has_hung_up(self) -> bool:
        """Return whether the server closed this idle connection.

        A dead idle connection polls as readable: the server's last message, or the end of the stream, waits there.
        Polling costs no round trip, whereas `CONN_HEALTH_CHECKS` costs one on every request. When a statement was just
        answered, at a request's end, the poll is skipped: the next request begins with one.
        """
        heard_from, self.heard_from = self.heard_from, False
        return self.closed or self.gave_up or (not heard_from and bool(self._poller.poll(0)))

    def give_up(self) -> None:
        """End another thread's wait for an answer: its call into libpq returns with an error."""
        self.gave_up = True
        if self._handle is not None:
            with suppress(OSError):  # It is closed already.
                self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        super().close()
        if self._handle is not None:
            self._handle.close()

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does, but no longer than `answer_timeout`."""
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
        watch.begin(self)
        try:
            result = self._execute(sql, values)
        finally:
            watch.end(self)
        if self.gave_up:
            self.close()
            raise psycopg.OperationalError(f"The database gave no answer in {self.answer_timeout} seconds.")
        if result.status != ExecStatus.TUPLES_OK:
            error = errors.error_from_result(result, self.info.encoding)
            # What libpq itself has to say, of a connection that is lost, has no SQLSTATE.
            raise error if error.sqlstate else psycopg.OperationalError(str(error))
        self.heard_from = True
        self.transformer.set_pgresult(result)
        rows: list[Row] = self.transformer.load_rows(0, result.ntuples, tuple)
        self.transformer.set_pgresult(None)  # A large page is not to be held until the connection's next statement.
        return rows

    def _execute(self, sql: str, values: Sequence[Buffer | None]) -> PGresult:
        if self.prepared is None:
            return self.pgconn.exec_params(_numbered(sql), values)
        if name := self.prepared.get(sql):
            return self.pgconn.exec_prepared(name, values)  # type: ignore[arg-type]  # None is NULL.
        try:
            return self._prepare_and_execute(sql, values, self.prepared)
        except BaseException:
            self.close()  # Answers that were not read must not meet the next statement.
            raise

    def _prepare_and_execute(self, sql: str, values: Sequence[Buffer | None], names: dict[str, bytes]) -> PGresult:
        # The name is a digest of the SQL, so it can never stand for another statement.
        name = b"todo_" + blake2b(sql.encode(), digest_size=16).hexdigest().encode()
        pgconn = self.pgconn
        pgconn.enter_pipeline_mode()
        pgconn.send_prepare(name, _numbered(sql))
        pgconn.send_query_prepared(name, values)
        pgconn.pipeline_sync()
        # Two answers, each followed by its end, and the answer to the sync come back in one round trip.
        prepared, _, executed, _, synced = [self._receive() for _ in range(5)]
        if not (prepared and executed and synced and synced.status == ExecStatus.PIPELINE_SYNC):
            raise psycopg.OperationalError("The server answered otherwise than it was asked.")
        pgconn.exit_pipeline_mode()
        if prepared.status != ExecStatus.COMMAND_OK:
            return prepared
        names[sql] = name
        return executed

    def _receive(self) -> PGresult | None:
        """Return the next result. `get_result` alone would hold the interpreter's lock while it waits."""
        pgconn = self.pgconn
        while pgconn.is_busy():
            poller = select.poll()
            poller.register(pgconn.socket, select.POLLIN | (select.POLLOUT if pgconn.flush() else 0))
            poller.poll()
            pgconn.consume_input()
        return pgconn.get_result()


class Watch:
    """Gives up the connections that have waited too long, from one thread for all of them.

    libpq's own calls wait without limit. Waiting in Python with a timeout would release the interpreter's lock several
    times per statement instead of once.
    """

    INTERVAL = 0.5

    def __init__(self) -> None:
        self._deadlines: dict[Connection, float] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Start afresh in a forked process, which has none of its parent's threads."""
        self._deadlines, self._thread, self._lock = {}, None, threading.Lock()

    def begin(self, connection: Connection) -> None:
        """Start the connection's `answer_timeout`, if it has one."""
        if connection.answer_timeout is not None:
            if self._thread is None:
                self._start()
            self._deadlines[connection] = time.monotonic() + connection.answer_timeout

    def end(self, connection: Connection) -> None:
        """Stop the connection's timeout."""
        self._deadlines.pop(connection, None)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="database-watch", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(self.INTERVAL)
            now = time.monotonic()
            for connection, deadline in list(self._deadlines.items()):
                if deadline < now:
                    connection.give_up()


watch = Watch()


class SchemaEditor(schema.DatabaseSchemaEditor):
    """Django's schema editor, which keeps no request waiting for long.

    A migration waits for a lock no longer than a second, because every other statement on the table queues up behind
    it. If it gives up it has changed nothing, and can be run again. With `atomic = False` it makes and removes indexes
    concurrently, by Django's plain operations: those that Django has for it fail on SQLite. If that is cut off, it too
    can be run again.
    """

    # The index may be there already: the last attempt may have ended before it was recorded.
    sql_create_index_concurrently = schema.DatabaseSchemaEditor.sql_create_index_concurrently.replace(
        "CONCURRENTLY", "CONCURRENTLY IF NOT EXISTS"
    )

    def __enter__(self) -> "SchemaEditor":
        super().__enter__()
        if self.atomic_migration:
            self.execute("SET LOCAL lock_timeout = '1s'")
        return self

    def add_index(self, model: type[Model], index: Index, concurrently: bool = False) -> None:
        if not self.atomic_migration:
            self.drop_invalid_index(model._meta.db_table, index.name)
        super().add_index(model, index, concurrently or not self.atomic_migration)

    def remove_index(self, model: type[Model], index: Index, concurrently: bool = False) -> None:
        super().remove_index(model, index, concurrently or not self.atomic_migration)

    def drop_invalid_index(self, table: str, index: str) -> None:
        """Drop what is left of an index whose concurrent creation was cut off; nothing can complete it.

        Raises OperationalError after a second if somebody else is still making it. On Citus that is not noticed.
        """
        if not self._is_invalid(index):
            return
        with transaction.atomic(self.connection.alias):
            # Whoever makes an index holds this lock.
            self.execute("SET LOCAL lock_timeout = '1s'")
            self.execute(f"LOCK TABLE {self.quote_name(table)} IN SHARE UPDATE EXCLUSIVE MODE")
            cut_off = self._is_invalid(index)
        if cut_off:
            self.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.quote_name(index)}")

    def _is_invalid(self, index: str) -> bool:
        with self.connection.cursor() as cursor:
            sql = "SELECT FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid"
            cursor.execute(sql, [self.quote_name(index)])
            return cursor.fetchone() is not None


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's wrapper, whose connections outlive a request and are checked before the next."""

    connection: Connection | None
    SchemaEditorClass = SchemaEditor

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
        if seconds := self.settings_dict["OPTIONS"].get("answer_timeout"):
            connection.bound(seconds)
        return connection

    def init_connection_state(self) -> None:
        """Choose whether statements are prepared.

        Behind a pooler in transaction mode that does not carry them, one client could run another's statement without
        any error, so this is never found out by trying. A connection is direct if the server's process id is the one
        in its greeting; for a pooler that carries prepared statements, set `prepared_statements` to "on".
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
        """Close a connection that broke or that the server closed; Django calls this around each request."""
        super().close_if_unusable_or_obsolete()
        if self.connection is not None and not self.in_atomic_block and self.connection.has_hung_up():
            self.close()

    def fetch_all(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """The rows of one statement, which has a `%s` for each parameter, in one round trip.

        Django's cursor sends it where it must: for tools that watch the cursor, and for a transaction's first
        statement, with which psycopg begins the transaction.

        Raises:
            django.db.Error: as Django's cursor does.
        """
        if self.connection is None:
            self.ensure_connection()
        raw = self.connection
        assert raw is not None
        begins = not raw.autocommit and raw.pgconn.transaction_status == TransactionStatus.IDLE
        if begins or self.needs_rollback or self.execute_wrappers or self.settings_dict["OPTIONS"].get("by_cursor"):
            with self.cursor() as cursor:
                cursor.execute(sql, parameters)
                return list(cursor.fetchall())
        started = time.perf_counter()
        with self.wrap_database_errors:
            rows = self._fetch_all(raw, sql, parameters)
        if self.queries_logged:  # As Django's own cursor does for `connection.queries`.
            took = time.perf_counter() - started
            self.queries_log.append({"sql": self.ops.compose_sql(sql, parameters), "time": f"{took:.3f}"})
        return rows

    def _fetch_all(self, raw: Connection, sql: str, parameters: Sequence[Any]) -> list[Row]:
        was_prepared = raw.prepared is not None and sql in raw.prepared
        try:
            return raw.fetch_all(sql, parameters)
        except psycopg.Error as error:
            if self.in_atomic_block or not _must_prepare_again(error, was_prepared):
                raise
        self.close()
        self.ensure_connection()
        assert self.connection is not None
        return self.connection.fetch_all(sql, parameters)


def _must_prepare_again(error: psycopg.Error, was_prepared: bool) -> bool:
    """Return whether the statement was refused before it ran because its prepared form is lost, taken or outdated."""
    if isinstance(error, errors.DuplicatePreparedStatement):
        return True
    # A migration changed the result's type. PostgreSQL has no SQLSTATE for just that, and translates the message.
    stale = isinstance(error, errors.FeatureNotSupported) and error.diag.source_function == "RevalidateCachedQuery"
    return was_prepared and (stale or isinstance(error, errors.InvalidSqlStatementName))


@lru_cache
def _numbered(sql: str) -> bytes:
    """The statement with libpq's `$1`, `$2`, ... for `%s`."""
    numbers = itertools.count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", sql).encode()
