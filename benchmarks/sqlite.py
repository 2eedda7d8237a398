"""SQLite in PostgreSQL's place: this project beside plain DRF, each on a file of its own."""

from dataclasses import replace
from statistics import median

from benchmarks import systems
from benchmarks.bench import Bench
from benchmarks.compare import HEAD, RATIO, about, measure
from benchmarks.database import Files
from benchmarks.report import Section

WORKLOADS = ("list", "read", "create", "update", "toggle", "mix")


def sqlite(bench: Bench, rounds: int) -> Section:
    files = Files(bench.workspace)
    files.load("loaded", bench.data)
    size = files.path("loaded").stat().st_size
    drf = next(peer for peer in systems.available_peers() if peer.name == "drf_plain")
    measured = measure(replace(bench, cluster=files), rounds, (systems.PROJECT, drf), WORKLOADS, floor=False)
    writes = median(cell.rate for cell in measured.cells["project"]["create"])
    return Section(
        "SQLite",
        f"{about(bench, rounds)} {files.version()} in the server's process, every write on disk before its answer. {RATIO}"
        f" With {bench.load.connections} writers this project makes {writes:,.0f} tasks a second. The file has"
        f" {size / 1e6:.0f} MB at the start, {size / bench.data.size:.0f} bytes for each task.",
        HEAD,
        measured.rows(*WORKLOADS),
        raw=measured.raw(),
    )
