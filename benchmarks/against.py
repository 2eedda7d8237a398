"""This project beside another checkout of it, cell by cell in alternation: whether a change costs anything."""

from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks import report, systems
from benchmarks.bench import Bench
from benchmarks.check import check
from benchmarks.compare import load
from benchmarks.load import Cell
from benchmarks.report import Bar, Section

WORKLOADS = ("list", "read", "mix")


def against(bench: Bench, rounds: int, other: Path) -> Section:
    """Each round starts both anew: two servers of the same code differ, and keep differing."""
    config = tuple(part.replace(str(systems.PROJECT.cwd), str(other)) for part in systems.PROJECT.command[1:])
    before = replace(
        systems.PROJECT, name="before", title=f"{other}", command=(systems.PROJECT.command[0], *config), cwd=other
    )
    pair = (before, systems.PROJECT)
    cells: dict[str, dict[str, list[Cell]]] = {system.name: {} for system in pair}
    for number in range(rounds):
        for system in pair:
            bench.cluster.clone("loaded", system.name)
        with bench.running(before, "before") as old, bench.running(systems.PROJECT, "project") as new:
            servers = {"before": old, "project": new}
            for server in servers.values():
                check(server, bench.data)
                bench.load.run("mix", server.port, seconds=2)
            for workload in WORKLOADS:
                for system in pair if number % 2 else reversed(pair):
                    bench.cluster.tidy(system.name)
                    cell = load(bench, servers[system.name], workload)
                    cells[system.name].setdefault(workload, []).append(cell)
                    print(f"  {workload:6}{system.name:8}{cell.rate:8,.0f} a second, CPU {cell.cpu:.3f} ms", flush=True)
    bench.cluster.drop("before", "project")
    out = Section(
        "Against another checkout",
        f"{rounds} rounds of {bench.load.seconds:g} s in alternation, {bench.load.connections} connections. The ratio is"
        " this project's over the other's in the same round: median (least to most).",
        ("Workload", "Rate", "CPU"),
    )
    for workload in WORKLOADS:
        pairs = list(zip(cells["project"][workload], cells["before"][workload], strict=True))
        rates, cpus = [mine.rate / its.rate for mine, its in pairs], [mine.cpu / its.cpu for mine, its in pairs]
        out.rows.append((workload, report.spread(rates), report.spread(cpus)))
        out.bars.append(Bar(f"{workload}, rate against the other", median(rates), at_least=0.97))
    return out
