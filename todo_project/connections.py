"""Database connections that outlive a request are looked at before the next one uses them."""

import select
from typing import Any

from django.db import connections


def close_dropped_connections(**kwargs: Any) -> None:
    """Close each PostgreSQL connection whose server has hung up, so that the request opens a new one.

    A dead idle connection shows as readable: the server's last word, or the end of the stream, waits there. Looking
    costs a microsecond, where asking (`CONN_HEALTH_CHECKS`) costs a round trip on every request.
    """
    for connection in connections.all(initialized_only=True):
        if connection.vendor != "postgresql" or connection.connection is None:
            continue
        try:
            poller = select.poll()
            poller.register(connection.connection.fileno(), select.POLLIN | select.POLLPRI)
            dropped = bool(poller.poll(0))
        except Exception:  # psycopg says in several ways that a connection has no socket any more.
            dropped = True
        if dropped and not connection.in_atomic_block:
            connection.close()
