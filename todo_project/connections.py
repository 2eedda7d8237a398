"""Database connections outlive a request: they are looked at before the next, and may keep prepared statements."""

import select
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


def close_dropped_connection(**kwargs: Any) -> None:
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
    """Let psycopg prepare the statements it sees again, where nothing stands between us and PostgreSQL.

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
    raw.prepare_threshold = 3 if direct else None
