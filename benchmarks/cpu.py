"""CPU in process: a read of one and a page of 50 against the no-op view, request by request in alternation."""

import json
import subprocess
import sys
from statistics import median

from benchmarks import machine, systems
from benchmarks.bench import Bench
from benchmarks.better_auth import token
from benchmarks.check import check
from benchmarks.report import Bar, Section


def cpu(bench: Bench, rounds: int) -> Section:
    with bench.project() as server:
        check(server, bench.data)
    owner = bench.data.active_users[0]
    paths = [f"/api/{owner}/noop", f"/api/{owner}/tasks/1", f"/api/{owner}/tasks?limit=50"]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.in_process", str(rounds), token(owner), *paths],
        cwd=machine.PROJECT, stdout=subprocess.PIPE, check=True, preexec_fn=machine.pin_to(machine.SERVER_CORE),
        env=systems.project_environment(bench.cluster.url("loaded")) | dict(systems.NOOP.env),
        stderr=(bench.workspace / "cpu.log").open("wb"),
    )  # fmt: skip
    # The request log may share the output; the figures are its last line.
    noop, read, page = (median(times) / 1e6 for times in json.loads(result.stdout.splitlines()[-1]))
    out = Section(
        "CPU in process",
        f"Medians of {rounds} requests each, through the WSGI application without sockets, the database apart.",
        ("Request", "CPU ms", "Against the no-op view"),
    )
    for name, spent in (("no-op view", noop), ("read of one", read), ("list of 50", page)):
        out.rows.append((name, f"{spent:.3f}", f"{spent / noop:.2f}"))
    out.bars = [
        Bar("read of one, CPU against the no-op view", read / noop, at_most=2.0),
        Bar("list of 50, CPU against the no-op view", page / noop, at_most=2.5),
    ]
    return out
