"""LOG_FORMAT=json: every line of the running service is one JSON object that a program can read."""

import json
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live import Live, User, live

WORDS = ["Zebrastreifen", "Kaktusfeige", "Quittengelee"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
def service() -> Iterator[Live]:
    with live(LOG_FORMAT="json", THROTTLE_RATE="1000/hour") as running:
        yield running


def lines(service: Live) -> list[dict[str, Any]]:
    """Every line is one object with the same first members."""
    read = [json.loads(line) for line in service.log.splitlines()]
    for line in read:
        assert list(line)[:4] == ["time", "level", "logger", "request_id"], line
        assert TIME.fullmatch(line["time"])
    return read


def line_of(service: Live, request_id: str) -> dict[str, Any]:
    (line,) = [line for line in lines(service) if line["request_id"] == request_id]
    return line


@pytest.mark.promise("P-111")
def test_a_request_is_one_object_with_its_route_and_its_subject(service: Live) -> None:
    alice = User(service)
    task = alice.create(WORDS[0], description=WORDS[1])
    path = f"{alice.tasks}/{task['id']}"
    asked = {
        "a": ("PUT", path, {"title": WORDS[0]}, 200),
        "b": ("GET", f"{alice.tasks}?search={WORDS[2]}", None, 200),
        "c": ("GET", "/api/somebody/tasks", None, 403),
        "d": ("POST", alice.tasks, b"{", 400),
        "e": ("DELETE", path, None, 204),
    }
    for request_id, (method, address, body, status) in asked.items():
        answer = alice.request(method, address, body, X_Request_ID=f"{alice.subject}-{request_id}")
        assert answer.status == status
        line = line_of(service, f"{alice.subject}-{request_id}")
        assert 0 < line.pop("milliseconds") < 20_000
        del line["time"], line["request_id"]
        route = "/api/<str:user_id>/tasks" + ("/<task_id:task_id>" if address == path else "")
        assert line == {
            "level": "INFO", "logger": "todo_project.request",
            "method": method, "route": route, "status": status, "subject": alice.subject,
        }  # fmt: skip
    assert not any(word in service.log for word in [*WORDS, alice.token, path])


@pytest.mark.promise("P-111")
@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        ("/nothing/Zebrastreifen", 404, None),
        ("/api/somebody/tasks", 401, "/api/<str:user_id>/tasks"),
        ("/admin/tasks/task/", 302, "/admin/tasks/task/"),
        ("/static/todo/page.css", 200, None),
        ("/healthz", 200, "/healthz"),
    ],
)
def test_a_request_of_nobody_has_no_subject(service: Live, path: str, status: int, route: str | None) -> None:
    request_id = f"nobody{path.replace('/', '-')}"
    assert service.request("GET", path, X_Request_ID=request_id).status == status
    line = line_of(service, request_id)
    assert (line["status"], line["route"], line["subject"]) == (status, route, None)


@pytest.mark.promise("P-111")
def test_one_search_leads_from_what_the_frontend_shows_to_the_cause(service: Live) -> None:
    answer = service.request("GET", "/api/alice/tasks", token="x", Origin="http://localhost:3000")
    request_id = answer.json()["request_id"]
    assert answer.headers["X-Request-ID"] == request_id
    assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"].lower()
    refusal, request = [line for line in lines(service) if line["request_id"] == request_id]
    assert refusal["message"].startswith("A token is refused: ") and refusal["level"] == "WARNING"
    assert (request["status"], request["logger"]) == (401, "todo_project.request")


GET = b"GET /api/alice/tasks?search=Quittengelee HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/alice/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
UNPARSED = {
    "not ASCII": "GET /api/alice/tasks?search=Quittengelee-ä HTTP/1.1\r\n\r\n".encode(),
    "a blank in the query": b"GET /api/alice/tasks?search=x Quittengelee HTTP/1.1\r\n\r\n",
    "a body without a length": POST + b'\r\n{"title": "Zebrastreifen"}\r\n\r\n',
    "a length that is too short": POST + b'Content-Length: 2\r\n\r\n{"title": "Zebrastreifen"}\r\n\r\n',
    "chunks without sizes": CHUNKED + b'{"title": "Zebrastreifen"}\r\n0\r\n\r\n',
    "a chunk that is too long": CHUNKED + b"2\r\n{}Zebrastreifen\r\n0\r\n\r\n",
    "a chunk's extension": CHUNKED + b"2;Zebrastreifen=\x01\r\n{}\r\n0\r\n\r\n",
    "a header without a colon": GET + b"Authorization Bearer Kaktusfeige\r\n\r\n",
    "a header's name": GET + b"X Kaktusfeige: y\r\n\r\n",
    "a transfer coding": POST + b"Transfer-Encoding: Kaktusfeige\r\n\r\n",
    "an expectation": GET + b"Expect: Kaktusfeige\r\n\r\n",
}


@pytest.mark.promise("P-111")
@pytest.mark.parametrize("log_format", ["json", "plain"])
def test_what_cannot_be_parsed_is_in_no_log(log_format: str) -> None:
    with live(LOG_FORMAT=log_format, WEB_CONCURRENCY="1", GUNICORN_THREADS="1") as running:
        alice = User(running, "alice")
        for name, sent in UNPARSED.items():
            alice.request("GET", alice.tasks, X_Request_ID="alices")
            before = len(running.log)
            assert re.match(rb"HTTP/1.1 (4|501)", running.raw(sent)), name
            said = running.log[before:]
            assert not any(word in said for word in [*WORDS, "Traceback", "alices"]), (name, said)
            time.sleep(0.6)
        assert "A malformed request is refused: Invalid" in running.log


@pytest.mark.promise("P-111")
def test_gunicorn_s_own_lines_are_objects_too(service: Live) -> None:
    said = [line["message"] for line in lines(service) if line["logger"] == "gunicorn.error"]
    assert said[0].startswith("Starting gunicorn")
    assert [message for message in said if message.startswith("THROTTLE_RATE is counted by each of 2 processes")]
    assert service.process
    service.process.send_signal(signal.SIGHUP)
    ends = time.monotonic() + 30
    while service.log.count("Booting worker") < 4 and time.monotonic() < ends:
        time.sleep(0.2)
    service.raw(b"nonsense\r\n\r\n")
    assert service.request("GET", "/healthz").status == 200
    assert len([line for line in lines(service) if line.get("message", "").startswith("Booting worker")]) == 4
