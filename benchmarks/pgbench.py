"""The floor: pgbench with the statements that the workloads come down to."""

import subprocess
import time

from benchmarks import machine
from benchmarks.bench import Bench
from benchmarks.database import COLUMNS
from benchmarks.load import Cell

STATEMENTS = {
    "list": f"SELECT {COLUMNS} FROM tasks_task WHERE user_id = md5(:user::text) ORDER BY created_at DESC, id DESC LIMIT 50",
    "read": f"SELECT {COLUMNS} FROM tasks_task WHERE user_id = md5(:user::text) AND id = :id",
    "create": "INSERT INTO tasks_task (user_id, title, description, completed, created_at, updated_at) VALUES"
    f" (md5(:user::text), 'Bring the bicycle in', 'Before it rains, and lock it.', false, now(), now()) RETURNING {COLUMNS}",
    "update": "UPDATE tasks_task SET title = 'Bring the bicycle in', description = 'It rained.', completed = true,"
    f" updated_at = now() WHERE user_id = md5(:user::text) AND id = :id RETURNING {COLUMNS}",
    "toggle": "UPDATE tasks_task SET completed = NOT completed, updated_at = now()"
    f" WHERE user_id = md5(:user::text) AND id = :id RETURNING {COLUMNS}",
    "delete": "DELETE FROM tasks_task WHERE user_id = md5(:user::text) AND id = :id",
}
MIX = {"list": 6, "read": 3, "create": 1, "update": 1, "toggle": 1}


def pgbench(bench: Bench, database: str, workload: str) -> Cell:
    """The floor: the same statements, prepared, from C on the server's core, with nothing around them."""
    data, seconds, scripts = bench.data, max(1, round(bench.load.seconds)), []
    for name, weight in (MIX if workload == "mix" else {workload: 1}).items():
        script = bench.workspace / f"{name}.sql"
        pick = f"\\set user {data.stride} * random(0, {data.active - 1})\n"
        pick += f"\\set id :user + 1 + {data.users} * random(0, {data.size // data.users - 1})\n"
        if name == "delete":
            pick = f"\\set n :n + 1\n\\set spare :client_id + 16 * :n\n\\set id {data.size + 1} + :spare\n"
            pick += f"\\set user {data.stride} * (:spare % {data.active})\n"
        script.write_text(f"{pick}{STATEMENTS[name]};\n")
        scripts += ["-f", f"{script}@{weight}"]
    prefix = bench.workspace / f"pgbench-{time.monotonic_ns()}"
    command = [
        machine.required(machine.postgres_program("pgbench"), "pgbench"), "-n", "-M", "prepared", "-c", "16", "-D", "n=-1",
        "-T", str(seconds), "-l", "--log-prefix", str(prefix), *scripts, bench.cluster.url(database),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, preexec_fn=machine.pin_to(machine.SERVER_CORE))
    times: list[int] = []
    for path in bench.workspace.glob(f"{prefix.name}*"):
        times += [int(line.split()[2]) for line in path.read_text().splitlines()]
        path.unlink()
    times.sort()
    p50, p95, p99 = (times[int(len(times) * part)] / 1000 for part in (0.5, 0.95, 0.99))
    return Cell(len(times) / seconds, p50, p95, p99, len(times))
