"""A worker's memory under load, and its time to the first answer."""

import http.client
import os
import time
from pathlib import Path
from statistics import median

from benchmarks import machine, report, systems
from benchmarks.bench import Bench
from benchmarks.better_auth import token
from benchmarks.check import check
from benchmarks.report import Bar, Section


def memory(bench: Bench, requests: int) -> Section:
    """Measure the resident memory of one worker as it answers the mix."""
    out = Section(
        "Memory of a worker",
        f"Resident memory while one worker answers the mix, {bench.load.connections} connections.",
        ("Requests", "MB"),
    )
    with bench.project() as server:
        check(server, bench.data)
        answered, points, worker = 0, [(0, server.memory())], server.worker
        while answered < requests:
            answered += bench.load.run("mix", server.port).requests
            points.append((answered, server.memory()))
            print(f"  {answered:9,} requests, {points[-1][1]:.1f} MB", flush=True)
        if server.worker != worker:
            out.about += " The worker was replaced on the way."
    half = next(used for count, used in points if count >= requests / 2)
    out.rows = [(f"{count:,}", f"{used:.1f}") for count, used in points]
    out.bars = [
        Bar(f"memory in MB after {requests:,} requests", points[-1][1], at_most=100),
        Bar("its growth in MB over the second half (1 MB is noise)", points[-1][1] - half, at_most=1),
    ]
    return out


def started(pid: int) -> float:
    """When the process started, in seconds since boot, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def time_to_answer(bench: Bench, system: systems.System, path: str, bearer: str) -> float:
    """Seconds from the start of the worker's process until it has answered."""
    with systems.starting(system, bench.cluster.url("loaded"), bench.workspace) as server:
        for _ in range(10_000):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
                connection.request("GET", path, headers={"Authorization": f"Bearer {bearer}"})
                status = connection.getresponse().status
                break
            except ConnectionError:
                time.sleep(0.002)
        answered = time.clock_gettime(time.CLOCK_BOOTTIME)
        if status != 200:
            raise SystemExit(f"{system.title} answered {status}")
        return answered - started(server.worker)


def startup(bench: Bench, rounds: int) -> Section:
    """The project's first answer is a read of one task, the bare project's an empty one."""
    with bench.project() as server:
        check(server, bench.data)
    owner = bench.data.active_users[0]
    path, bearer = f"/api/{owner}/tasks/1", token(owner)
    machine.pin_to(machine.LOAD_CORE)()
    times: dict[str, list[float]] = {systems.PROJECT.title: [], systems.BARE.title: []}
    for number in range(rounds + 1):
        for system in (systems.PROJECT, systems.BARE):
            spent = time_to_answer(bench, system, path, bearer)
            if number:  # The first start compiles the modules; a service starts more than once.
                times[system.title].append(spent)
    own, bare = times.values()
    ratios = [mine / other for mine, other in zip(own, bare, strict=True)]
    return Section(
        "Start of a worker",
        f"Seconds from the start of a worker's process to its first answer, {rounds} rounds in alternation: median (least to most).",
        ("System", "Seconds"),
        [(name, report.spread(values)) for name, values in times.items()],
        [Bar("start until the first answer, against bare Django with DRF", median(ratios), at_most=1.5)],
        {"times": times},
    )
