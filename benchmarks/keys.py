"""What the idempotency keys of other tasks cost a create that has none."""

import time
from statistics import median

import psycopg

from benchmarks.bench import Bench
from benchmarks.report import Bar, Section, spread

CREATE = (
    "INSERT INTO tasks_task (user_id, title, description, completed, created_at, updated_at) "
    "VALUES (%s, %s, %s, %s, statement_timestamp(), statement_timestamp()) RETURNING id, created_at, updated_at"
)
CREATES = 2000  # in each round and table


def keys(bench: Bench, rounds: int) -> Section:
    """A create without a key, on the table as it is and on one without the key's columns and index, in turns."""
    for name in ("project", "keyless"):
        bench.cluster.clone("loaded", name)
    bench.cluster.run(
        "ALTER TABLE tasks_task DROP COLUMN idempotency_key, DROP COLUMN idempotency_fingerprint", database="keyless"
    )
    medians: dict[str, list[float]] = {"project": [], "keyless": []}
    with (
        psycopg.connect(bench.cluster.url("project"), autocommit=True) as one,
        psycopg.connect(bench.cluster.url("keyless"), autocommit=True) as other,
    ):
        tables = {"project": one, "keyless": other}
        for name in tables:
            bench.cluster.tidy(name)
        for _ in range(rounds):
            times: dict[str, list[float]] = {name: [] for name in tables}
            for number in range(CREATES):
                for name, connection in tables.items():
                    values = (
                        bench.data.active_users[number % len(bench.data.active_users)],
                        "Milk",
                        "Two litres",
                        False,
                    )
                    begin = time.perf_counter()
                    connection.execute(CREATE, values, prepare=True)
                    times[name].append(time.perf_counter() - begin)
            for name, measured in times.items():
                medians[name].append(median(measured) * 1000)
    ratios = [with_keys / without for with_keys, without in zip(medians["project"], medians["keyless"], strict=True)]
    return Section(
        "A create without a key",
        f"Milliseconds of the statement, {rounds} rounds of {CREATES:,} creates on each table, one by one in turns.",
        ("Table", "p50 ms"),
        [
            ("as it is", f"{median(medians['project']):.3f}"),
            ("without the key's columns and index", f"{median(medians['keyless']):.3f}"),
            ("ratio", spread(ratios)),
        ],
        [Bar("create without a key, with the keys' columns and index against without", median(ratios), at_most=1.05)],
    )
