"""Django's and DRF's own contracts, which whoever adds to this project relies on."""

import ast
import sys
from typing import Any

import pytest
from django.db import NotSupportedError, connection
from rest_framework.exceptions import APIException
from rest_framework.test import APIRequestFactory

from conftest import Actor, assert_problem, rows
from tasks import statements
from tasks.dialects import dialect_of
from tasks.models import Task
from tasks.urls import task_complete, task_detail, task_list
from todo_project.logging import LineFormatter
from todo_project.tests.environment import BASE_DIR, run

# --- Views and their errors ---------------------------------------------------------------------------------------


def test_a_view_works_without_any_middleware(alice: Actor, milk: Task) -> None:
    send, headers = APIRequestFactory(), {"Authorization": f"Bearer {alice.token}"}
    task = {"user_id": "alice", "task_id": milk.pk}
    made = task_list(send.post("/x", {"title": "Bread"}, format="json", headers=headers), user_id="alice").render()
    assert (made.status_code, made["Location"]) == (201, f"http://testserver/x/{made.data['id']}")
    page = task_list(send.get("/x?limit=1", headers=headers), user_id="alice").render()
    assert page["Link"].startswith("<http://testserver/x?limit=1&cursor=")
    answers = [
        task_detail(send.get("/x", headers=headers), **task),
        task_detail(send.put("/x", {"title": "Jam"}, format="json", headers=headers), **task),
        task_complete(send.patch("/x", headers=headers), **task),
        task_detail(send.delete("/x", headers=headers), **task),
    ]
    assert [answer.render().status_code for answer in answers] == [200, 200, 200, 204]
    assert task_list(send.get("/x"), user_id="alice").render().status_code == 401


class Teapot(APIException):
    status_code = 418
    default_code = "teapot"
    default_detail = "This is a teapot."


@pytest.mark.parametrize(
    "error, status, code, detail, errors",
    [
        (Teapot(), 418, "teapot", "This is a teapot.", None),
        (Teapot("Short and stout."), 418, "teapot", "Short and stout.", None),
        (
            Teapot({"spout": ["No handle."]}, "handle"), 418, "teapot", "This is a teapot.",
            [{"pointer": "/spout", "code": "handle", "detail": "No handle."}],
        ),
        (APIException(), 500, "error", "A server error occurred.", None),
    ],
    ids=["default", "detail", "nested", "plain"],
)  # fmt: skip
def test_any_api_exception_keeps_its_status_and_code(
    db, alice: Actor, monkeypatch, error: APIException, status: int, code: str, detail: str, errors: Any
) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr(statements, "page", fail)
    problem = assert_problem(alice.get(alice.tasks), status, code)
    assert (problem["detail"], problem.get("errors")) == (detail, errors)


def test_a_status_that_http_does_not_name_is_answered_too(db, alice: Actor, monkeypatch) -> None:
    error = Teapot()
    error.status_code = 499

    def fail(*arguments: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr(statements, "page", fail)
    assert_problem(alice.get(alice.tasks), 499, "teapot")


@pytest.mark.django_db(transaction=True)
def test_a_refusal_rolls_back_a_request_that_is_one_transaction(alice: Actor, monkeypatch) -> None:
    """As Django promises of ATOMIC_REQUESTS."""

    def create_and_fail(*arguments: Any, **named: Any) -> None:
        Task.objects.create(user_id="alice", title="half done")
        raise Teapot

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    monkeypatch.setattr(statements, "create", create_and_fail)
    assert alice.post(alice.tasks, {"title": "Milk"}).status_code == 418
    assert rows() == []


@pytest.mark.parametrize("https", [False, True])
def test_answers_from_outside_the_views_carry_the_security_headers(alice: Actor, settings, https: bool) -> None:
    settings.SECURE_SSL_REDIRECT = https
    there = [alice.get("/", Host="evil.example"), alice.post("/healthz"), alice.get("/nothing"), alice.get("/healthz")]
    assert [answer.status_code for answer in there] == [400, 405, 301 if https else 404, 200]
    for answer in there:
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["Referrer-Policy"] == "same-origin"


# --- Signals, globals, imports ------------------------------------------------------------------------------------


def test_no_signal_of_django_is_disconnected() -> None:
    done = run(
        "-c",
        "import todo_project.wsgi as w, django.core.signals as s; print([len(x.receivers) for x in (s.request_started, s.request_finished)])",
    )
    bare = run(
        "-c",
        "import django.db, django.core.cache, django.core.handlers.base, django.core.signals as s; print([len(x.receivers) for x in (s.request_started, s.request_finished)])",
    )
    assert done.stdout == bare.stdout != ""


def test_the_standard_library_s_logging_is_as_it_was() -> None:
    done = run(
        "-c", "import todo_project.wsgi, logging as l; print(l.logThreads, l.logMultiprocessing, bool(l._srcfile))"
    )
    assert done.stdout.split() == ["True"] * 3


def imports(package: str) -> dict[str, set[str]]:
    """What each module of the package imports of this project, its tests left out."""
    found: dict[str, set[str]] = {}
    for file in (BASE_DIR / package).rglob("*.py"):
        if "tests" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            found.setdefault(str(file.relative_to(BASE_DIR)), set()).update(names)
    return found


def test_todo_project_knows_no_task() -> None:
    """But for urls.py and settings.py, which put the two together."""
    knowing = {
        file for file, names in imports("todo_project").items() if any(name.split(".")[0] == "tasks" for name in names)
    }
    assert knowing == {"todo_project/urls.py"}


def test_tasks_knows_no_token() -> None:
    tokens = ("todo_project.authentication", "todo_project.jwks", "jwt")
    assert not {
        file: names for file, names in imports("tasks").items() if any(name.startswith(tokens) for name in names)
    }


# --- The log's formatter ------------------------------------------------------------------------------------------


def formatted(error: BaseException) -> str:
    try:
        raise error
    except BaseException:
        return LineFormatter().formatException(sys.exc_info())


def test_a_cycle_of_causes_ends() -> None:
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    assert formatted(one).count("caused by") == 1


@pytest.mark.parametrize("suppressed", [False, True])
def test_a_context_is_logged_unless_it_was_suppressed(suppressed: bool) -> None:
    outer = ValueError("outer")
    outer.__context__, outer.__suppress_context__ = KeyError("inner"), suppressed  # True is `raise ... from None`.
    assert ("caused by builtins.KeyError" in formatted(outer)) is not suppressed


# --- The database -------------------------------------------------------------------------------------------------


def test_a_database_that_is_neither_is_refused_by_name(monkeypatch, milk: Task) -> None:
    before = rows()
    with monkeypatch.context() as patched:
        patched.setattr(type(connection._connections["default"]), "vendor", "oracle", raising=False)
        patched.setattr(type(connection._connections["default"]), "display_name", "Oracle", raising=False)
        for call in (
            lambda: statements.read("alice", milk.pk),
            lambda: statements.update("alice", milk.pk, {"title": "new"}),
            lambda: statements.create("alice", {"title": "new"}),
            lambda: statements.page("alice", limit=1),
        ):
            with pytest.raises(NotSupportedError, match="PostgreSQL or SQLite, not in Oracle"):
                call()
    assert rows() == before


def test_the_dialect_is_that_of_the_connection_that_is_asked() -> None:
    class Elsewhere:
        vendor = "postgresql" if connection.vendor == "sqlite" else "sqlite"
        display_name = "elsewhere"

    assert dialect_of(Elsewhere()) is not dialect_of(connection)  # type: ignore[arg-type]
