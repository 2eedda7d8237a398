"""The examples of the OpenAPI document are what the service takes and answers."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import Actor, rows, sign
from tasks import examples, statements
from tasks.models import Task
from todo_project.problems import PROBLEMS, unavailable
from todo_project.schema import document

USER = examples.USER


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path.format(user_id=USER, task_id="{id}"), operation


def values(content: dict[str, Any]) -> dict[str, Any]:
    return {name: example["value"] for kind in content.values() for name, example in kind.get("examples", {}).items()}


@pytest.fixture
def owner(db: None) -> Actor:
    return Actor(USER)


def test_every_body_and_answer_has_an_example() -> None:
    for method, path, operation in operations():
        if method in {"POST", "PUT", "PATCH"}:
            assert values(operation["requestBody"]["content"]), path
        for status, answer in operation["responses"].items():
            assert values(answer.get("content", {})) or status in {"204", "304"}, (method, path, status)
            if status >= "400":
                codes = [problem["code"] for problem in values(answer["content"]).values()]
                assert all(f"`{code}`:" in answer["description"] for code in codes)
                assert len(codes) == answer["description"].count("`: ")


@pytest.mark.promise("P-104")
def test_what_an_example_sends_is_answered_by_its_example(owner: Actor) -> None:
    for method, path, operation in operations():
        Task.objects.all().delete()
        task = owner.post(owner.tasks, examples.BODIES["create"]).json()
        body = next(iter(values(operation.get("requestBody", {}).get("content", {})).values()), None)
        if method == "POST":
            Task.objects.all().delete()
        answer = owner.request(method, path.replace("{id}", str(task["id"])), body)
        described = operation["responses"][str(answer.status_code)]
        expected = next(iter(values(described.get("content", {})).values()), None)
        if expected is None:
            assert answer.content == b""
            continue
        given = answer.json()
        for one, example in zip(given, expected, strict=True) if isinstance(given, list) else [(given, expected)]:
            assert list(one) == list(example)
            changing = {"id", "created_at", "updated_at"}
            assert {name: one[name] for name in one if name not in changing} == {
                name: example[name] for name in one if name not in changing
            }
            assert (example["updated_at"] > example["created_at"]) is (one["updated_at"] > one["created_at"])


def provoke(owner: Actor, task: Task, code: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Requests that are refused with this code, each with the name of its endpoint."""
    one = owner.task(task.pk)
    bad = {"Authorization": f"Bearer {owner.token[:-4]}AAAA"}
    old = {"Authorization": f"Bearer {sign(USER, exp=int(time.time()) - 60)}"}
    match code:
        case "parse_error":
            return [("create", owner.post(owner.tasks, b'{"title": }'))]
        case "bad_request":
            return [("list", owner.get(owner.tasks, Host="evil.example"))]
        case "not_authenticated":
            return [("list", Actor(USER).client.get(owner.tasks))]
        case "token_expired":
            return [("list", owner.get(owner.tasks, **old))]
        case "token_invalid":
            return [("list", owner.get(owner.tasks, **bad))]
        case "permission_denied":
            return [("list", owner.get("/api/bob/tasks"))]
        case "not_found":
            return [("retrieve", owner.get(owner.task(task.pk + 1)))]
        case "not_acceptable":
            return [("list", owner.get(owner.tasks, Accept="image/png"))]
        case "precondition_failed":
            return [("update", owner.put(one, {"title": "x"}, If_Match='"old"'))]
        case "payload_too_large":
            return [("create", owner.post(owner.tasks, b" " * (256 * 1024 + 1)))]
        case "unsupported_media_type":
            return [("create", owner.request("POST", owner.tasks, b"x", Content_Type="text/plain"))]
        case "validation_error":
            return [
                ("list", owner.get(f"{owner.tasks}?limit=0")),
                ("create", owner.post(owner.tasks, {"title": " "})),
                ("update", owner.put(one, {"title": " "})),
                ("complete", owner.patch(owner.complete(task.pk), {"completed": "yes"})),
            ]
        case "invalid_cursor":
            return [("list", owner.get(f"{owner.tasks}?cursor=x"))]
        case "idempotency_key_reused":
            owner.post(owner.tasks, {"title": "One"}, Idempotency_Key="k")
            return [("create", owner.post(owner.tasks, {"title": "Other"}, Idempotency_Key="k"))]
        case "invalid_idempotency_key":
            return [("create", owner.post(owner.tasks, {"title": "One"}, Idempotency_Key="a b"))]

    def fail(*arguments: Any, **named: Any) -> None:
        raise unavailable(examples.DETAILS[code]) if code == "service_unavailable" else RuntimeError("a bug")

    monkeypatch.setattr(statements, "page", fail)
    return [("list", owner.get(owner.tasks))]


REFUSALS = [code for code in PROBLEMS if code not in {"method_not_allowed", "throttled"}]


@pytest.mark.promise("P-104")
@pytest.mark.parametrize("code", REFUSALS)
def test_a_problem_s_example_is_what_the_service_says(owner: Actor, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task.objects.create(user_id=USER, title="Milk")
    before = rows()
    answers = provoke(owner, task, code, monkeypatch)
    for endpoint, answer in answers:
        example, given = examples.problem(endpoint, code), answer.json()
        # The titles of two statuses are Python's, which renamed them.
        assert {**given, "request_id": 0, "title": 0} == {**example, "request_id": 0, "title": 0}
    assert len(rows()) - len(before) == (code == "idempotency_key_reused")


def test_every_problem_of_the_document_is_one_that_is_compared() -> None:
    found = {
        problem["code"]
        for _, _, operation in operations()
        for status, answer in operation["responses"].items()
        if status >= "400"
        for problem in values(answer["content"]).values()
    }
    assert found == {*REFUSALS, "throttled"}
