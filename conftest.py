"""The actors of the tests. Alice owns, Bob does not; both come with real tokens."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from model_bakery import baker

from tasks.models import Task
from tests import citus
from todo_project.static import StaticFilesMiddleware


def sign(subject: Any, **claims: Any) -> str:
    """A token that a frontend's own endpoint signs with the shared secret. A claim given as None is left out."""
    now = int(time.time())
    merged = {"sub": subject, "iat": now, "exp": now + 900, **claims}
    merged = {name: value for name, value in merged.items() if value is not None}
    return jwt.encode(merged, settings.BETTER_AUTH_SECRETS[0], "HS256")


@dataclass
class Actor:
    """Somebody with a user id, a token and an HTTP client that sends it."""

    subject: str
    token: str = ""
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def __post_init__(self) -> None:
        self.token = self.token or sign(self.subject)

    @property
    def tasks(self) -> str:
        return f"/api/{self.subject}/tasks"

    def task(self, task_id: int) -> str:
        return f"{self.tasks}/{task_id}"

    def complete(self, task_id: int) -> str:
        return f"{self.tasks}/{task_id}/complete"

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send JSON, or the bytes as they are; header names with `_` for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {self.token}"
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        content_type = sent.pop("Content-Type", "application/json" if data else "application/octet-stream")
        return self.client.generic(method, path, data, content_type, headers=sent)

    def get(self, path: str, **headers: str) -> Any:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.request("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.request("PUT", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.request("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.request("DELETE", path, **headers)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The tests' database; where TEST_CITUS_URL names a cluster, it is spread over its workers by `distribute`."""
    if not citus.URL:
        yield
        return
    with citus.joined(citus.at(citus.URL, connection.settings_dict["NAME"])):
        with django_db_blocker.unblock():
            call_command("distribute", "--yes", "--shards", "4", verbosity=0)
        yield


@pytest.fixture(scope="session", autouse=True)
def static_files_are_found_once() -> Iterator[None]:
    """Each client makes the middleware anew, and finding the files takes it longer than most tests."""
    find = StaticFilesMiddleware.add_files_from_finders
    found: dict[str, dict[str, Any]] = {}

    def add(middleware: Any) -> None:
        if middleware.static_prefix not in found:
            find(middleware)
            found[middleware.static_prefix] = middleware.files
        middleware.files = dict(found[middleware.static_prefix])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StaticFilesMiddleware, "add_files_from_finders", add)
        yield


@pytest.fixture
def alice() -> Actor:
    return Actor("alice")


@pytest.fixture
def bob() -> Actor:
    return Actor("bob")


@pytest.fixture
def stranger() -> Actor:
    """Somebody without a token."""
    actor = Actor("alice")
    actor.token = ""
    return actor


@pytest.fixture
def milk(db: None) -> Task:
    """A task of Alice's."""
    task: Task = baker.make(Task, user_id="alice", title="Milk", description="Two litres", completed=False)
    return task


@pytest.fixture
def bobs(db: None) -> Task:
    """A task of Bob's."""
    task: Task = baker.make(Task, user_id="bob", title="Bob's secret", description=None, completed=False)
    return task


def rows() -> list[tuple[Any, ...]]:
    """Every row there is, to show that a refusal changed nothing."""
    return list(Task.objects.order_by("id").values_list())


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """It is an RFC 9457 problem of that status and code; returns the document."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.content)
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == f"/docs#{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response["X-Request-ID"]
    return problem
