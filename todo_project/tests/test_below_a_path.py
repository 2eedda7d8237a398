"""Below a path (`SCRIPT_NAME`) every link, page, cookie and redirect carries it."""

import sys
from collections.abc import Iterator
from http.client import responses
from io import BytesIO
from typing import Any

import pytest
from django.urls import set_script_prefix

from conftest import sign
from tests.below_a_path import PASSWORD, walk
from todo_project.wsgi import application


@pytest.fixture(autouse=True)
def root_again(connection_stays_open: None) -> Iterator[None]:
    yield
    set_script_prefix("/")


def send_below(below: str) -> Any:
    def send(method: str, address: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any, bytes]:
        path, _, query = address.partition("?")
        assert path.startswith(below)
        answer: list[Any] = []
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": below,
            "PATH_INFO": path.removeprefix(below),
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": headers.pop("Content-Type", ""),
            "wsgi.input": BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http",
        }
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        response = application(environ, lambda status, sent: answer.extend([status, sent]))
        content = b"".join(response)
        getattr(response, "close", lambda: None)()
        status = int(answer[0].split()[0])
        assert status in responses
        return status, answer[1], content

    return send


@pytest.mark.promise("P-80")
@pytest.mark.parametrize("below", ["/todo", "/a/b-c"])
def test_nothing_leads_out_of_the_path(transactional_db: None, django_user_model, below: str) -> None:
    django_user_model.objects.create_superuser("root", password=PASSWORD)
    walker = walk(send_below(below), below, "alice", sign("alice"), "root")
    assert len(walker.shown) > 60


@pytest.mark.promise("P-80")
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_not_redirected_to_https(transactional_db: None, settings, path: str) -> None:
    """The middleware reads this setting when the application is made, so it is made anew."""
    from django.core.wsgi import get_wsgi_application

    settings.SECURE_SSL_REDIRECT = True
    remade, answers = get_wsgi_application(), []
    for below in ("", "/todo"):
        environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": below, "SERVER_NAME": "localhost", "SERVER_PORT": "80"}
        environ |= {"wsgi.input": BytesIO(), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http"}
        for asked in (path, "/"):
            remade({**environ, "PATH_INFO": asked}, lambda status, sent: answers.append(status[:3]))
    assert answers == ["200", "301"] * 2
