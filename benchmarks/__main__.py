"""The command line: `python -m benchmarks [COMMAND]`, from the project's root with the project's Python."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    against,
    connections,
    cpu,
    growth,
    keys,
    machine,
    migrations,
    report,
    sqlite,
    systems,
    tokens,
    worker,
)
from benchmarks import bench as benches
from benchmarks.bench import Bench
from benchmarks.check import check, check_noop
from benchmarks.compare import compare
from benchmarks.database import Data
from benchmarks.load import WrongAnswer
from benchmarks.report import Section


def check_all(bench: Bench) -> None:
    for system in (systems.PROJECT, *systems.available_peers(), systems.NOOP):
        bench.cluster.clone("loaded", system.name)
        with bench.running(system, system.name) as server:
            (check_noop if system is systems.NOOP else check)(server, bench.data)
        print(f"{system.title}: answers as the others do", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.add_argument(
        "command", nargs="?", default="compare", choices=("check", "against", "all", *COMMANDS), help="default: compare"
    )
    parser.add_argument("--size", type=int, default=1_000_000, help="tasks in the table, a hundred for each user")
    parser.add_argument("--large", type=int, default=10_000_000, help="tasks in the table of `growth` and `migrations`")
    parser.add_argument("--rounds", type=int, default=5, help="rounds in alternation")
    parser.add_argument("--seconds", type=float, default=4, help="length of one cell of load")
    parser.add_argument("--connections", type=int, default=16, help="connections of the load generator")
    parser.add_argument("--requests", type=int, default=100_000, help="requests of `memory`")
    parser.add_argument("--delay", type=float, default=5, help="milliseconds to the distant database of `pool`")
    parser.add_argument("--postgres", metavar="VERSION", help="run on this version of Debian's PostgreSQL, such as 15")
    parser.add_argument("--other", type=Path, help="the other checkout of `against`")
    options = parser.parse_args()
    machine.debian_postgres = options.postgres
    try:
        for command in COMMANDS if options.command == "all" else (options.command,):
            run(command, options)
    except WrongAnswer as error:
        sys.exit(f"Failed: {error}")


def run(command: str, options: argparse.Namespace) -> None:
    """Run one command on a bench of its own."""
    data = Data(options.size, spare=round(options.seconds * 20_000) if command == "compare" else 0)
    if command == "growth":
        data = Data(options.large, heavy=100_000)
    elif command == "migrations":
        data = Data(options.large)
    elif command == "sqlite":
        data = Data(min(options.size, 100_000))
    elif command == "check":
        data = Data(10_000)
    with benches.prepared(data, options.seconds, options.connections) as bench:
        if command == "check":
            check_all(bench)
        elif command == "against":
            print(against.against(bench, options.rounds, options.other.resolve()).markdown())
        else:
            section = COMMANDS[command](bench, options)
            if options.postgres:
                command = f"{command} --postgres {options.postgres}"
                section.title = f"{section.title} on {bench.cluster.version()}"
            report.publish(command, section)


COMMANDS: dict[str, Callable[[Bench, argparse.Namespace], Section]] = {
    "compare": lambda bench, options: compare(bench, options.rounds),
    "tokens": lambda bench, options: tokens.tokens(bench, options.rounds),
    "sqlite": lambda bench, options: sqlite.sqlite(bench, options.rounds),
    "cpu": lambda bench, options: cpu.cpu(bench, options.rounds),
    "growth": lambda bench, options: growth.growth(bench, options.rounds, Data(10_000)),
    "migrations": lambda bench, options: migrations.migrations(bench),
    "memory": lambda bench, options: worker.memory(bench, options.requests),
    "keys": lambda bench, options: keys.keys(bench, options.rounds),
    "startup": lambda bench, options: worker.startup(bench, options.rounds * 9),
    "sc004": lambda bench, options: connections.sc004(bench, options.rounds),
    "pool": lambda bench, options: connections.pool(bench, options.rounds, options.delay),
    "scale": lambda bench, options: connections.scale(bench, options.rounds),
}

if __name__ == "__main__":
    main()
