"""Many connections, gunicorn's workers and threads, and two instances behind PgBouncer."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median

import psycopg

from benchmarks import machine, proxy, systems
from benchmarks.bench import Bench
from benchmarks.better_auth import token
from benchmarks.check import TASK, ask, check
from benchmarks.load import Cell, WrongAnswer
from benchmarks.report import Bar, Section
from benchmarks.systems import System
from tests.pgbouncer import PREPARED, describe

VARIANTS = (("sync", 1), ("gthread", 1), ("gthread", 2), ("gthread", 4), ("gthread", 8), ("gthread", 16))


def figures(cells: list[Cell]) -> tuple[str, ...]:
    rate, p50, p95, p99 = (median(getattr(cell, part) for cell in cells) for part in ("rate", "p50", "p95", "p99"))
    return f"{rate:,.0f}", f"{p50:.1f}", f"{p95:.1f}", f"{p99:.1f}"


def sc004(bench: Bench, rounds: int) -> Section:
    """SC-004: the mix at a hundred connections, one worker on one core."""
    bench.load.connections = 100
    with bench.project() as server:
        check(server, bench.data)
        cells = [bench.load.run("mix", server.port) for _ in range(rounds)]
    return Section(
        "SC-004",
        f"The mix at 100 connections, one worker on one core, {rounds} rounds.",
        ("req/s", "p50 ms", "p95 ms", "p99 ms"),
        [figures(cells)],
        [Bar("SC-004, p95 in ms of the mix at 100 connections", median(cell.p95 for cell in cells), at_most=200)],
    )


def round_trip(url: str) -> float:
    """Milliseconds that the simplest query takes."""
    times = []
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(100):
            begin = time.perf_counter()
            connection.execute("SELECT 1")
            times.append(time.perf_counter() - begin)
    return median(times) * 1000


def pool(bench: Bench, rounds: int, milliseconds: float) -> Section:
    """gunicorn's worker class and threads, with the database next door and some milliseconds away."""
    out = Section(
        "Worker class and threads", "", ("Database", "Worker class", "Threads", "req/s", "p50 ms", "p95 ms", "p99 ms")
    )
    bench.cluster.clone("loaded", "project")
    near = bench.cluster.url("project")
    with proxy.distant(bench.cluster.port, milliseconds) as port:
        far = bench.cluster.url("project", port)
        out.about = (
            f"The mix at {bench.load.connections} connections, one worker on one core, {rounds} rounds in alternation. A round"
            f" trip to the database takes {round_trip(near):.2f} ms next door, {round_trip(far):.2f} ms away."
        )
        for place, url in (("next door", near), ("away", far)):
            cells: dict[tuple[str, int], list[Cell]] = {variant: [] for variant in VARIANTS}
            for _ in range(rounds):
                for variant in VARIANTS:
                    options = ("--worker-class", variant[0], "--threads", str(variant[1]))
                    with systems.running(systems.PROJECT, url, bench.workspace, *options) as server:
                        check(server, bench.data)
                        bench.load.run("mix", server.port, seconds=1)
                        cells[variant].append(bench.load.run("mix", server.port))
                    bench.cluster.tidy("project")
            out.rows += [(place, name, str(threads), *figures(measured)) for (name, threads), measured in cells.items()]
    return out


@contextmanager
def pgbouncer(bench: Bench, database: str) -> Iterator[tuple[str, str, System]]:
    """A running PgBouncer in transaction mode: its name, the database's address through it, and the project set up for it."""
    port, config, user = machine.free_port(), bench.workspace / "pgbouncer.ini", machine.unprivileged_user()
    program = machine.required(shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin"), "pgbouncer")
    name, carries = describe(program)
    config.write_text(
        f"[databases]\n{database} = host=127.0.0.1 port={bench.cluster.port} user=bench\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
        "default_pool_size = 16\nmax_client_conn = 200\n" + PREPARED * carries
    )
    project = replace(systems.PROJECT, env={"PREPARED_STATEMENTS": "on" if carries else "auto"})
    log = bench.workspace / "pgbouncer.log"
    with machine.process([program, str(config)], machine.LOAD_CORE, log, user=user):
        time.sleep(1)
        yield name, bench.cluster.url(database, port), project


def scale(bench: Bench, rounds: int) -> Section:
    """Two instances on one database behind PgBouncer: what one wrote the other reads, and both carry load."""
    out = Section(
        "Two instances behind PgBouncer",
        f"The mix at {bench.load.connections} connections, {rounds} rounds in alternation. The second instance shares its core"
        " with the database, the pooler and the load generator: the figures show that it works, not how far it goes.",
        ("Through", "Instances", "req/s", "p50 ms", "p95 ms", "p99 ms"),
    )
    bench.cluster.clone("loaded", "project")
    with (
        pgbouncer(bench, "project") as (pooler, url, project),
        bench.running(systems.PROJECT, "project") as direct,
        systems.running(project, url, bench.workspace) as one,
        systems.running(project, url, bench.workspace, core=machine.LOAD_CORE) as two,
    ):
        for server in (direct, one, two):
            check(server, bench.data)
        owner = bench.data.active_users[0]
        _, made, _ = ask(one, "POST", f"/api/{owner}/tasks", token(owner), TASK)
        status, read, _ = ask(two, "GET", f"/api/{owner}/tasks/{made['id']}", token(owner))
        if status != 200 or read != made:
            raise WrongAnswer(f"What one instance wrote the other read as {status} {read}")
        setups = {
            ("PostgreSQL itself", "1"): (direct.port,),
            (pooler, "1"): (one.port,),
            (pooler, "2"): (one.port, two.port),
        }
        cells: dict[tuple[str, str], list[Cell]] = {setup: [] for setup in setups}
        for _ in range(rounds):
            for setup, ports in setups.items():
                cells[setup].append(bench.load.run("mix", *ports))
    out.rows = [(*setup, *figures(measured)) for setup, measured in cells.items()]
    return out
