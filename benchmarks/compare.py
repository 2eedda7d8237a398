"""The comparison: this project, its peers and the floor, cell by cell in alternation."""

from contextlib import ExitStack
from dataclasses import asdict, replace
from statistics import median

from benchmarks import machine, report, systems
from benchmarks.bench import Bench
from benchmarks.check import check, check_noop
from benchmarks.load import WORKLOADS, Cell
from benchmarks.pgbench import pgbench
from benchmarks.report import Bar, Section
from benchmarks.systems import Server

# What the project promises: workload, the peer it is compared with, and the least ratio of their rates.
PROMISES = (
    ("mix", "fastapi_sqlmodel", 2.5),
    ("list", "fastapi_sqlmodel", 3.0),
    ("read", "fastapi_sqlmodel", 1.75),
    ("create", "fastapi_sqlmodel", 1.75),
    ("update", "fastapi_sqlmodel", 1.75),
    ("toggle", "fastapi_sqlmodel", 1.75),
    ("mix", "drf_plain", 3.0),
    ("mix", "fastify_pg", 0.4),
)
Cells = dict[str, dict[str, list[Cell]]]


def compare(bench: Bench, rounds: int) -> Section:
    """Each system has its own fresh clone of the data in each round; within a round the systems take turns at each workload."""
    measured = (systems.PROJECT, *systems.available_peers())
    titles = {system.name: system.title for system in (*measured, systems.NOOP)}
    if machine.postgres_program("pgbench"):
        titles["pgbench"] = "pgbench, the same statements"
    else:
        print("pgbench is skipped: it is not here.")
    cells: Cells = {name: {} for name in titles}
    memory: dict[str, list[float]] = {}

    def note(name: str, workload: str, cell: Cell) -> None:
        cells[name].setdefault(workload, []).append(cell)
        print(f"  {workload:7}{titles[name]:32}{cell.rate:8,.0f} a second, p95 {cell.p95:6.1f} ms", flush=True)

    for number in range(rounds):
        print(f"Round {number + 1} of {rounds}", flush=True)
        for name in titles:
            if name != "noop":
                bench.cluster.clone("loaded", name)
        with ExitStack() as stack:
            servers = {system.name: stack.enter_context(bench.running(system, system.name)) for system in measured}
            servers["noop"] = stack.enter_context(bench.running(systems.NOOP, "project"))
            for name, server in servers.items():
                (check_noop if name == "noop" else check)(server, bench.data)
                bench.load.run("noop" if name == "noop" else "mix", server.port, seconds=2)
            for workload in WORKLOADS:
                turn = number % len(measured)
                for system in measured[turn:] + measured[:turn]:
                    bench.cluster.tidy(system.name)
                    note(system.name, workload, load(bench, servers[system.name], workload))
                if "pgbench" in titles:
                    bench.cluster.tidy("pgbench")
                    note("pgbench", workload, pgbench(bench, "pgbench", workload))
            note("noop", "noop", load(bench, servers["noop"], "noop"))
            for name, server in servers.items():
                memory.setdefault(name, []).append(server.memory())
    bench.cluster.drop(*titles)
    return section(bench, rounds, titles, cells, memory)


def load(bench: Bench, server: Server, workload: str) -> Cell:
    """One cell, with the CPU that the server used for each request: that holds also when something else disturbs the machine."""
    before = server.cpu_seconds()
    cell = bench.load.run(workload, server.port)
    return replace(cell, cpu=(server.cpu_seconds() - before) * 1000 / cell.requests)


def section(bench: Bench, rounds: int, titles: dict[str, str], cells: Cells, memory: dict[str, list[float]]) -> Section:
    own = cells["project"]

    def ratios(workload: str, peer: str, measure: str = "rate") -> list[float]:
        pairs = zip(own[workload], cells[peer][workload], strict=True)
        return [getattr(mine, measure) / getattr(theirs, measure) for mine, theirs in pairs]

    out = Section(
        "Comparison",
        f"{bench.data.size:,} tasks of {bench.data.users:,} users, pages of 50, {bench.load.connections} connections,"
        f" one server process on one core; load and {bench.cluster.version()} on another. Medians of {rounds} rounds of"
        f" {bench.load.seconds:g} s. The ratio is this project's rate over the other's in the same round: median (least to most).",
        ("Workload", "System", "req/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "This project against it", "Worker MB"),
    )
    for workload in (*WORKLOADS, "noop"):
        for name, title in titles.items():
            if measured := cells[name].get(workload):
                rate, *times, cpu = (
                    median(getattr(cell, part) for cell in measured) for part in ("rate", "p50", "p95", "p99", "cpu")
                )
                row = [workload, title, f"{rate:,.0f}", *(f"{time:.1f}" for time in times), f"{cpu:.2f}" if cpu else ""]
                row.append(report.spread(ratios(workload, name)) if name != "project" and workload in own else "")
                row.append(f"{median(memory[name]):.0f}" if name in memory else "")
                out.rows.append(row)
    for workload, peer, least in PROMISES:
        if cells.get(peer):
            out.bars.append(
                Bar(f"{workload}, rate against {titles[peer]}", median(ratios(workload, peer)), at_least=least)
            )
    p95 = median(ratios("mix", "fastapi_sqlmodel", "p95"))
    out.bars.append(Bar(f"mix, p95 against {titles['fastapi_sqlmodel']}", p95, at_most=1.0))
    out.raw = {
        name: {workload: [asdict(cell) for cell in measured] for workload, measured in workloads.items()}
        for name, workloads in cells.items()
    }
    charted = [name for name in titles if name not in {"noop", "pgbench"}]
    rates = {
        workload: {titles[name]: [cell.rate for cell in cells[name][workload]] for name in charted}
        for workload in ("mix", *WORKLOADS[:-1])
    }
    report.chart(rates, report.RESULTS / "chart.svg")
    return out
