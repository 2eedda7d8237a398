"""Where the service listens: every HOST is reached, by gunicorn alone and by `make run`, which prints how."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.live import GUNICORN, Live, environment, fresh_database, manage

SERVE = [sys.executable, "manage.py", "serve"]


class Reached(Live):
    """A service that is reached by the loopback address of HOST's kind."""

    @property
    def host(self) -> str:
        return "::1" if ":" in self.variables["HOST"] else "127.0.0.1"


@contextmanager
def listening(command: list[str], **variables: str) -> Iterator[Reached]:
    with fresh_database() as database_url:
        service = Reached(environment(database_url, **variables), command)
        try:
            yield service.start()
        finally:
            service.stop()
            service.log_file.unlink()


@pytest.mark.parametrize(
    ("host", "shown"), [("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "[::]"), ("localhost", "127.0.0.1")]
)
def test_gunicorn_listens_where_host_says(host: str, shown: str) -> None:
    with listening(GUNICORN, HOST=host) as service:
        assert f"Listening at: http://{shown}:{service.port} " in service.log


@pytest.mark.promise("P-56")
@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("localhost", "localhost"),
    ],
)
def test_serve_prints_an_address_and_a_command_that_work(host: str, shown: str) -> None:
    with listening(SERVE, HOST=host, DJANGO_ALLOWED_HOSTS="localhost,127.0.0.1,::1") as service:
        address = f"http://{shown}:{service.port}"
        first, token, command, last = service.log.splitlines()[:4]
        assert first == f"Todo API: {address}"
        assert token.startswith("A token for the user demo, for a week: ")
        assert last == f"Documentation: {address}/docs"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["title"] == "My first task"
        page = subprocess.run(
            ["curl", "-s", last.removeprefix("Documentation: ")], capture_output=True, text=True, check=True
        )
        assert "<title>" in page.stdout
        login = subprocess.run(["curl", "-s", f"{address}/login"], capture_output=True, text=True, check=True)
        assert "manage.py issue_token demo</code>" in login.stdout
        # Nothing pushes the four lines out of sight but the log of requests.
        assert not [line for line in service.log.splitlines()[4:] if " GET " not in line and " POST " not in line]


@pytest.mark.promise("P-56")
def test_serve_says_what_its_address_cannot_do_and_why_there_is_no_token() -> None:
    variables = {
        "DJANGO_ALLOWED_HOSTS": "todo.example.com",
        "DJANGO_HTTPS": "true",
        "BETTER_AUTH_SECRET": "",
        "BETTER_AUTH_URL": "https://app.example.com",
    }
    with listening(SERVE, HOST="0.0.0.0", **variables) as service:
        assert service.log.splitlines()[1:5] == [
            "That address is answered with 400 until 127.0.0.1 is in DJANGO_ALLOWED_HOSTS.",
            "That address only redirects to https, since DJANGO_HTTPS is true: it needs a proxy in front.",
            "There is no token to print, since BETTER_AUTH_SECRET is not set: sign in to your frontend, and take "
            "the one that Better Auth shows there, at https://app.example.com/api/auth/token "
            "(authClient.token() in code).",
            f"Documentation: {service.log.splitlines()[0].removeprefix('Todo API: ')}/docs",
        ]
        assert "curl" not in service.log
        assert service.request("GET", "/docs").status == 400
        assert service.request("GET", "/docs", Host="todo.example.com").status == 301
        login = service.request("GET", "/login", Host="todo.example.com", X_Forwarded_Proto="https")
        assert b"<code>https://app.example.com/api/auth/token</code>" in login.body


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "nowhere.invalid"])
def test_serve_on_an_address_of_another_machine_is_one_line(host: str) -> None:
    with fresh_database() as database_url:
        done = manage(environment(database_url, HOST=host), "serve", expect=1)
    said = done.stdout + done.stderr
    assert re.fullmatch(r"[^\n]*Cannot listen on [^\n]+ HOST must be an address of this machine\.\n", said), said
