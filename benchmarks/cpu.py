"""CPU in process: a read of one and a page of 50, against the no-op view and on SQLite against PostgreSQL."""

import json
import subprocess
import sys
from statistics import median

from benchmarks import machine, systems
from benchmarks.bench import Bench
from benchmarks.better_auth import token
from benchmarks.check import check
from benchmarks.database import Files
from benchmarks.report import Bar, Section

REQUESTS = 400  # In each round, of each kind, on each database.


def in_process(bench: Bench, url: str, paths: list[str]) -> list[float]:
    """Median milliseconds of each path, in a new process with that database."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.in_process", str(REQUESTS), token(bench.data.active_users[0]), *paths],
        cwd=machine.PROJECT, stdout=subprocess.PIPE, check=True, preexec_fn=machine.pin_to(machine.SERVER_CORE),
        env=systems.project_environment(url) | dict(systems.NOOP.env),
        stderr=(bench.workspace / "cpu.log").open("ab"),
    )  # fmt: skip
    # The request log may share the output; the figures are its last line.
    return [median(times) / 1e6 for times in json.loads(result.stdout.splitlines()[-1])]


def cpu(bench: Bench, rounds: int) -> Section:
    """The databases take turns, with a new process for each; within it the requests do. What SQLite itself does counts, what PostgreSQL does not."""
    files = Files(bench.workspace)
    files.load("loaded", bench.data)
    with bench.project() as server:
        check(server, bench.data)
    own = f"/api/{bench.data.active_users[0]}"
    paths = {
        "no-op view": f"{own}/noop",
        "read of one": f"{own}/tasks/1",
        "list of 50": f"{own}/tasks?limit=50",
    }
    databases = {"PostgreSQL": bench.cluster.url("loaded"), "SQLite": files.url("loaded")}
    spent: dict[tuple[str, str], list[float]] = {(name, what): [] for name in databases for what in paths}
    for _ in range(rounds):
        for name, url in databases.items():
            for what, milliseconds in zip(paths, in_process(bench, url, list(paths.values())), strict=True):
                spent[name, what].append(milliseconds)

    def ratio(one: tuple[str, str], other: tuple[str, str]) -> float:
        return median(mine / its for mine, its in zip(spent[one], spent[other], strict=True))

    noop, read, page = (("PostgreSQL", what) for what in paths)
    return Section(
        "CPU in process",
        f"Medians of {rounds} rounds of {REQUESTS} requests each, through the WSGI application without sockets;"
        " PostgreSQL's own CPU is not counted, SQLite's is.",
        ("Database", "Request", "CPU ms", "Against the no-op view"),
        [
            (name, what, f"{median(values):.3f}", f"{ratio((name, what), (name, 'no-op view')):.2f}")
            for (name, what), values in spent.items()
        ],
        [
            Bar("read of one, CPU against the no-op view", ratio(read, noop), at_most=2.0),
            Bar("list of 50, CPU against the no-op view", ratio(page, noop), at_most=2.5),
            Bar("list of 50 on SQLite, CPU against PostgreSQL", ratio(("SQLite", "list of 50"), page), at_most=1.3),
        ],
    )
