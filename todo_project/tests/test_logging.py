"""The log: one line a request, with its id, and nothing that a user wrote."""

import json
import logging
import re
import time

import pytest
from django.conf import settings
from django.test import Client

from conftest import Actor, assert_problem, sign
from tasks import statements
from todo_project.authentication import SIGN_IN_COOKIE
from todo_project.logging import JSONFormatter, LineFormatter
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
    alice.get("/healthz")
    lines = log.getvalue().splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    said = [" ".join(line.split()[5:8]) for line in lines]
    assert said == [
        "GET /api/alice/tasks 200", "POST /api/alice/tasks 201", "GET /api/alice/tasks 401", "GET /nothing 404", "GET /healthz 200",
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


@pytest.mark.parametrize("broken", ["x\nforged", "x\r\nforged", "x\x1b[31m", "x\u2028forged", "x\x85forged"])
def test_no_message_can_forge_a_line(log, broken: str) -> None:
    """Whoever logs it: Django repeats what an operator asked for in its own warnings."""
    logging.getLogger("django.security.DisallowedModelAdminToField").error("The field %s cannot be referenced.", broken)
    (line,) = log.getvalue().splitlines()
    assert " ERROR django.security.DisallowedModelAdminToField [" in line
    assert line.isprintable()


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


# --- Why clients are refused, where a wrong setting may be the cause ------------------------------------------------


def refused(log) -> list[str]:
    return [line.partition("] ")[2] for line in log.getvalue().splitlines() if " todo_project.refusals [" in line]


def test_host_that_is_not_ours_is_named_with_its_setting(alice: Actor, log) -> None:
    assert_problem(alice.get(alice.tasks, Host="todo.example.com:8000", X_Request_ID="find-me"), 400, "bad_request")
    assert refused(log) == ["Host 'todo.example.com:8000' is not in DJANGO_ALLOWED_HOSTS"]
    assert "todo_project.refusals [find-me]" in log.getvalue()


@pytest.mark.parametrize("host", ["evil.example", "x" * 300, "a b", ""])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000"])
def test_host_that_is_not_ours_is_a_warning_whatever_the_origin(alice: Actor, log, host: str, origin: str) -> None:
    problem = assert_problem(alice.get(alice.tasks, Host=host, Origin=origin), 400, "bad_request")
    assert problem["detail"] == "This service does not answer to that host name."
    (line,) = refused(log)
    assert line.startswith("Host ")
    assert "ERROR" not in log.getvalue() and "Traceback" not in log.getvalue()


@pytest.mark.parametrize("host", ["evil\nforged", "evil\r\n\x1b[31m", "evil\x85", "'evil' ERROR", "x" * 8000, ""])
def test_host_cannot_forge_or_fill_the_log(alice: Actor, log, host: str) -> None:
    assert alice.get(alice.tasks, Host=host).status_code == 400
    (line,) = refused(log)
    assert repr(host[:255]) in line and len(line) < 600
    assert len(log.getvalue().splitlines()) == 2


@pytest.mark.promise("P-84")
def test_flood_of_refusals_is_one_line_a_second_for_each_reason(alice: Actor, log) -> None:
    started = time.monotonic()
    for number in range(50):
        alice.get(alice.tasks, Host=f"evil-{number}.example")
        Actor("alice", f"x{number}").get(alice.tasks)
    lines = len(refused(log))
    assert 2 <= lines <= 2 * (1 + time.monotonic() - started)
    time.sleep(1.1)
    alice.get(alice.tasks, Host="evil.example")
    assert len(refused(log)) == lines + 1


@pytest.mark.parametrize(
    ("ours", "reason"),
    [
        ({"BETTER_AUTH_SECRET": "another-" + SECRET}, "The token is not valid here."),
        ({"BETTER_AUTH_ISSUER": "https://a.example"}, "The token is of another issuer."),
        ({"BETTER_AUTH_AUDIENCE": "https://a.example"}, "The token is for another audience."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_secret_issuer_or_audience_says_which(settings, log, ours: dict[str, str], reason: str) -> None:
    configure(settings)
    token = sign("alice")
    configure(settings, **ours)
    assert_problem(Actor("alice", token).get("/api/alice/tasks"), 401, "token_invalid")
    assert refused(log) == [f"A token is refused: {reason}"]


def test_sign_in_cookie_of_another_django_secret_key_says_so(settings, alice: Actor, log) -> None:
    alice.client.post("/login", {"token": alice.token})
    alice.token, settings.SECRET_KEY = "", "another-" + SECRET
    assert_problem(alice.get(alice.tasks), 401, "not_authenticated")
    assert refused(log) == ["A sign-in cookie is refused: it was not signed with this DJANGO_SECRET_KEY"]


def test_token_that_has_expired_is_no_fault_of_a_setting(alice: Actor, log) -> None:
    Actor("alice", sign("alice", exp=int(time.time()) - 60)).get(alice.tasks)
    assert refused(log) == []


def test_failed_csrf_check_says_why(db, alice: Actor, log) -> None:
    client = Client(enforce_csrf_checks=True)
    page = client.get("/admin/login/", headers={"Host": "testserver"})
    form = {"csrfmiddlewaretoken": page.cookies[settings.CSRF_COOKIE_NAME].value, "username": "root", "password": "x"}
    headers = {"Host": "testserver", "Origin": "https://testserver"}  # A proxy that does not say X-Forwarded-Proto.
    assert_problem(client.post("/admin/login/", form, headers=headers), 403, "permission_denied")
    reason = "Origin checking failed - https://testserver does not match any trusted origins."
    assert refused(log) == [f"CSRF check failed: '{reason}'"]


def test_failed_csrf_check_of_a_referer_names_no_search(db, alice: Actor, log) -> None:
    client = Client(enforce_csrf_checks=True)
    page = client.get("/admin/login/", secure=True)
    form = {"csrfmiddlewaretoken": page.cookies[settings.CSRF_COOKIE_NAME].value}
    headers = {"Referer": "https://elsewhere.example/Kaktusfeige?search=Quittengelee"}
    assert client.post("/admin/login/", form, secure=True, headers=headers).status_code == 403
    assert "https://elsewhere.example does not match" in refused(log)[0]
    assert "Kaktus" not in log.getvalue() and "Quitte" not in log.getvalue()


def test_failed_csrf_check_of_a_sign_in_cookie_says_why(db, alice: Actor, log) -> None:
    signed_in = alice.client.post("/login", {"token": alice.token}).cookies
    alice.client = Client(enforce_csrf_checks=True)
    alice.client.cookies, alice.token = signed_in, ""
    assert_problem(alice.post(alice.tasks, {"title": "Milk"}), 403, "permission_denied")
    assert refused(log) == ["CSRF check failed: 'CSRF cookie not set.'"]


@pytest.mark.parametrize("origin", ["https://app.example.com", "http://localhost:3001", "null"])
def test_origin_that_may_not_read_the_answer_is_named_with_its_setting(db, alice: Actor, log, origin: str) -> None:
    alice.get(alice.tasks, Origin=origin)
    assert refused(log) == [f"Origin {origin!r} is not in CORS_ALLOWED_ORIGINS"]


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://testserver", "https://testserver"])
def test_allowed_origins_and_our_own_pages_are_not_named(db, alice: Actor, log, origin: str) -> None:
    alice.get(alice.tasks, Origin=origin)
    assert refused(log) == []


# --- LOG_FORMAT=json ----------------------------------------------------------------------------------------------


@pytest.fixture
def json_log(log):
    """The same handler with the other formatter."""
    (handler,) = [one for one in logging.getLogger().handlers if isinstance(one.formatter, LineFormatter)]
    before, handler.formatter = handler.formatter, JSONFormatter()
    yield log
    handler.formatter = before


@pytest.mark.promise("P-39")
def test_an_error_is_logged_once_with_its_traceback_in_one_line(db, alice: Actor, json_log, monkeypatch) -> None:
    title = "Zebrastreifen"  # Not in a line that raises, which a traceback quotes.

    def fail(*arguments, **named):
        raise RuntimeError(title)

    monkeypatch.setattr(statements, "page", fail)
    assert_problem(alice.get(alice.tasks, X_Request_ID="find-me"), 500, "internal_error")
    error, request = [json.loads(line) for line in json_log.getvalue().splitlines()]
    assert [line["request_id"] for line in (error, request)] == ["find-me"] * 2
    assert (error["level"], request["level"], request["status"]) == ("ERROR", "INFO", 500)
    assert error["traceback"].startswith("builtins.RuntimeError\n") and "test_logging.py" in error["traceback"]
    assert title not in json_log.getvalue()


@pytest.mark.parametrize("odd", ["a\nb", "\u2028", "\ud800", "\x1b[31m", '"}'])
def test_no_message_can_forge_an_object(json_log, odd: str) -> None:
    logging.getLogger("todo_project").warning("%s", odd)
    assert json_log.getvalue().isascii() and json_log.getvalue().count("\n") == 1
    assert json.loads(json_log.getvalue())["message"] == odd
