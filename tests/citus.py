"""Databases of the Citus cluster whose coordinator TEST_CITUS_URL names."""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg

URL = os.environ.get("TEST_CITUS_URL", "")


def run_sql(url: str, *statements: str) -> list[tuple]:
    """Run them one by one, each in a transaction of its own, and return the rows of the last."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def at(url: str, database: str, node: str = "") -> str:
    """The address of another database, and of another node if one is given as host:port."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{node or host}", path=f"/{database}"))


@contextmanager
def database(url: str) -> Iterator[str]:
    """Make an empty database on the coordinator, or whichever server the address names."""
    name = f"citus_{uuid.uuid4().hex}"
    run_sql(url, f"CREATE DATABASE {name}")
    try:
        yield at(url, name)
    finally:
        run_sql(url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def joined(url: str) -> Iterator[list[str]]:
    """Join this database of the coordinator with one of the same name on each worker; yields their addresses."""
    name = urlsplit(url).path.removeprefix("/")
    (coordinator, *workers) = run_sql(
        URL, "SELECT nodename, nodeport FROM pg_dist_node WHERE isactive ORDER BY groupid"
    )
    run_sql(url, "CREATE EXTENSION citus", "SELECT citus_set_coordinator_host('{}', {})".format(*coordinator))
    with ExitStack() as afterwards:
        found = []
        for host, port in workers:
            server = at(URL, "postgres", f"{host}:{port}")
            drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
            run_sql(server, drop, f"CREATE DATABASE {name}")
            afterwards.callback(run_sql, server, drop)
            found.append(at(server, name))
            run_sql(found[-1], "CREATE EXTENSION citus")
            run_sql(url, f"SELECT citus_add_node('{host}', {port})")
        yield found
