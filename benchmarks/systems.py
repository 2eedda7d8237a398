"""The systems under measurement: this project, its no-op view, and the peers."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import better_auth, machine

# The Django peers run on the same server as the project, with its configuration.
GUNICORN = ("-m", "gunicorn", "-c", str(machine.PROJECT / "gunicorn.conf.py"))


@dataclass(frozen=True)
class System:
    """How to start one of the systems; PORT, DATABASE_URL and the secrets come from the environment."""

    name: str
    title: str
    command: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()

    def version(self) -> str:
        """The releases of the packages that are installed for it."""
        if self.command[0] == "node":
            found = [
                json.loads((self.cwd / "node_modules" / name / "package.json").read_text())["version"]
                for name in self.packages
            ]
        else:
            code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
            found = machine.output(self.command[0], "-c", code, *self.packages).split()
        return f"{self.title}: " + ", ".join(map(" ".join, zip(self.packages, found, strict=True)))


@dataclass(frozen=True)
class Server:
    """A system that is running."""

    system: System
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def worker(self) -> int:
        return machine.worker_of(self.process.pid)

    def memory(self) -> float:
        return machine.memory(self.worker)

    def cpu_seconds(self) -> float:
        return machine.cpu_seconds(self.worker)


def project_environment(database_url: str) -> dict[str, str]:
    """A whole environment, free of what the caller's shell or the project's .env may set."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "GUNICORN_", "PYTHONDONTWRITE"))
    }
    # One that is set to nothing counts as not set, and hides what a .env says.
    settings = re.findall("^([A-Z_]+)=", (machine.PROJECT / ".env.example").read_text(), re.M)
    own = {
        "DATABASE_URL": database_url,
        "BETTER_AUTH_URL": better_auth.url(),
        "BETTER_AUTH_SECRET": better_auth.SECRET,
        "DJANGO_SECRET_KEY": better_auth.SECRET,
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
        "WEB_CONCURRENCY": "1",
    }
    return kept | dict.fromkeys(settings, "") | own


PROJECT = System(
    "project", "This project", (sys.executable, *GUNICORN, "todo_project.wsgi"), machine.PROJECT,
    packages=("django", "djangorestframework", "psycopg", "PyJWT", "gunicorn"),
)  # fmt: skip
NOOP = System(
    "noop", "No-op view of this project", PROJECT.command, machine.PROJECT,
    {"DJANGO_SETTINGS_MODULE": "benchmarks.noop_settings"},
)  # fmt: skip
BARE = System("bare", "Bare Django with DRF", (sys.executable, *GUNICORN, "bare:application"), machine.PEERS / "bare")


def django_peer(name: str, title: str, framework: str) -> System:
    # This project's application logs its requests itself; of the peers, gunicorn does.
    command = (str(machine.PEERS_PYTHON), *GUNICORN, "--access-logfile", "-", "django_base.wsgi")
    packages = ("django", framework, "psycopg", "PyJWT", "gunicorn")
    return System(name, title, command, machine.PEERS, {"PEER": name}, packages)


PEERS = (
    System(
        "fastapi_sqlmodel", "FastAPI + SQLModel + asyncpg",
        (str(machine.PEERS_PYTHON), "-m", "uvicorn", "main:app"), machine.PEERS / "fastapi_sqlmodel",
        packages=("fastapi", "sqlmodel", "asyncpg", "PyJWT", "uvicorn"),
    ),
    django_peer("drf_plain", "Plain DRF", "djangorestframework"),
    django_peer("django_ninja", "Django Ninja", "django-ninja"),
    System(
        "fastify_pg", "Fastify + pg", ("node", "server.js"), machine.PEERS / "fastify_pg", {"NODE_ENV": "production"},
        ("fastify", "pg", "fast-jwt", "get-jwks"),
    ),
)  # fmt: skip


def lists(peer: System) -> tuple[Path, Path]:
    """The list of a peer's packages, and the copy of it that says what was installed."""
    if peer.command[0] == "node":
        return peer.cwd / "package-lock.json", peer.cwd / "node_modules" / "package-lock.json"
    return machine.HERE / "requirements.txt", machine.HERE / ".venv" / "requirements.txt"


def installed(peer: System) -> bool:
    wanted, there = lists(peer)
    return there.exists() and there.read_text() == wanted.read_text()


def available_peers() -> tuple[System, ...]:
    """The peers, installed where they were not yet; Fastify only where there is Node."""
    peers = PEERS
    if not (shutil.which("node") and shutil.which("npm")):
        print("Fastify is skipped: there is no Node.")
        peers = tuple(peer for peer in PEERS if peer.command[0] != "node")
    for peer in peers:
        if installed(peer):
            continue
        print(f"Installing {peer.title}.", flush=True)
        wanted, there = lists(peer)
        if peer.command[0] == "node":
            subprocess.run(["npm", "ci", "--silent"], cwd=peer.cwd, check=True)
        else:
            subprocess.run([sys.executable, "-m", "venv", str(machine.HERE / ".venv")], check=True)
            subprocess.run([peer.command[0], "-m", "pip", "install", "-q", "-r", str(wanted)], check=True)
        shutil.copy(wanted, there)
    return peers


def describe() -> list[str]:
    """The machine, and the versions of everything that is installed."""
    postgres = machine.output(str(machine.postgres_program("postgres")), "--version").split()[2]
    programs = f"Python {sys.version.split()[0]}, PostgreSQL {postgres}, SQLite {sqlite3.sqlite_version}"
    if shutil.which("node"):
        programs += f", Node {machine.output('node', '--version').lstrip('v')}"
    made_of = [system.version() for system in (PROJECT, *filter(installed, PEERS))]
    return [f"- {line}" for line in (machine.describe(), programs, *made_of)]


@contextmanager
def starting(
    system: System, database_url: str, logs: Path, *options: str, core: int = machine.SERVER_CORE
) -> Iterator[Server]:
    """The system, perhaps not answering yet; `options` are further arguments of its command."""
    port = machine.free_port()
    env = project_environment(database_url) | {"PORT": str(port), **system.env}
    command = [*system.command, *options]
    if "gunicorn" in command:
        command += ["--bind", f"127.0.0.1:{port}"]
    elif "uvicorn" in command:
        command += ["--port", str(port)]
    log = logs / f"{system.name}.log"
    with machine.process(command, core, log, env=env, cwd=system.cwd) as process:
        yield Server(system, port, process, log)


@contextmanager
def running(
    system: System, database_url: str, logs: Path, *options: str, core: int = machine.SERVER_CORE
) -> Iterator[Server]:
    """The system, answering."""
    with starting(system, database_url, logs, *options, core=core) as server:
        machine.wait_until_answering(f"{server.url}/api/nobody/tasks", server.process, server.log)
        yield server
