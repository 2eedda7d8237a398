"""The comparison: this project, its peers and the floor, cell by cell in alternation."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from benchmarks import machine, report, systems
from benchmarks.bench import Bench
from benchmarks.check import check, check_noop
from benchmarks.load import WORKLOADS, Cell
from benchmarks.pgbench import pgbench
from benchmarks.report import Bar, Section
from benchmarks.systems import Server, System

# What the project promises: workload, the peer it is compared with, and the least ratio of their rates.
PROMISES = (
    ("mix", "fastapi_sqlmodel", 3.2),
    ("list", "fastapi_sqlmodel", 3.2),
    ("read", "fastapi_sqlmodel", 1.75),
    ("create", "fastapi_sqlmodel", 1.75),
    ("update", "fastapi_sqlmodel", 1.75),
    ("toggle", "fastapi_sqlmodel", 1.75),
    ("mix", "drf_plain", 3.0),
    ("mix", "fastify_pg", 0.45),
)
HEAD = ("Workload", "System", "req/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "This project against it", "Worker MB")
RATIO = "The ratio is this project's rate over the other's in the same round: median (least to most)."


@dataclass
class Measured:
    """The cells and the memory of each system, by its name; `titles` says which there are."""

    titles: dict[str, str]
    cells: dict[str, dict[str, list[Cell]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    memory: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def note(self, name: str, workload: str, cell: Cell) -> None:
        self.cells[name][workload].append(cell)
        print(f"  {workload:7}{self.titles[name]:32}{cell.rate:8,.0f} a second, p95 {cell.p95:6.1f} ms", flush=True)

    def ratios(self, workload: str, peer: str, measure: str = "rate") -> list[float]:
        pairs = zip(self.cells["project"][workload], self.cells[peer][workload], strict=True)
        return [getattr(mine, measure) / getattr(theirs, measure) for mine, theirs in pairs]

    def rows(self, *workloads: str) -> list[Sequence[str]]:
        return [
            self.row(workload, name) for workload in workloads for name in self.titles if self.cells[name].get(workload)
        ]

    def row(self, workload: str, name: str) -> Sequence[str]:
        cells = self.cells[name][workload]
        parts = ("rate", "p50", "p95", "p99", "cpu")
        rate, *times, cpu = (median(getattr(cell, part) for cell in cells) for part in parts)
        row = [
            workload,
            self.titles[name],
            f"{rate:,.0f}",
            *(f"{time:.1f}" for time in times),
            f"{cpu:.2f}" if cpu else "",
        ]
        compared = name != "project" and workload in self.cells["project"]
        row.append(report.spread(self.ratios(workload, name)) if compared else "")
        row.append(f"{median(self.memory[name]):.0f}" if name in self.memory else "")
        return row

    def raw(self) -> dict[str, Any]:
        return {
            name: {workload: [asdict(cell) for cell in measured] for workload, measured in workloads.items()}
            for name, workloads in self.cells.items()
        }


def measure(bench: Bench, rounds: int, compared: Sequence[System], workloads: Sequence[str], floor: bool) -> Measured:
    """Each system has its own fresh clone of the data in each round; within a round the systems take turns at each workload."""
    titles = {system.name: system.title for system in (*compared, *[systems.NOOP] * floor)}
    if floor and machine.postgres_program("pgbench"):
        titles["pgbench"] = "pgbench, the same statements"
    elif floor:
        print("pgbench is skipped: it is not here.")
    out = Measured(titles)
    for number in range(rounds):
        print(f"Round {number + 1} of {rounds}", flush=True)
        for name in titles:
            if name != "noop":
                bench.cluster.clone("loaded", name)
        with ExitStack() as stack:
            servers = {system.name: stack.enter_context(bench.running(system, system.name)) for system in compared}
            if floor:
                servers["noop"] = stack.enter_context(bench.running(systems.NOOP, "project"))
            for name, server in servers.items():
                (check_noop if name == "noop" else check)(server, bench.data)
                bench.load.run("noop" if name == "noop" else "mix", server.port, seconds=2)
            for workload in workloads:
                turn = number % len(compared)
                for system in (*compared[turn:], *compared[:turn]):
                    bench.cluster.tidy(system.name)
                    out.note(system.name, workload, load(bench, servers[system.name], workload))
                if "pgbench" in titles:
                    bench.cluster.tidy("pgbench")
                    out.note("pgbench", workload, pgbench(bench, "pgbench", workload))
            if floor:
                out.note("noop", "noop", load(bench, servers["noop"], "noop"))
            for name, server in servers.items():
                out.memory[name].append(server.memory())
    bench.cluster.drop(*titles)
    return out


def load(bench: Bench, server: Server, workload: str) -> Cell:
    """One cell, with the CPU that the server used for each request: that holds also when something else disturbs the machine."""
    before = server.cpu_seconds()
    cell = bench.load.run(workload, server.port)
    return replace(cell, cpu=(server.cpu_seconds() - before) * 1000 / cell.requests)


def about(bench: Bench, rounds: int) -> str:
    return (
        f"{bench.data.size:,} tasks of {bench.data.users:,} users, EdDSA tokens, pages of 50, {bench.load.connections}"
        f" connections, one server process on one core. Medians of {rounds} rounds of {bench.load.seconds:g} s."
    )


def compare(bench: Bench, rounds: int) -> Section:
    measured = measure(bench, rounds, (systems.PROJECT, *systems.available_peers()), WORKLOADS, floor=True)
    titles = measured.titles
    out = Section(
        "Comparison",
        f"{about(bench, rounds)} Load and {bench.cluster.version()} on another core. {RATIO}",
        HEAD,
        measured.rows(*WORKLOADS, "noop"),
        raw=measured.raw(),
    )
    for workload, peer, least in PROMISES:
        if peer in titles:
            ratio = median(measured.ratios(workload, peer))
            out.bars.append(Bar(f"{workload}, rate against {titles[peer]}", ratio, at_least=least))
    p95 = median(measured.ratios("mix", "fastapi_sqlmodel", "p95"))
    out.bars.append(Bar(f"mix, p95 against {titles['fastapi_sqlmodel']}", p95, at_most=1.0))
    if machine.debian_postgres is None:
        charted = [name for name in titles if name not in {"noop", "pgbench"}]
        rates = {
            workload: {titles[name]: [cell.rate for cell in measured.cells[name][workload]] for name in charted}
            for workload in ("mix", *WORKLOADS[:-1])
        }
        report.chart(rates, report.RESULTS / "chart.svg")
    return out
