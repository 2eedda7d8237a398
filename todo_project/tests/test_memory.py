"""A request's memory is free at its end, without waiting for the garbage collector."""

import gc
import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

from conftest import Actor
from tasks.models import Task
from todo_project.wsgi import application

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("connection_stays_open")]


@pytest.fixture
def collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def ask(actor: Actor, method: str, path: str, body: bytes = b"", accept: str = "*/*") -> tuple[str, bytes]:
    """Through the WSGI application as a server calls it: Django's test client keeps requests alive."""
    path, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "testserver",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "testserver", "HTTP_ACCEPT": accept,
        "HTTP_AUTHORIZATION": f"Bearer {actor.token}", "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body), "wsgi.url_scheme": "http",
    }  # fmt: skip
    statuses: list[str] = []
    answer = application(environ, lambda status, headers, error=None: statuses.append(status))
    content = b"".join(answer)
    answer.close()  # type: ignore[attr-defined]
    return statuses[0], content


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "?limit=1", 200),
        ("POST", "", 201),
        ("GET", "/{id}", 200),
        ("PUT", "/{id}", 200),
        ("PATCH", "/{id}/complete", 200),
        ("DELETE", "/{id}", 204),
        ("GET", "/0", 404),
        ("GET", "?limit=0", 422),
        ("POST", "/{id}", 405),
    ],
)
def test_a_request_leaves_nothing_for_the_collector(
    alice: Actor, collector, method: str, path: str, status: int
) -> None:
    made = [Task.objects.create(user_id="alice", title="Milk") for _ in range(12)]
    body = json.dumps({} if "complete" in path else {"title": "Bread"}).encode()
    for round_ in (made[:2], made[2:]):  # The first requests fill caches.
        gc.collect()
        for task in round_:
            answered, _ = ask(alice, method, alice.tasks + path.format(id=task.pk), body)
            assert answered.startswith(str(status))
    assert gc.collect() == 0


def test_a_page_is_whole_before_its_request_is_taken_apart(alice: Actor, milk: Task) -> None:
    status, content = ask(alice, "GET", alice.tasks, accept="text/html")
    assert status == "200 OK"
    assert b"Milk" in content and content.rstrip().endswith(b"</html>")
