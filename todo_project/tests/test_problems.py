"""Errors from every layer are RFC 9457 problems, in the order the contract names."""

import re
import time

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from conftest import Actor, assert_problem, rows, sign
from tasks import statements
from tasks.models import Task
from tasks.views import TaskViewSet
from todo_project.problems import PROBLEMS
from todo_project.throttling import UserThrottle

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def boom(*arguments, **named):
    raise RuntimeError("the inside: Buy milk, " + sign("alice"))


def throttled(alice: Actor, request: pytest.FixtureRequest):
    request.getfixturevalue("settings").THROTTLE_RATE = "1/hour"
    request.getfixturevalue("monkeypatch").setattr(TaskViewSet, "throttle_classes", [UserThrottle])
    somebody = Actor(f"throttled-{time.monotonic_ns()}")
    assert somebody.get(somebody.tasks).status_code == 200
    return somebody.get(somebody.tasks)


def broken(alice: Actor, request: pytest.FixtureRequest):
    request.getfixturevalue("monkeypatch").setattr(statements, "page", boom)
    return alice.get(alice.tasks)


def away(alice: Actor, request: pytest.FixtureRequest):
    def gone(*arguments, **named):
        raise OperationalError("server closed the connection")

    request.getfixturevalue("monkeypatch").setattr(statements, "page", gone)
    return alice.get(alice.tasks)


def stale(alice: Actor, _: pytest.FixtureRequest):
    task = Task.objects.create(user_id="alice", title="Milk")
    response = alice.delete(alice.task(task.pk), If_Match='"x"')
    Task.objects.all().delete()
    return response


def reused(alice: Actor, _: pytest.FixtureRequest):
    alice.post(alice.tasks, {"title": "Milk"}, Idempotency_Key="k")
    response = alice.post(alice.tasks, {"title": "Bread"}, Idempotency_Key="k")
    Task.objects.all().delete()
    return response


# Every code there is, and a request that it answers.
PRODUCED = {
    "parse_error": lambda alice, _: alice.post(alice.tasks, b"{"),
    "bad_request": lambda alice, _: alice.get(alice.tasks, Host="evil.example"),
    "not_authenticated": lambda alice, _: alice.get(alice.tasks, Authorization=""),
    "token_expired": lambda alice, _: Actor("alice", sign("alice", exp=int(time.time()) - 60)).get(alice.tasks),
    "token_invalid": lambda alice, _: Actor("alice", "x").get(alice.tasks),
    "permission_denied": lambda alice, _: alice.get("/api/bob/tasks"),
    "not_found": lambda alice, _: alice.get(alice.task(1)),
    "method_not_allowed": lambda alice, _: alice.patch(alice.tasks),
    "not_acceptable": lambda alice, _: alice.get(alice.tasks, Accept="application/xml"),
    "precondition_failed": stale,
    "payload_too_large": lambda alice, _: alice.post(alice.tasks, b" " * (256 * 1024 + 1)),
    "unsupported_media_type": lambda alice, _: alice.post(alice.tasks, b"x", Content_Type="text/plain"),
    "validation_error": lambda alice, _: alice.post(alice.tasks, {}),
    "invalid_cursor": lambda alice, _: alice.get(alice.tasks + "?cursor=x"),
    "idempotency_key_reused": reused,
    "invalid_idempotency_key": lambda alice, _: alice.post(alice.tasks, {"title": "Milk"}, Idempotency_Key=""),
    "throttled": throttled,
    "internal_error": broken,
    "service_unavailable": away,
}


@pytest.mark.promise("P-33")
def test_every_code_has_a_request_that_it_answers() -> None:
    assert set(PRODUCED) == set(PROBLEMS)


@pytest.mark.promise("P-33")
@pytest.mark.parametrize("code", PRODUCED)
def test_code_is_answered_as_a_problem(db, alice: Actor, request, code: str) -> None:
    response = PRODUCED[code](alice, request)
    problem = assert_problem(response, PROBLEMS[code][0], code)
    assert response["Cache-Control"] == "private, no-cache"
    if code != "bad_request":  # Refused before any other middleware.
        assert response["X-Content-Type-Options"] == "nosniff"
    assert ("Retry-After" in response) == (problem["status"] in {429, 503})
    assert set(problem) <= {"type", "title", "status", "detail", "code", "request_id", "errors"}
    assert rows() == []


@pytest.mark.promise("P-33")
@pytest.mark.parametrize("code", sorted(set(PRODUCED) - {"not_acceptable", "not_authenticated"}))
def test_page_is_for_who_asked_for_one(db, alice: Actor, request, code: str) -> None:
    plain = Actor.request

    def asking(self, method, path, body=None, **headers):
        return plain(self, method, path, body, **{"Accept": HTML} | headers)

    request.getfixturevalue("monkeypatch").setattr(Actor, "request", asking)
    response = PRODUCED[code](alice, request)
    assert response.status_code == PROBLEMS[code][0]
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert code in response.content.decode()
    assert (">Try again</a>" in response.content.decode()) == (response.status_code in {429, 503})
    assert response["Cache-Control"] == "private, no-cache"


# --- Wrong addresses and methods ------------------------------------------------------------------------------


@pytest.mark.promise("P-01")
@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/api", "/api/", "/api/alice", "/api/alice/", "/api/alice/tasks/", "/api/alice/tasks/x",
        "/api/alice/tasks/1/", "/api/alice/tasks/1/complete/", "/api/alice/tasks/-1", "/api/alice/tasks/01",
        "/api/alice/tasks/9223372036854775808", "/api/alice/tasks/" + "9" * 5000, "/api/alice/tasks/%D9%A1",
        "/api//tasks", "/api/a%2Fb/tasks", "/api/alice/tasks%0A", "/api/alice/tasks/1%0A", "/api/alice/tasks%00",
        "/api/alice/tasks/%00", "/API/alice/tasks", "/login/", "/docs/", "/healthz/", "/static/nothing.js", "/%00", "/%FF",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_wrong_address_is_404_and_never_a_redirect(db, alice: Actor, stranger: Actor, method: str, path: str) -> None:
    for somebody in (alice, stranger):
        with CaptureQueriesContext(connection) as queries:
            assert_problem(somebody.request(method, path, {"title": "Milk"}), 404, "not_found")
        assert len(queries) == 0
    assert rows() == []


@pytest.mark.parametrize(
    "user",
    [
        "u%00",
        "%00",
        "%FF",
        "%C0%AF",
        "%ED%A0%80",
        "alice%0A",
        "alice%20",
        "Alice",
        "%252e",
        "..",
        "alice;x",
        "a%3Fb",
        "a%23",
    ],
)
def test_odd_paths_are_answered_as_paths_of_others(db, alice: Actor, stranger: Actor, user: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert_problem(alice.post(f"/api/{user}/tasks", {"title": "Milk"}), 403, "permission_denied")
        assert_problem(stranger.post(f"/api/{user}/tasks", {"title": "Milk"}), 401, "not_authenticated")
    assert len(queries) == 0
    assert rows() == []


def test_percent_encoded_letters_are_the_letters(db, alice: Actor) -> None:
    assert alice.get("/api/%61lice/tasks").status_code == 200


@pytest.mark.promise("P-36")
@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/alice/tasks", {"GET", "POST", "HEAD", "OPTIONS"}),
        ("DELETE", "/api/alice/tasks", {"GET", "POST", "HEAD", "OPTIONS"}),
        ("TRACE", "/api/alice/tasks", {"GET", "POST", "HEAD", "OPTIONS"}),
        ("BREW", "/api/alice/tasks", {"GET", "POST", "HEAD", "OPTIONS"}),
        ("POST", "/api/alice/tasks/1", {"GET", "PUT", "DELETE", "HEAD", "OPTIONS"}),
        ("PATCH", "/api/alice/tasks/1", {"GET", "PUT", "DELETE", "HEAD", "OPTIONS"}),
        ("GET", "/api/alice/tasks/1/complete", {"PATCH", "OPTIONS"}),
        ("HEAD", "/api/alice/tasks/1/complete", {"PATCH", "OPTIONS"}),
        ("POST", "/api/alice/tasks/1/complete", {"PATCH", "OPTIONS"}),
        ("POST", "/", {"GET", "HEAD"}),
        ("DELETE", "/docs", {"GET", "HEAD"}),
        ("PUT", "/openapi.json", {"GET", "HEAD"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
        ("POST", "/readyz", {"GET", "HEAD"}),
        ("PUT", "/login", {"GET", "HEAD", "POST"}),
        ("GET", "/logout", {"POST"}),
    ],
)
def test_wrong_method_is_405_with_allow(db, alice: Actor, method: str, path: str, allow: set[str]) -> None:
    response = alice.request(method, path, {"title": "Milk"})
    if method == "HEAD":
        assert (response.status_code, response.content) == (405, b"")
    else:
        assert_problem(response, 405, "method_not_allowed")
    assert set(response["Allow"].split(", ")) == allow
    assert rows() == []


@pytest.mark.promise("P-08")
def test_options_lists_the_methods(alice: Actor, stranger: Actor) -> None:
    response = alice.request("OPTIONS", alice.tasks)
    assert response.status_code == 200
    assert set(response["Allow"].split(", ")) == {"GET", "POST", "HEAD", "OPTIONS"}
    assert_problem(stranger.request("OPTIONS", alice.tasks), 401, "not_authenticated")


JSON_PREFERRED = [
    "", "*/*", "application/json", "application/*", "*/*;q=0.1", "application/json, text/plain, */*",
    "application/json;charset=utf-8", "application/json;v=1", "APPLICATION/JSON", "application/json ; q=1", "image/*, */*;q=0.2",
    # Weights, whatever the order of names.
    "text/html;q=0.1, application/json", "text/html;q=0.8, application/json;q=0.9", "text/html;q=0.1, */*",
    "text/html;q=0, */*;q=0.1", "text/*;q=0, application/json;q=0.001", "text/html;Q=0, */*", "text/html;q=.5, */*;q=.6",
    "text/html;q=1e-9, */*",
    # Of equal weights JSON; a malformed weight is none.
    "text/html, application/json", "text/*, application/*", "application/json;q=x, text/html", "application/json;q=2, text/html;q=1",
    "application/json;q=-1, text/html", "application/json;q=nan, text/html", "application/json;q=, text/html",
    "application/json;a*=bogus'e'%41", "application/json, text/html;a*=bogus'e'%41", "application/json;q=\"0\"",
]  # fmt: skip
HTML_PREFERRED = [
    HTML, "text/html", "text/*", "TEXT/HTML", "text/html;level=1", "text/html;charset=utf-8", "text/html, */*", "text/*, */*",
    "application/json;q=0, text/html", "application/json;q=0, text/html;q=0.1", "application/json;q=0, */*", "application/*;q=0, */*",
    "application/json;q=0.0, text/html", "application/json;q=0.8, text/html;q=0.9", "text/html, application/json;q=0.9",
    "application/*, text/html", "*/*;q=0.1, text/html;q=0.2", "application/json;q=0.5, text/html;q=x", "application/json;q=0;v=1, */*",
]  # fmt: skip
NEITHER = [
    "application/xml", "text/plain", "image/*", "application/json;q=0", "application/json;q=0, text/html;q=0", "*/*;q=0",
    "text/html;q=0, application/*;q=0.0", "application/json;q=0, application/*", "application/problem+json", "x", "json",
]  # fmt: skip


def layers(alice: Actor, accept: str) -> list[str]:
    """The media types of answers that are made in an endpoint, in its handler of errors, in Django and in middleware."""
    answers = [
        (200, alice.get(alice.tasks, Accept=accept)),
        (422, alice.post(alice.tasks, {}, Accept=accept)),
        (404, alice.get(alice.task(1), Accept=accept)),
        (404, alice.get("/nothing", Accept=accept)),
        (400, alice.get("/nothing", Accept=accept, Host="evil.example")),
        (405, alice.post("/docs", Accept=accept)),
        (200, alice.get("/", Accept=accept)),
    ]
    for status, answer in answers:
        assert answer.status_code == status
    return [answer["Content-Type"].partition(";")[0].replace("problem+", "") for _, answer in answers]


@pytest.mark.promise("P-33")
@pytest.mark.parametrize("accept", JSON_PREFERRED)
def test_who_prefers_json_gets_it_from_every_layer(db, alice: Actor, stranger: Actor, accept: str) -> None:
    assert layers(alice, accept) == ["application/json"] * 7
    assert_problem(stranger.get(alice.tasks, Accept=accept), 401, "not_authenticated")


@pytest.mark.promise("P-33")
@pytest.mark.parametrize("accept", HTML_PREFERRED)
def test_who_prefers_html_gets_it_from_every_layer(db, alice: Actor, stranger: Actor, accept: str) -> None:
    assert layers(alice, accept) == ["text/html"] * 7
    assert stranger.get(alice.tasks, Accept=accept).status_code == 302


@pytest.mark.promise("P-36")
@pytest.mark.parametrize("accept", NEITHER)
def test_answer_that_cannot_be_given_is_406(db, alice: Actor, accept: str) -> None:
    assert_problem(alice.post(alice.tasks, {"title": "Milk"}, Accept=accept), 406, "not_acceptable")
    assert_problem(alice.get("/nothing", Accept=accept), 404, "not_found")
    assert rows() == []


@pytest.mark.parametrize(
    "accept",
    [
        "x",
        "/",
        "text/html;q=x",
        ";;;,,,",
        "a" * 4000,
        ",".join(["a/b;q=0.1"] * 400),
        "text/html;level=\xe9",
        'text/html;a="' + ";" * 16000,
        "," * 16000,
        "text/html;q=" * 1300,
    ],
)
def test_malformed_accept_is_no_bug(db, alice: Actor, stranger: Actor, accept: str) -> None:
    started = time.monotonic()
    assert alice.get(alice.tasks, Accept=accept).status_code in {200, 406}
    assert stranger.get("/nothing", Accept=accept).status_code == 404
    assert time.monotonic() - started < 1


# --- Host -----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-40")
@pytest.mark.parametrize(
    "host",
    ["evil.example", "testserver.evil.example", "testserver@evil.example", "a b", "[::1", "testserver:x", "xn--/"],
)
@pytest.mark.parametrize(
    "path", ["/api/alice/tasks", "/", "/login", "/docs", "/admin/", "/nothing", "/static/todo/page.css"]
)
def test_foreign_host_is_400_on_every_page(db, alice: Actor, host: str, path: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert_problem(alice.get(path, Host=host), 400, "bad_request")
    assert len(queries) == 0


def test_foreign_forwarded_host_is_not_believed(db, alice: Actor) -> None:
    response = alice.post(alice.tasks, {"title": "Milk"}, X_Forwarded_Host="evil.example")
    assert response["Location"].startswith("http://testserver/")


# --- The database away, and bugs ------------------------------------------------------------------------------


@pytest.mark.promise("P-38")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/alice/tasks", None),
        ("POST", "/api/alice/tasks", {"title": "Milk"}),
        ("GET", "/api/alice/tasks/1", None),
        ("PUT", "/api/alice/tasks/1", {"title": "Milk"}),
        ("DELETE", "/api/alice/tasks/1", None),
        ("PATCH", "/api/alice/tasks/1/complete", None),
        ("GET", "/readyz", None),
    ],
)
def test_database_away_is_503(database_away, alice: Actor, method: str, path: str, body: object) -> None:
    response = alice.request(method, path, body)
    problem = assert_problem(response, 503, "service_unavailable")
    assert int(response["Retry-After"]) >= 1
    assert "127.0.0.1" not in problem["detail"]


def test_database_away_is_503_in_the_admin_too(database_away, alice: Actor) -> None:
    form = "/admin/login/", {"username": "root", "password": "x"}
    response = alice.client.post(*form)
    assert_problem(response, 503, "service_unavailable")
    assert int(response["Retry-After"]) >= 1
    page = alice.client.post(*form, headers={"Accept": HTML})
    assert (page.status_code, page["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert int(page["Retry-After"]) >= 1


def test_database_away_is_a_page_for_who_asked_for_one(database_away, alice: Actor) -> None:
    response = alice.get(alice.tasks, Accept=HTML)
    assert (response.status_code, response["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert int(response["Retry-After"]) >= 1
    assert 'class="filters"' not in response.content.decode()
    # A link cannot write again.
    for write in (alice.post(alice.tasks, {"title": "Milk"}, Accept=HTML), alice.delete(alice.task(1), Accept=HTML)):
        assert (write.status_code, ">Try again</a>" in write.content.decode()) == (503, False)


@pytest.mark.parametrize("path", ["/", "/login", "/docs", "/openapi.json", "/healthz", "/admin/login/", "/nothing"])
def test_what_needs_no_database_answers_without_one(database_away, stranger: Actor, path: str) -> None:
    assert stranger.get(path).status_code == (404 if path == "/nothing" else 200)


def test_401_and_403_need_no_database(database_away, alice: Actor, stranger: Actor) -> None:
    assert_problem(stranger.get(alice.tasks), 401, "not_authenticated")
    assert_problem(alice.get("/api/bob/tasks"), 403, "permission_denied")


@pytest.mark.promise("P-39")
@pytest.mark.parametrize(
    "error", [RuntimeError, ValueError, KeyError, AssertionError, RecursionError, MemoryError, DatabaseError]
)
@pytest.mark.parametrize("accept", ["*/*", HTML])
def test_bug_is_500_with_nothing_of_the_inside(
    db, alice: Actor, monkeypatch, log, error: type[Exception], accept: str
) -> None:
    def fail(*arguments, **named):
        raise error("the inside")

    monkeypatch.setattr(statements, "page", fail)
    response = alice.get(alice.tasks, Accept=accept)
    assert response.status_code == 500
    assert response["Cache-Control"] == "private, no-cache"
    text = response.content.decode()
    assert "internal_error" in text
    for inside in ("the inside", error.__name__, "Traceback", ".py"):
        assert inside not in text
    assert f"builtins.{error.__name__}" in log.getvalue() or error is DatabaseError
    if accept == "*/*":
        assert_problem(response, 500, "internal_error")


def test_bug_in_a_page_is_500_too(db, alice: Actor, monkeypatch) -> None:
    monkeypatch.setattr("todo_project.schema.document", boom)
    assert_problem(alice.get("/openapi.json"), 500, "internal_error")


# --- The order of checks --------------------------------------------------------------------------------------

JSON = "application/json"
BIG = b" " * (256 * 1024 + 1)
ORDER = [
    # path, method, Accept, token of, Content-Type, body -> status
    ("/api/bob/nothing", "BREW", "a/b", None, "a/b", BIG, 404),
    ("/api/bob/tasks", "BREW", "a/b", None, "a/b", BIG, 406),
    ("/api/bob/tasks", "BREW", "*/*", None, "a/b", BIG, 401),
    ("/api/bob/tasks", "BREW", "*/*", "alice", "a/b", BIG, 403),
    ("/api/alice/tasks", "BREW", "*/*", "alice", "a/b", BIG, 405),
    ("/api/alice/tasks/1", "PUT", "*/*", "alice", "a/b", BIG, 415),
    ("/api/alice/tasks/1", "PUT", "*/*", "alice", JSON, BIG, 413),
    ("/api/alice/tasks/1", "PUT", "*/*", "alice", JSON, b"{", 400),
    ("/api/alice/tasks/1", "PUT", "*/*", "alice", JSON, b"{}", 422),
    ("/api/alice/tasks/1", "PUT", "*/*", "alice", JSON, b'{"title": "x"}', 404),
]


@pytest.mark.promise("P-31")
@pytest.mark.parametrize(("path", "method", "accept", "who", "content_type", "body", "status"), ORDER)
def test_checks_come_in_the_order_of_the_contract(db, path, method, accept, who, content_type, body, status) -> None:
    token = sign(who) if who else "x"
    response = Actor("alice", token).request(method, path, body, Accept=accept, Content_Type=content_type)
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert rows() == []


# --- Request ids and caching ----------------------------------------------------------------------------------

PLACES = ["/api/alice/tasks", "/api/bob/tasks", "/nothing", "/", "/login", "/healthz", "/docs", "/admin/"]


@pytest.mark.promise("P-09")
@pytest.mark.parametrize("given", ["a", "0f3c-77", "x" * 128, "!~{}<>\"'\\"])
def test_sane_request_id_is_kept(db, alice: Actor, log, given: str) -> None:
    for path in PLACES:
        assert alice.get(path, X_Request_ID=given)["X-Request-ID"] == given
    assert assert_problem(alice.get("/nothing", X_Request_ID=given), 404, "not_found")["request_id"] == given
    assert all(f" [{given}] " in line for line in log.getvalue().splitlines())
    assert len(log.getvalue().splitlines()) == len(PLACES) + 1


@pytest.mark.promise("P-09")
@pytest.mark.parametrize("given", ["", " ", "a b", "x" * 129, "é", "a\tb", "a\x7f", "a\r\nX-Evil: 1", "a\n"])
def test_other_request_ids_are_replaced(db, alice: Actor, log, given: str) -> None:
    for path in PLACES:
        assert re.fullmatch("[0-9a-f]{32}", alice.get(path, X_Request_ID=given)["X-Request-ID"])
    if given.strip():
        assert given not in log.getvalue()


def test_each_request_has_its_own_id(alice: Actor) -> None:
    assert len({alice.get("/healthz")["X-Request-ID"] for _ in range(5)}) == 5


@pytest.mark.promise("P-09")
def test_every_answer_under_api_is_private_and_asked_for_again(db, alice: Actor, stranger: Actor, milk: Task) -> None:
    answers = [
        alice.get(alice.tasks),
        alice.get(alice.task(milk.pk)),
        alice.request("HEAD", alice.tasks),
        alice.request("OPTIONS", alice.tasks),
        alice.post(alice.tasks, {"title": "Milk"}),
        alice.put(alice.task(milk.pk), {"title": "Milk"}),
        alice.patch(alice.complete(milk.pk)),
        alice.delete(alice.task(milk.pk)),
        alice.get("/api/"),
        stranger.get(alice.tasks),
        stranger.get(alice.tasks, Accept=HTML),
        stranger.request("OPTIONS", alice.tasks, Origin="http://localhost:3000", Access_Control_Request_Method="PUT"),
    ]
    assert [answer["Cache-Control"] for answer in answers] == ["private, no-cache"] * len(answers)


def test_head_has_the_headers_of_get_and_no_body(db, alice: Actor, stranger: Actor, milk: Task) -> None:
    for path in (
        alice.tasks,
        alice.task(milk.pk),
        alice.task(10**9),
        "/api/bob/tasks",
        "/",
        "/login",
        "/docs",
        "/healthz",
        "/nothing",
    ):
        head, get = alice.request("HEAD", path), alice.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        for name in ("Content-Type", "Content-Length", "Cache-Control"):
            if path != "/login" or name != "Content-Length":  # Its CSRF token is masked anew each time.
                assert head.headers.get(name) == get.headers.get(name)
