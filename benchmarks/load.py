"""Load: wrk with load.lua against a server; every answer's status is counted."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.better_auth import token
from benchmarks.database import Data

WORKLOADS = ("list", "read", "create", "update", "toggle", "delete", "mix")


class WrongAnswer(Exception):
    """A status that the workload does not expect, or a broken connection: the run has failed."""


@dataclass(frozen=True)
class Cell:
    """One system under one workload: requests a second, latencies in milliseconds, and the server's CPU for each request."""

    rate: float
    p50: float
    p95: float
    p99: float
    requests: int
    cpu: float = 0


def write_users(path: Path, users: Iterable[str], algorithm: str = "EdDSA") -> Path:
    """The file of active users and their tokens that load.lua reads."""
    path.write_text("".join(f"{user} {token(user, algorithm)}\n" for user in users))
    return path


@dataclass
class Load:
    """wrk on its core, with the same data and users for every system."""

    data: Data
    users: Path
    seconds: float
    connections: int = 16
    seed: int = 0

    def run(self, workload: str, *ports: int, seconds: float | None = None) -> Cell:
        """One cell against the server at the port, or one thread for each of several."""
        self.seed += 1
        threads = len(ports)
        lua = [workload, self.seed, self.users, self.data.users, self.data.stride, self.data.size, threads]
        command = [
            machine.required(shutil.which("wrk"), "wrk"), f"-t{threads}", f"-c{self.connections}",
            f"-d{max(1, round(seconds or self.seconds))}s", "--timeout", "10s", "-s", str(machine.HERE / "load.lua"),
            f"http://127.0.0.1:{ports[0]}", "--", *map(str, lua),
        ]  # fmt: skip
        env = os.environ | {"PORTS": " ".join(map(str, ports))}
        pin = machine.pin_to(machine.LOAD_CORE)
        result = subprocess.run(command, env=env, text=True, capture_output=True, preexec_fn=pin)
        if "JSON" not in result.stdout:
            raise WrongAnswer(f"wrk ended early: {result.stdout}{result.stderr}")
        answer = json.loads(result.stdout.partition("JSON")[2])
        self.judge(workload, answer)
        rate = answer["requests"] / answer["microseconds"] * 1e6
        return Cell(rate, answer["p50"] / 1000, answer["p95"] / 1000, answer["p99"] / 1000, answer["requests"])

    def judge(self, workload: str, answer: dict) -> None:
        """Raise WrongAnswer unless each status came as often as it was asked for, but for requests on their way at the end.

        wrk itself sends one more, on trial.
        """
        asked, got = answer["asked"], answer["got"]
        under_way = {status: asked.get(status, 0) - got.get(status, 0) for status in asked | got}
        if (
            answer["broken"]
            or not got
            or any(not 0 <= missing <= self.connections + 1 for missing in under_way.values())
        ):
            raise WrongAnswer(f"{workload}: asked for {asked}, got {got}, {answer['broken']} broken connections")
