"""PostgreSQL of our own, and SQLite files: made in a temporary directory, loaded, cloned for each system and round."""

import hashlib
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks import machine

TASKS_OF_EACH = 100
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
COLUMNS = "id, title, description, completed, user_id, created_at, updated_at"


def user_name(index: int) -> str:
    """32 letters and digits, as Better Auth makes them."""
    return hashlib.md5(str(index).encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Data:
    """Which rows the table holds, by a rule from which a load generator can compute them.

    Task i of the first `size` belongs to user (i - 1) % users. After them come `spare` tasks to delete: number j
    belongs to active user j % active. Last come `heavy` tasks of one more user.
    """

    size: int
    spare: int = 0
    heavy: int = 0

    @property
    def users(self) -> int:
        return self.size // TASKS_OF_EACH

    @property
    def active(self) -> int:
        """How many of the users send requests."""
        return min(1000, self.users)

    @property
    def stride(self) -> int:
        """Active user h is user h * stride."""
        return self.users // self.active

    @property
    def active_users(self) -> list[str]:
        return [user_name(index * self.stride) for index in range(self.active)]

    @property
    def heavy_user(self) -> str:
        return user_name(self.users)

    def rows(self) -> Iterator[str]:
        """The rows as lines for COPY. The spare tasks are the oldest, so that no first page shows them."""
        owners = [user_name(index) for index in range(self.users)]
        spare_end = self.size + self.spare

        def line(row: int, owner: str) -> str:
            spare = self.size < row <= spare_end
            created = EPOCH + timedelta(seconds=row - (40_000_000 if spare else 0), microseconds=row * 37 % 1_000_000)
            updated = created + timedelta(seconds=row * 104_729 % 1_000_003)
            description = (
                r"\N" if row % 4 == 0 else f"Ask about the boiler in flat {row % 97}; number {row} is too loud."
            )
            completed = "t" if row % 3 == 0 else "f"
            return f"{row}\tCall {row * 7919 % 1_000_003} plumbers\t{description}\t{completed}\t{owner}\t{created}\t{updated}\n"

        # The one user's many tasks lie among everybody's, as they would have come over the years.
        gap = self.size // self.heavy if self.heavy else 0
        for row in range(1, self.size + 1):
            yield line(row, owners[(row - 1) % self.users])
            if gap and row % gap == 0 and row // gap <= self.heavy:
                yield line(spare_end + row // gap, self.heavy_user)
        for number in range(self.spare):
            yield line(self.size + 1 + number, owners[number % self.active * self.stride])


class Cluster:
    """A PostgreSQL server on 127.0.0.1 that asks nobody for a password."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, database: str, port: int | None = None) -> str:
        return f"postgresql://bench@127.0.0.1:{port or self.port}/{database}"

    def run(self, *statements: str | sql.Composed, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def version(self) -> str:
        with psycopg.connect(self.url("postgres")) as connection:
            return f"PostgreSQL {connection.info.parameter_status('server_version')}"

    def load(self, database: str, data: Data) -> None:
        """Make a database with the project's tables and the rows. Its indexes are dropped for COPY, then made again."""
        self.run(f"CREATE DATABASE {database}")
        migrate(self.url(database))
        total = data.size + data.spare + data.heavy
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            indexes = connection.execute(
                "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
                " WHERE indrelid = 'tasks_task'::regclass"
                " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)"
            ).fetchall()
            for name, _ in indexes:
                connection.execute(f"DROP INDEX {name}")
            with connection.cursor().copy(f"COPY tasks_task ({COLUMNS}) FROM STDIN") as copy:
                for number, row in enumerate(data.rows(), 1):
                    copy.write(row)
                    if number % 20_000 == 0 or number == total:
                        progress(f"{database}: {number:,} tasks", number / total)
            for _, definition in indexes:
                connection.execute(definition)
            connection.execute("SELECT setval(pg_get_serial_sequence('tasks_task', 'id'), max(id)) FROM tasks_task")
            connection.execute("VACUUM (FREEZE, ANALYZE)")
            connection.execute("CHECKPOINT")

    def clone(self, template: str, name: str) -> None:
        """Make a fresh copy of a loaded database, and have it in memory."""
        self.drop(name)
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        self.warm(name)

    def warm(self, name: str) -> None:
        """Read the rows and the lists' index once, so that they are in memory."""
        self.run(
            "SET enable_seqscan = off",
            "SELECT sum(length(description)) FROM tasks_task WHERE id > 0",
            "SET enable_bitmapscan = off",
            "SELECT user_id, max(created_at) FROM tasks_task GROUP BY user_id",
            database=name,
        )

    def drop(self, *names: str) -> None:
        self.run(*(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in names))

    def tidy(self, name: str) -> None:
        """Leave none of one cell's garbage and unwritten pages to the next."""
        self.run("VACUUM tasks_task", "CHECKPOINT", database=name)


@dataclass(frozen=True)
class Files:
    """SQLite files in a directory, with the methods of Cluster that a comparison needs."""

    directory: Path

    def path(self, database: str) -> Path:
        return self.directory / f"{database}.sqlite3"

    def url(self, database: str) -> str:
        return f"sqlite:///{self.path(database)}"

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def load(self, database: str, data: Data) -> None:
        """Make a file with the project's tables and the rows, with values as Django stores them."""
        migrate(self.url(database))
        with closing(sqlite3.connect(self.path(database))) as connection, connection:
            connection.executemany(
                f"INSERT INTO tasks_task ({COLUMNS}) VALUES (?, ?, nullif(?, '\\N'), ? = 't', ?, replace(?, '+00:00', ''), replace(?, '+00:00', ''))",
                (line.rstrip("\n").split("\t") for line in data.rows()),
            )

    def clone(self, template: str, name: str) -> None:
        self.drop(name)
        shutil.copy(self.path(template), self.path(name))

    def drop(self, *names: str) -> None:
        for name in names:
            for ending in ("", "-wal", "-shm"):
                self.path(name).with_name(f"{name}.sqlite3{ending}").unlink(missing_ok=True)

    def tidy(self, name: str) -> None:
        """Leave none of one cell's unwritten pages to the next."""
        with closing(sqlite3.connect(self.path(name))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def cluster(workspace: Path) -> Iterator[Cluster]:
    """A new server on the load generator's core, with its usual durability, but without autovacuum and timed checkpoints."""
    initdb, postgres = (machine.required(machine.postgres_program(name), name) for name in ("initdb", "postgres"))
    home, log, user, port = (
        workspace / "postgres",
        workspace / "postgres.log",
        machine.unprivileged_user(),
        machine.free_port(),
    )
    home.mkdir(mode=0o700)
    if user:
        os.chown(home, *pwd.getpwnam(user)[2:4])
    subprocess.run(
        [initdb, "-D", str(home), "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C"],
        user=user, check=True, stdout=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    settings = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 300,
        "shared_buffers": f"{min(ram // 4, 4096)}MB", "max_wal_size": "8GB", "checkpoint_timeout": "1h", "autovacuum": "off",
        "maintenance_work_mem": "512MB",
    }  # fmt: skip
    command = [
        postgres,
        "-D",
        str(home),
        *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
    ]
    with machine.process(command, machine.LOAD_CORE, log, user=user, cwd=Path("/"), stop=signal.SIGQUIT):
        server = Cluster(port)
        for _ in range(300):
            try:
                server.version()
                break
            except psycopg.OperationalError:
                time.sleep(0.1)
        else:
            sys.exit(f"PostgreSQL did not start:\n{log.read_text(errors='replace')[-3000:]}")
        yield server


def migrate(database_url: str, *target: str) -> None:
    """Let the project's own migrations make the table; an app and a migration name where to stop."""
    from benchmarks.systems import project_environment

    subprocess.run(
        [sys.executable, "manage.py", "migrate", *target, "--verbosity", "0"],
        cwd=machine.PROJECT, env=project_environment(database_url), check=True,
    )  # fmt: skip


def progress(label: str, done: float) -> None:
    """Print a line that redraws itself on a terminal, and elsewhere is printed once, at the end."""
    terminal = sys.stdout.isatty()
    if terminal or done >= 1:
        bar = "#" * int(done * 30)
        print(f"{chr(13) * terminal}[{bar:<30}] {done:4.0%} {label}", end="\n" if done >= 1 else "", flush=True)
