from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from todo_project.database import is_migrated

# It cannot be changed later, and bounds how many nodes can share the table.
SHARDS = 128
MOST_SHARDS = 64_000  # As many as Citus takes.

# What must hold, and what is said where it does not.
CHECKS = (
    ("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')",
     "this database has no Citus. On every node: CREATE EXTENSION citus"),
    ("SELECT groupid = 0 FROM pg_dist_local_group",
     "this node is a worker, and DATABASE_URL must name the coordinator"),
    ("SELECT EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0)",
     "the workers have no address of this node. First: SELECT citus_set_coordinator_host('...')"),
    ("SELECT EXISTS (SELECT FROM pg_dist_node WHERE groupid > 0 AND isactive AND shouldhaveshards)",
     "there is no active worker. First: SELECT citus_add_node('...', 5432)"),
    ("SELECT bool_and(result IS TRUE) FROM citus_check_cluster_node_health()",
     "not every node reaches every other: SELECT * FROM citus_check_cluster_node_health()"),
    # Where it is missing, Citus makes it.
    ("SELECT bool_and(success AND result = '0') FROM run_command_on_all_nodes("
     "$$SELECT count(*) FROM pg_collation WHERE collname = 'binary' AND collcollate <> 'C'$$)",
     "a node has another collation of the name \"binary\""),
)  # fmt: skip
# A table with rows is copied by logical replication.
CHECKS_TO_COPY = (
    ("SELECT bool_and(success AND result = 'logical') FROM run_command_on_all_nodes('SHOW wal_level')",
     "every node needs wal_level = logical"),
    # The newest minor releases of PostgreSQL have a list of what may decode its log.
    (r"SELECT coalesce(current_setting('output_plugin_libraries', true), 'citus') ~ '\mcitus\M'",
     "output_plugin_libraries has no citus. Add it on every node"),
)  # fmt: skip

BY_OWNER = "'tasks_task', 'user_id', shard_count => %s"
KEY = "PRIMARY KEY (user_id, id)"
EXTENT = (
    "SELECT (SELECT count(*) FROM tasks_task), pg_size_pretty(pg_database_size(current_database())), "
    "(SELECT count(*) FROM pg_dist_node WHERE isactive AND shouldhaveshards)"
)


class Command(BaseCommand):
    """Spreads the tasks over the nodes of a Citus cluster. If it was interrupted, run it again."""

    help = (
        "Say what there is to do, and with --yes spread the tasks over the workers of Citus by their owner, while the "
        "service runs. Run it on the coordinator after migrate."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--shards", type=int, default=SHARDS, help=f"how many shards (default: {SHARDS})")
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument("--yes", action="store_true", help="do it")
        choice.add_argument("--dry-run", action="store_true", help="only say what there is to do")

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("Nothing was changed: only PostgreSQL has Citus.")
        if not 1 <= options["shards"] <= MOST_SHARDS:
            raise CommandError(f"Nothing was changed: there may be 1 to {MOST_SHARDS} shards.")
        _check(CHECKS)
        if not is_migrated():
            raise CommandError("Nothing was changed: the database is not migrated.")
        state = _state("tasks_task")
        if state == ("distributed", "user_id"):
            self.stdout.write("The tasks are spread by user_id already.")
            return
        if state not in {None, ("local", "<none>")}:
            raise CommandError("Nothing was changed: Citus has tasks_task already, but not spread by user_id.")
        rows, size, nodes = _row(EXTENT)
        self.stdout.write(
            f"{rows} task{'' if rows == 1 else 's'}, in a database of {size}, to spread over {nodes} "
            f"node{'' if nodes == 1 else 's'} in {options['shards']} shards. SQL cannot ask for free disk: the nodes "
            "need room for the tasks once more, and this one for the log of what is written meanwhile."
        )
        if rows:
            _check(CHECKS_TO_COPY)
        if options["dry_run"]:
            return
        if not options["yes"]:
            raise CommandError("Nothing was changed. --yes does it.")
        if _state("django_migrations") is None:
            # On every node, so that an instance whose DATABASE_URL names a worker finds its database migrated.
            _row("SELECT create_reference_table('django_migrations')")
        if state is None:
            self._rekey()
            _hand_over(options["shards"])
        if _state("tasks_task") == ("local", "<none>"):
            self.stdout.write("Copying the tasks to the nodes.")
            _row(f"SELECT create_distributed_table_concurrently({BY_OWNER})", options["shards"])
        self.stdout.write("The tasks are spread by user_id.")

    def _rekey(self) -> None:
        """Make (user_id, id) the primary key: on Citus each unique constraint has to have the owner."""
        if _row("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'tasks_task_pkey'") != (KEY,):
            self._index("tasks_task_owner_id", "UNIQUE INDEX", "(user_id, id)")
            self._index("tasks_task_id", "INDEX", "(id)")  # For the admin alone.
            with _short_wait() as cursor:
                cursor.execute(
                    "ALTER TABLE tasks_task DROP CONSTRAINT tasks_task_pkey, "
                    "ADD CONSTRAINT tasks_task_pkey PRIMARY KEY USING INDEX tasks_task_owner_id"
                )

    def _index(self, name: str, kind: str, columns: str) -> None:
        valid = _row("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", name)
        if valid == (True,):
            return
        self.stdout.write(f"Making the index {name}.")
        with connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # What an interrupted run left is invalid.
            cursor.execute(f"CREATE {kind} CONCURRENTLY {name} ON tasks_task {columns}")


def _hand_over(shards: int) -> None:
    """Distribute an empty table; make one with rows a local table of Citus, which is then copied while it serves."""
    with _short_wait() as cursor:
        cursor.execute("LOCK TABLE tasks_task")
        cursor.execute("SELECT EXISTS (SELECT FROM tasks_task)")
        if cursor.fetchone() == (False,):
            cursor.execute(f"SELECT create_distributed_table({BY_OWNER})", [shards])
            return
        # Citus makes the sequence anew and begins at 1, so that new tasks would get ids that others have.
        cursor.execute("SELECT pg_sequence_last_value(pg_get_serial_sequence('tasks_task', 'id')::regclass)")
        last = cursor.fetchone()
        cursor.execute("SELECT citus_add_local_table_to_metadata('tasks_task')")
        cursor.execute("SELECT setval(pg_get_serial_sequence('tasks_task', 'id'), %s)", last)


@contextmanager
def _short_wait() -> Iterator[CursorWrapper]:
    """A transaction that waits for a lock no longer than a second, since requests queue up behind it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '1s'")
        yield cursor


def _check(checks: Iterable[tuple[str, str]]) -> None:
    for sql, fault in checks:
        if _row(sql) != (True,):
            raise CommandError(f"Nothing was changed: {fault}.")


def _state(table: str) -> Any:
    """Return how Citus keeps the table, and by which column it is spread; None if it is PostgreSQL's alone."""
    return _row("SELECT citus_table_type, distribution_column FROM citus_tables WHERE table_name = %s::regclass", table)


def _row(sql: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchone()
