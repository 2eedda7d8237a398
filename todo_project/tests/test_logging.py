"""The log: one line a request, with its id, and nothing that a user wrote."""

import logging
import re
import time

import pytest

from conftest import Actor, sign
from tasks import statements
from todo_project.authentication import SIGN_IN_COOKIE
from todo_project.tests.environment import SECRET, configure

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO todo_project\.request \[[\x21-\x7e]{1,128}\] "
    r"[A-Z%0-9]+ /[\x21-\x7e]* \d{3} \d+\.\d+ms"
)


def test_one_line_for_each_request(db, alice: Actor, stranger: Actor, log) -> None:
    alice.get(alice.tasks)
    alice.post(alice.tasks, {"title": "Milk"})
    stranger.get(alice.tasks)
    alice.get("/nothing")
    alice.get("/", Host="evil.example")
    alice.get("/healthz")
    lines = log.getvalue().splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    said = [" ".join(line.split()[5:8]) for line in lines]
    assert said == [
        "GET /api/alice/tasks 200", "POST /api/alice/tasks 201", "GET /api/alice/tasks 401", "GET /nothing 404", "GET / 400", "GET /healthz 200",
    ]  # fmt: skip


@pytest.mark.promise("P-39")
def test_log_holds_no_token_title_search_word_or_secret(db, settings, alice: Actor, log, monkeypatch) -> None:
    configure(settings)
    alice.token = sign("alice")
    words = ["Zebrastreifen", "Kaktusfeige", "Quittengelee"]
    alice.post(alice.tasks, {"title": words[0], "description": words[1]})
    alice.get(f"{alice.tasks}?search={words[2]}&cursor={words[2]}")
    alice.post(alice.tasks, b'{"title": "' + words[0].encode())
    alice.post(alice.tasks, {"title": words[0] * 100})
    Actor("alice", alice.token + "x").get(alice.tasks)
    Actor("alice", sign("alice", exp=int(time.time()) - 60)).get(alice.tasks)
    alice.client.post("/login", {"token": alice.token, "next": "/" + words[2]})
    alice.client.get(f"/login?next=/{words[2]}")

    def fail(*arguments, **named):
        try:
            raise ValueError(words[0], SECRET)
        except ValueError as cause:
            raise RuntimeError(f"{words[1]} {alice.token}") from cause

    monkeypatch.setattr(statements, "create", fail)
    monkeypatch.setattr(statements, "page", fail)
    assert alice.post(alice.tasks, {"title": words[0]}).status_code == 500
    assert alice.get(f"{alice.tasks}?search={words[2]}").status_code == 500
    text = log.getvalue()
    assert "builtins.RuntimeError" in text and "builtins.ValueError" in text  # Operators learn what and where,
    assert "test_logging.py" in text
    for secret in [*words, alice.token, alice.token.rpartition(".")[2], SECRET, settings.SECRET_KEY]:
        assert secret not in text


@pytest.mark.promise("P-39")
def test_row_that_the_database_refuses_is_not_quoted(db, alice: Actor, log, monkeypatch) -> None:
    """The database's own message holds the row."""
    title = "Zebrastreifen" * 50
    monkeypatch.setattr(statements, "page", lambda owner, **named: statements.create(owner, {"title": title}))
    assert alice.get(alice.tasks).status_code == 500
    assert "django.db.utils.IntegrityError" in log.getvalue() or "django.db.utils.DataError" in log.getvalue()
    assert "Zebrastreifen" not in log.getvalue()


@pytest.mark.parametrize(
    "path",
    [
        "/%0AINFO forged",
        "/x%0D%0A2026-01-01 INFO forged",
        "/api/a%0Aforged/tasks",
        "/%E2%80%A8forged",
        "/%1B[31mforged",
        "/%C2%85forged",
    ],
)
def test_path_cannot_forge_a_line(db, alice: Actor, log, path: str, monkeypatch) -> None:
    alice.get(path)
    (line,) = log.getvalue().splitlines()
    assert LINE.fullmatch(line), line


def test_path_cannot_forge_a_line_in_an_error_either(db, log, monkeypatch) -> None:
    monkeypatch.setattr(statements, "page", None)
    subject = "a\nforged\u2028\x1b[31m"
    assert Actor(subject).get("/api/a%0Aforged%E2%80%A8%1B[31m/tasks").status_code == 500
    assert not [line for line in log.getvalue().splitlines() if line.startswith("forged")]
    assert "\x1b" not in log.getvalue() and "\u2028" not in log.getvalue()


def test_method_cannot_forge_a_line(alice: Actor, log) -> None:
    alice.request("GET\nforged", "/healthz")
    alice.request("X" * 50 + " \x1b", "/api/bob/tasks")
    assert len(log.getvalue().splitlines()) == 2
    assert "\x1b" not in log.getvalue()


def test_refusals_are_no_errors(db, alice: Actor, stranger: Actor, log) -> None:
    stranger.get(alice.tasks)
    alice.get("/api/bob/tasks")
    alice.get("/nothing")
    alice.post(alice.tasks, b"{")
    alice.get("/", Host="evil.example")
    alice.client.cookies[SIGN_IN_COOKIE] = "forged"
    alice.client.post("/logout")
    assert " ERROR " not in log.getvalue() and "Traceback" not in log.getvalue()


def test_django_itself_logs_through_the_same_handler(log) -> None:
    logging.getLogger("django.request").error("something")
    assert log.getvalue().count("something") == 1
