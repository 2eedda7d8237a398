"""The clients that people have, each as its guide shows it, at work against the live server.

fetch, axios, ky and openapi-fetch run in Node, by client/clients.mjs.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import requests

from tests.live import User, environment
from tests.test_client import CLIENT, DOCUMENT, MISSING

SENT_NOTHING = object()
# The status, the headers by their names in lower case, and the document or None.
Answer = tuple[int, dict[str, str], Any]
Send = Callable[..., Answer]


def by_requests(method: str, url: str, headers: dict[str, str], body: dict[str, Any]) -> Answer:
    answer = requests.request(method, url, headers=headers, **body)
    return answer.status_code, dict(answer.headers), answer.json() if answer.content else None


def by_httpx(method: str, url: str, headers: dict[str, str], body: dict[str, Any]) -> Answer:
    answer = httpx.request(method, url, headers=headers, **body)
    return answer.status_code, dict(answer.headers), answer.json() if answer.content else None


def by_curl(method: str, url: str, headers: dict[str, str], body: dict[str, Any]) -> Answer:
    command = ["curl", "-sS", "-X", method, url, "-w", r"\n%{http_code} %{header_json}"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    if body:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body["json"])]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    document, _, rest = printed.partition("\n")
    status, _, found = rest.partition(" ")
    return int(status), {name: values[0] for name, values in json.loads(found).items()}, json.loads(document or "null")


@contextmanager
def in_node(client: str) -> Iterator[Callable[[str, str, dict[str, str], dict[str, Any]], Answer]]:
    with subprocess.Popen(
        ["node", "clients.mjs", client], cwd=CLIENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        asked, told = process.stdin, process.stdout

        def send(method: str, url: str, headers: dict[str, str], body: dict[str, Any]) -> Answer:
            request = {"method": method, "url": url, "headers": headers}
            if body:
                request["body"] = body["json"]
            print(json.dumps(request), file=asked, flush=True)
            answer = json.loads(told.readline())
            return answer["status"], answer["headers"], answer["body"]

        yield send


IN_PYTHON = {"requests": by_requests, "httpx": by_httpx, "curl": by_curl}
needs_node = pytest.mark.skipif(MISSING is not None, reason=f"No client in Node was tried: {MISSING}.")


IN_NODE = ["fetch", "axios", "ky", "openapi-fetch"]


@pytest.fixture(params=[*IN_PYTHON, *(pytest.param(name, marks=needs_node) for name in IN_NODE)])
def send(request: pytest.FixtureRequest, user: User) -> Iterator[Send]:
    """Sends one request as the user, by each of the clients."""

    def sender(client: Callable[..., Answer]) -> Send:
        def send(method: str, path: str, body: Any = SENT_NOTHING, **headers: str) -> Answer:
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            headers["Authorization"] = f"Bearer {user.token}"
            sent = {} if body is SENT_NOTHING else {"json": body}
            status, found, document = client(method, user.live.url + path, headers, sent)
            return status, {name.lower(): value for name, value in found.items()}, document

        return send

    if request.param in IN_PYTHON:
        yield sender(IN_PYTHON[request.param])
    else:
        with in_node(request.param) as client:
            yield sender(client)


@pytest.mark.promise("P-95")
def test_a_client_lists_creates_again_meets_a_conflict_and_deletes(user: User, send: Send) -> None:
    assert send("GET", user.tasks)[::2] == (200, [])

    # A create, and the same again.
    key = str(uuid4())
    milk = {"title": "Milk", "description": "Käse 😀"}
    status, headers, task = send("POST", user.tasks, milk, Idempotency_Key=key)
    assert (status, {**task, **milk}) == (201, task)
    path = f"{user.tasks}/{task['id']}"
    assert headers["location"] == user.live.url + path
    assert send("POST", user.tasks, milk, Idempotency_Key=key)[::2] == (201, task)
    assert send("GET", user.tasks)[::2] == (200, [task])

    # What is wrong is said where each client looks.
    status, headers, problem = send("POST", user.tasks, {"title": " "})
    assert (status, problem["detail"]) == (422, "title: this field may not be blank.")
    assert headers["content-type"] == "application/problem+json"
    assert send("GET", f"{user.tasks}/")[0] == 404

    # Of two who read the same state the second is told.
    first = send("GET", path)[1]["etag"]
    status, headers, written = send("PUT", path, {"title": "Oat milk"}, If_Match=first)
    assert (status, written["description"]) == (200, milk["description"])
    status, conflict, problem = send("PUT", path, {"title": "Soy milk"}, If_Match=first)
    assert (status, problem["code"], conflict["etag"]) == (412, "precondition_failed", headers["etag"])
    assert send("DELETE", path, If_Match=first)[0] == 412
    assert send("GET", path, If_None_Match=headers["etag"])[::2] == (304, None)
    assert send("GET", path)[2] == written

    # Flipped by a request with nothing in it, however the client writes nothing; set by one with the flag.
    for body, completed in [
        (SENT_NOTHING, True),
        ({}, False),
        (None, True),
        ({"completed": False}, False),
        ({"completed": False}, False),
    ]:
        status, headers, task = send("PATCH", f"{path}/complete", body)
        assert (status, task["completed"]) == (200, completed)

    assert send("DELETE", path, If_Match=headers["etag"])[::2] == (204, None)
    assert send("GET", path)[0] == 404
    assert send("GET", user.tasks)[::2] == (200, [])


@pytest.mark.promise("P-95")
def test_a_generated_python_client_works(tmp_path: Path, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """openapi-python-client makes it of the committed document."""
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(DOCUMENT), "--meta", "none"]
    made = subprocess.run(
        [*command, "--output-path", str(tmp_path / "todo_client"), "--fail-on-warning"],
        env=environment(""),  # Its formatter stands beside the Python of the tests.
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    from todo_client import AuthenticatedClient
    from todo_client.api.tasks import task_complete, task_create, task_destroy, task_retrieve, task_update, tasks_list
    from todo_client.models import Problem, Task, TaskCompleteBody, TaskInput

    me = user.subject
    with AuthenticatedClient(base_url=user.live.url, token=user.token) as client:
        assert tasks_list.sync(me, client=client) == []
        task, again = (
            task_create.sync(me, client=client, body=TaskInput("Milk", description="Two litres"), idempotency_key="k")
            for _ in range(2)
        )
        assert isinstance(task, Task)
        assert again == task
        assert tasks_list.sync(me, client=client, completed=False, search="milk") == [task]
        refused = task_create.sync(me, client=client, body=TaskInput(" "))
        assert isinstance(refused, Problem)
        assert refused.detail == "title: this field may not be blank."

        tag = task_retrieve.sync_detailed(me, task.id, client=client).headers["ETag"]
        poll = task_retrieve.sync_detailed(me, task.id, client=client, if_none_match=tag)
        assert (poll.status_code, poll.content) == (304, b"")
        written = task_update.sync(me, task.id, client=client, body=TaskInput("Oat milk"), if_match=tag)
        assert isinstance(written, Task)
        assert (written.title, written.description) == ("Oat milk", "Two litres")
        for conflict in (
            task_update.sync(me, task.id, client=client, body=TaskInput("Soy milk"), if_match=tag),
            task_destroy.sync(me, task.id, client=client, if_match=tag),
        ):
            assert isinstance(conflict, Problem)
            assert conflict.code == "precondition_failed"

        for body, completed in (({}, True), ({"body": TaskCompleteBody(True)}, True), ({}, False)):
            done = task_complete.sync(me, task.id, client=client, **body)
            assert isinstance(done, Task)
            assert done.completed is completed
        assert task_destroy.sync_detailed(me, task.id, client=client).status_code == 204
        gone = task_retrieve.sync(me, task.id, client=client)
        assert isinstance(gone, Problem)
        assert gone.status == 404
