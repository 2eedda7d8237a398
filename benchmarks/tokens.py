"""What each algorithm that Better Auth can sign with costs, against one server of this project."""

from dataclasses import replace
from statistics import median

from benchmarks.bench import Bench
from benchmarks.better_auth import ALGORITHMS
from benchmarks.check import check
from benchmarks.compare import load
from benchmarks.connections import figures
from benchmarks.load import Cell, write_users
from benchmarks.report import Bar, Section, spread

WORKLOADS = ("read", "list")


def tokens(bench: Bench, rounds: int) -> Section:
    """The algorithms take turns at each workload; their tokens have the same claims, and were sent before."""
    cells: dict[tuple[str, str], list[Cell]] = {(workload, name): [] for workload in WORKLOADS for name in ALGORITHMS}
    benches = {}
    for name in ALGORITHMS:
        users = write_users(bench.workspace / name, bench.data.active_users, name)
        benches[name] = replace(bench, load=replace(bench.load, users=users))
    with bench.project() as server:
        for name in ALGORITHMS:
            check(server, bench.data, name)
            benches[name].load.run("read", server.port, seconds=3)
        for number in range(rounds):
            turn = number % len(ALGORITHMS)
            for workload in WORKLOADS:
                for name in ALGORITHMS[turn:] + ALGORITHMS[:turn]:
                    cell = load(benches[name], server, workload)
                    cells[workload, name].append(cell)
                    print(f"  {workload:6}{name:6}{cell.rate:8,.0f} a second, CPU {cell.cpu:.3f} ms", flush=True)

    def ratios(workload: str, name: str) -> list[float]:
        pairs = zip(cells[workload, name], cells[workload, "HS256"], strict=True)
        return [mine.rate / other.rate for mine, other in pairs]

    return Section(
        "Algorithms of tokens",
        f"This project, {bench.data.active:,} users with a token each that was sent before, {bench.load.connections}"
        f" connections, {rounds} rounds of {bench.load.seconds:g} s in turns. The ratio is the rate over HS256's in the same"
        " round: median (least to most).",
        ("Workload", "Algorithm", "req/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "Against HS256"),
        [
            (*key, *figures(measured), f"{median(cell.cpu for cell in measured):.2f}", spread(ratios(*key)))
            for key, measured in cells.items()
        ],
        [
            Bar(f"{workload}, rate with EdDSA tokens against HS256", median(ratios(workload, "EdDSA")), at_least=0.97)
            for workload in WORKLOADS
        ],
    )
