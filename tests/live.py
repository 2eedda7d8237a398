"""The service as production runs it: gunicorn on a database of its own, reached over real HTTP."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from conftest import sign
from tests.postgres import free_port

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "todo_project.wsgi"]


@contextmanager
def fresh_database() -> Iterator[str]:
    """The address of an empty database: on the tests' PostgreSQL server if there is one, else an SQLite file."""
    server = os.environ.get("TEST_DATABASE_URL")
    if not server:
        folder = tempfile.mkdtemp(prefix="todo-live-")
        yield f"sqlite:///{folder}/live.sqlite3"
        shutil.rmtree(folder)
        return
    import psycopg

    name = f"live_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def environment(database_url: str, **variables: str) -> dict[str, str]:
    """Everything the service reads and nothing else; set to nothing, so that no `.env` speaks for what is not given."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    blank = {name: "" for name, equals, _ in (line.partition("=") for line in lines) if equals and name.isupper()}
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        **blank,
        "DATABASE_URL": database_url,
        "PREPARED_STATEMENTS": settings.PREPARED_STATEMENTS,
        "STATEMENTS_BY_CURSOR": "true" if settings.STATEMENTS_BY_CURSOR else "",
        "BETTER_AUTH_SECRET": settings.BETTER_AUTH_SECRETS[0],
        "DJANGO_SECRET_KEY": settings.SECRET_KEY,
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1,localhost",
        "CORS_ALLOWED_ORIGINS": "http://localhost:3000",
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "WEB_CONCURRENCY": "2",
        **variables,
    }


def manage(variables: dict[str, str], *arguments: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run a management command as an operator would, and wait for it."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60
    )
    assert expect is None or done.returncode == expect, done.stderr
    return done


@dataclass
class Answer:
    """One answer, read to its end."""

    status: int
    headers: HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Live:
    """A running service. Its log is what it wrote to standard output and standard error."""

    variables: dict[str, str]
    command: list[str] = field(default_factory=lambda: list(GUNICORN))
    process: subprocess.Popen[bytes] | None = None
    # The port of a proxy in front of it, to which requests then go.
    front: int = 0

    def __post_init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="todo-live-", suffix=".log")
        os.close(descriptor)
        self.log_file = Path(name)

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        return self.front or int(self.variables["PORT"])

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def start(self) -> "Live":
        """Start it and wait until it answers."""
        with self.log_file.open("ab") as log:
            # A session of its own, so that its workers can be ended with it.
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.variables, stdout=log, stderr=log, start_new_session=True
            )
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            assert self.process.poll() is None, self.log
            try:
                if self.request("GET", "/healthz").status == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.05)
        self.stop(signal.SIGKILL)
        raise AssertionError(f"It did not answer within {START_SECONDS} s:\n{self.log}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it: as an operator does, or with SIGKILL the whole process group at once."""
        if self.process is None:
            return
        if how == signal.SIGKILL:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        try:
            self.process.wait(40)
        finally:
            end_group(self.process.pid)
            self.process = None

    def connect(self) -> HTTPConnection:
        return HTTPConnection(self.host, self.port, timeout=20)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str = "",
        connection: HTTPConnection | None = None,
        **headers: str,
    ) -> Answer:
        """Send JSON, bytes, or an iterable of bytes (chunked); header names with `_` for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            if isinstance(body, dict | str):
                body = json.dumps(body).encode()
        if connection is not None:
            return exchange(connection, method, path, body, sent)
        with closing(self.connect()) as own:
            return exchange(own, method, path, body, sent)

    def raw(self, data: bytes | Iterable[bytes]) -> bytes:
        """Send these very bytes, and give whatever comes until the server hangs up."""
        with socket.create_connection((self.host, self.port), timeout=20) as connection:
            for part in [data] if isinstance(data, bytes) else data:
                connection.sendall(part)
            received = b""
            while chunk := connection.recv(64 * 1024):
                received += chunk
            return received


def exchange(connection: HTTPConnection, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def end_group(group: int) -> None:
    """Nothing that was started stays behind."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def serving(database_url: str, application: str = GUNICORN[-1], **variables: str) -> Iterator[Live]:
    """gunicorn on this database, migrated."""
    running = Live(environment(database_url, **variables), command=[*GUNICORN[:-1], application])
    manage(running.variables, "migrate", "--noinput")
    running.start()
    try:
        yield running
    finally:
        running.stop()
        running.log_file.unlink()


@contextmanager
def live(application: str = GUNICORN[-1], **variables: str) -> Iterator[Live]:
    """gunicorn on a fresh database, migrated; both are gone afterwards."""
    with fresh_database() as database_url, serving(database_url, application, **variables) as running:
        yield running


@dataclass
class User:
    """Somebody with a token who calls the running service."""

    live: Live
    subject: str = field(default_factory=lambda: f"user-{uuid.uuid4().hex[:12]}")
    token: str = ""

    def __post_init__(self) -> None:
        self.token = self.token or sign(self.subject)

    @property
    def tasks(self) -> str:
        return f"/api/{self.subject}/tasks"

    def request(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return self.live.request(method, path, body, self.token, **more)

    def create(self, title: str, **members: Any) -> dict[str, Any]:
        answer = self.request("POST", self.tasks, {"title": title, **members})
        assert answer.status == 201, answer.body
        task: dict[str, Any] = answer.json()
        return task

    def list(self, query: str = "") -> list[dict[str, Any]]:
        answer = self.request("GET", self.tasks + query)
        assert answer.status == 200, answer.body
        tasks: list[dict[str, Any]] = answer.json()
        return tasks
