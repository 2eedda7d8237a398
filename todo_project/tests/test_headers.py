"""Headers that Django or DRF would trip over before any handler of errors stands."""

import json
import sys
from io import BytesIO
from typing import Any

import pytest

from conftest import Actor, assert_problem, rows
from tasks.models import Task
from todo_project.wsgi import application

pytestmark = pytest.mark.usefixtures("connection_stays_open")


def ask(path: str, method: str = "GET", body: bytes = b"", **environ: str) -> tuple[int, bytes]:
    """A request through the WSGI application itself, as gunicorn sends it."""
    answer: list[str] = []
    request: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "CONTENT_LENGTH": str(len(body)),
        **environ,
    }
    response = application(request, lambda status, headers: answer.append(status))
    return int(answer[0].split()[0]), b"".join(response)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain; charset=hex",
        "text/plain; charset=undefined",
        "text/plain; charset=none-such",
        "text/plain; a*=bogus'e'%41",
        "multipart/form-data; boundary=b; charset=hex",
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/login", "/nope", "/api/alice/tasks"])
def test_a_content_type_in_no_charset_is_no_error_of_ours(db: None, path: str, content_type: str) -> None:
    for method in ("GET", "POST"):
        status, _ = ask(path, method, b"x", CONTENT_TYPE=content_type, QUERY_STRING="next=/x")
        assert status < 500


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-16", "application/json; a*=bogus'e'%41"])
def test_json_in_another_charset_is_415(alice: Actor, db: None, content_type: str) -> None:
    authorization = f"Bearer {alice.token}"
    status, body = ask(alice.tasks, "POST", b"{}", CONTENT_TYPE=content_type, HTTP_AUTHORIZATION=authorization)
    assert (status, json.loads(body)["code"]) == (415, "unsupported_media_type")
    assert rows() == []


def test_another_charset_does_not_hide_the_query(alice: Actor, milk: Task) -> None:
    environ = {"QUERY_STRING": "limit=0", "HTTP_AUTHORIZATION": f"Bearer {alice.token}"}
    assert ask(alice.tasks, CONTENT_TYPE="text/plain; charset=utf-16", **environ)[0] == 422


@pytest.mark.parametrize("path", ["/", "/nope"])
def test_a_malformed_accept_is_no_error_of_ours(alice: Actor, path: str) -> None:
    assert alice.get(path, Accept="text/html; a*=bogus'e'%41").status_code in {200, 404}


def test_no_body_flips_whatever_its_content_type_says(alice: Actor, milk: Task) -> None:
    for completed in (True, False, True):
        response = alice.patch(alice.complete(milk.pk), Content_Type="application/x-www-form-urlencoded")
        assert (response.status_code, response.json()["completed"]) == (200, completed)


def test_a_tab_behind_the_scheme_is_a_blank_too(alice: Actor, milk: Task) -> None:
    assert alice.get(alice.tasks, Authorization=f"Bearer\t{alice.token}").status_code == 200
    assert_problem(alice.get(alice.tasks, Authorization="Bearer\tx"), 401, "token_invalid")


def test_many_unknown_members_are_not_answered_at_length(alice: Actor, milk: Task) -> None:
    before = rows()
    body = {f"member{number}": 1 for number in range(10_000)}
    problem = assert_problem(alice.patch(alice.complete(milk.pk), body), 422, "validation_error")
    assert len(problem["errors"]) == 20
    assert rows() == before


def test_a_search_that_would_not_fit_the_next_link_is_refused(alice: Actor, milk: Task) -> None:
    problem = assert_problem(alice.get(f"{alice.tasks}?search={'a' * 201}"), 422, "validation_error")
    assert problem["errors"][0]["parameter"] == "search"
    assert alice.get(f"{alice.tasks}?search={'a' * 200}").status_code == 200
