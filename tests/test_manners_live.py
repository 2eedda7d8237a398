"""Safe retries and conditional writes over real HTTP, across the processes of a real gunicorn."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest

from tests.live import Answer, Live, User, live

ORIGIN = "http://localhost:3000"
MILK = {"title": "Milk", "description": "Two litres"}


def all_at_once(user: User, method: str, path: str, bodies: list[Any], **headers: str) -> list[Answer]:
    """Every request is on its way before the first answer is read; the workers share them."""
    sent = {"Authorization": f"Bearer {user.token}", "Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connections: list[HTTPConnection] = []
    with ExitStack() as stack:
        for body in bodies:
            connection = HTTPConnection(user.live.host, user.live.port, timeout=60)
            stack.enter_context(closing(connection))
            connection.request(method, path, json.dumps(body), sent)
            connections.append(connection)
        answers = []
        for connection in connections:
            response = connection.getresponse()
            answers.append(Answer(response.status, response.headers, response.read()))
            connection.close()
        return answers


@pytest.mark.promise("P-68")
def test_a_thousand_retries_at_once_make_one_task(user: User) -> None:
    answers = all_at_once(user, "POST", user.tasks, [MILK] * 1000, Idempotency_Key="k")
    assert {answer.status for answer in answers} == {201}
    states = {(answer.json()["id"], answer.headers["ETag"], answer.headers["Location"]) for answer in answers}
    assert len(states) == 1
    assert [task["id"] for task in user.list()] == [answers[0].json()["id"]]


@pytest.mark.promise("P-69")
def test_of_two_bodies_with_one_key_one_wins_across_processes(user: User) -> None:
    bodies = [{"title": "Milk"}, {"title": "Bread"}] * 100
    answers = all_at_once(user, "POST", user.tasks, bodies, Idempotency_Key="k")
    (task,) = user.list()
    for body, answer in zip(bodies, answers, strict=True):
        if body["title"] == task["title"]:
            assert (answer.status, answer.json()) == (201, task)
        else:
            assert (answer.status, answer.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.promise("P-65")
def test_of_fifty_writers_with_one_tag_exactly_one_wins_each_round(user: User) -> None:
    task_id = user.create("Milk")["id"]
    path = f"{user.tasks}/{task_id}"
    for number in range(5):
        tag = user.request("GET", path).headers["ETag"]
        bodies = [{"title": f"{number} {writer}"} for writer in range(50)]
        answers = all_at_once(user, "PUT", path, bodies, If_Match=tag)
        assert sorted(answer.status for answer in answers) == [200] + [412] * 49
        winner = next(answer for answer in answers if answer.status == 200)
        assert {answer.headers["ETag"] for answer in answers} == {winner.headers["ETag"]} != {tag}
        assert user.request("GET", path).json() == winner.json()
        assert winner.json()["title"] == bodies[answers.index(winner)]["title"]


@pytest.mark.promise("P-68")
def test_a_client_that_hangs_up_and_sends_again_makes_one_task(live: Live, user: User) -> None:
    body = json.dumps(MILK).encode()
    for number in range(30):
        head = (
            f"POST {user.tasks} HTTP/1.1\r\nHost: {live.host}\r\nAuthorization: Bearer {user.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: {number}\r\n\r\n"
        )
        with socket.create_connection((live.host, live.port), timeout=20) as connection:
            connection.sendall(head.encode() + body)
            if number % 2:  # With a reset, and without one.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answer = user.request("POST", user.tasks, MILK, Idempotency_Key=str(number))
        assert answer.status == 201
    # A request that was sent first may be served last: each key's task is asked for once more.
    ids = [user.request("POST", user.tasks, MILK, Idempotency_Key=str(number)).json()["id"] for number in range(30)]
    assert sorted(task["id"] for task in user.list()) == sorted(set(ids))
    assert len(set(ids)) == 30
    # And of those that were hung up on, at least the ones without a reset did reach the task. (A proxy passes on none
    # whose client has gone.)
    assert live.front or live.log.count(f" POST {user.tasks} 201 ") >= 75


@pytest.fixture
def dying() -> Iterator[Live]:
    """The service with workers that can be made to die between commit and answer."""
    with live("tests.dying") as running:
        yield running


@pytest.mark.promise("P-68")
def test_a_retry_after_a_worker_was_killed_between_commit_and_answer_finds_the_task(dying: Live) -> None:
    user = User(dying)
    for number in range(3):
        with pytest.raises((HTTPException, OSError)):
            user.request("POST", user.tasks, MILK, Idempotency_Key=str(number), X_Request_ID="die")
        # The other worker, or the one that took its place, shows what was committed.
        tasks = user.list()
        assert len(tasks) == number + 1
        for _ in range(2):
            answer = user.request("POST", user.tasks, MILK, Idempotency_Key=str(number))
            assert (answer.status, answer.json()) == (201, tasks[0])
        assert user.list() == tasks
    with pytest.raises((HTTPException, OSError)):  # The control: without a key the retry makes another.
        user.request("POST", user.tasks, MILK, X_Request_ID="die")
    assert user.request("POST", user.tasks, MILK).status == 201
    assert len(user.list()) == 5


@pytest.mark.promise("P-62")
def test_304_leaves_a_connection_in_step(live: Live, user: User) -> None:
    task = user.create("Milk")
    path = f"{user.tasks}/{task['id']}"
    with closing(live.connect()) as connection:
        for method in ("GET", "HEAD"):
            for address in (path, user.tasks):
                tag = user.request("GET", address, connection=connection).headers["ETag"]
                answer = user.request(method, address, connection=connection, If_None_Match=f'"x", W/{tag}')
                assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
                for name in ("Content-Length", "Transfer-Encoding", "Content-Type"):
                    assert answer.headers[name] is None
                assert answer.headers["Cache-Control"] == "private, no-cache"
                assert "Authorization" in answer.headers["Vary"]
                assert answer.headers["X-Request-ID"]
        assert user.request("GET", path, connection=connection).json() == task


@pytest.mark.promise("P-63")
def test_a_header_that_was_sent_in_two_lines_is_one_list(live: Live, user: User) -> None:
    path = f"{user.tasks}/{user.create('Milk')['id']}"
    tag = user.request("GET", path).headers["ETag"]
    head = f"DELETE {path} HTTP/1.1\r\nHost: {live.host}\r\nAuthorization: Bearer {user.token}\r\nConnection: close\r\n"
    assert live.raw(f'{head}If-Match: "x"\r\nIf-Match: "y"\r\n\r\n'.encode()).startswith(b"HTTP/1.1 412 ")
    assert live.raw(f'{head}If-Match: "x"\r\nIf-Match: {tag}\r\n\r\n'.encode()).startswith(b"HTTP/1.1 204 ")


def test_eight_kilobytes_of_conditions_are_answered_at_once(user: User) -> None:
    path = f"{user.tasks}/{user.create('Milk')['id']}"
    for header in ('"a"' + ", " * 4000 + "x", '"a",' * 2000 + "x", '"' + "a" * 8000):
        answers = all_at_once(user, "PUT", path, [{"title": "Cream"}] * 10, If_Match=header)
        assert {answer.status for answer in answers} == {412}


def test_a_page_of_another_origin_may_read_tags_and_send_conditions(user: User) -> None:
    path = f"{user.tasks}/{user.create('Milk')['id']}"
    answers = [user.request("GET", path, Origin=ORIGIN)]
    tag = answers[0].headers["ETag"]
    answers += [
        user.request("GET", path, Origin=ORIGIN, If_None_Match=tag),
        user.request("PUT", path, {"title": "Cream"}, Origin=ORIGIN, If_Match='"x"'),
        user.request("PUT", path, {"title": "Cream"}, Origin=ORIGIN, If_Match=tag),
    ]
    assert [answer.status for answer in answers] == [200, 304, 412, 200]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "etag" in answer.headers["Access-Control-Expose-Headers"].lower()
        assert "origin" in ", ".join(answer.headers.get_all("Vary")).lower()
    asked = "authorization, content-type, if-match, if-none-match, idempotency-key"
    preflight = user.live.request(
        "OPTIONS", path, Origin=ORIGIN, Access_Control_Request_Method="PUT", Access_Control_Request_Headers=asked
    )
    assert set(asked.split(", ")) <= set(preflight.headers["Access-Control-Allow-Headers"].lower().split(", "))
