"""How long a migration of a full table keeps others from writing."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from benchmarks import database, machine
from benchmarks.bench import Bench
from benchmarks.report import Bar, Section

WRITE = """
INSERT INTO tasks_task (user_id, title, completed, created_at, updated_at) VALUES ('writer', 'Milk', false, now(), now())
"""


@contextmanager
def writer(url: str) -> Iterator[list[float]]:
    """Somebody who writes one task after the other; the seconds that each took."""
    times, stopping = [], threading.Event()

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stopping.is_set():
                begin = time.perf_counter()
                connection.execute(WRITE)
                times.append(time.perf_counter() - begin)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        time.sleep(1)
        yield times
    finally:
        stopping.set()
        thread.join()


def migrations(bench: Bench) -> Section:
    """Take a full table back to the first migration, which made it, and run the others one by one while somebody writes."""
    first, *others = sorted(file.stem for file in (machine.PROJECT / "tasks" / "migrations").glob("[0-9]*.py"))
    bench.cluster.clone("loaded", "project")
    url = bench.cluster.url("project")
    database.migrate(url, "tasks", first)
    out = Section(
        "Migrations",
        f"Each migration after the first, on {bench.data.size:,} tasks, while somebody writes one task after the other.",
        ("Migration", "Seconds", "Writes meanwhile", "Longest write in ms"),
    )
    for name in others:
        with writer(url) as times:
            before, begin = len(times), time.perf_counter()
            database.migrate(url, "tasks", name)
            spent = time.perf_counter() - begin
        meanwhile = times[before:]
        longest = max(meanwhile)
        out.rows.append((name, f"{spent:.1f}", f"{len(meanwhile):,}", f"{longest * 1000:.0f}"))
        out.bars.append(Bar(f"longest write in seconds during {name}", longest, at_most=1))
    return out
