"""Cross-origin calls: exact origins, no credentials, the headers of the contract."""

import re
from collections.abc import Iterator

import pytest
from django.urls import URLResolver

from conftest import Actor, assert_problem
from todo_project.problems import PROBLEMS
from todo_project.tests.test_problems import PRODUCED
from todo_project.urls import urlpatterns

OURS = "http://localhost:3000"
ALLOWED = {"authorization", "content-type", "if-match", "if-none-match", "idempotency-key", "x-request-id"}
EXPOSED = {"etag", "link", "location", "content-location", "retry-after", "x-request-id"}


def listed(value: str) -> set[str]:
    return {item.strip().lower() for item in value.split(",")}


def preflight(stranger: Actor, path: str, origin: str = OURS, method: str = "PUT"):
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization",
    }
    return stranger.request("OPTIONS", path, **headers)


def foreign(response) -> bool:
    return not any(name.lower().startswith("access-control-") for name in response.headers)


@pytest.mark.promise("P-54")
@pytest.mark.parametrize("path", ["/api/alice/tasks", "/api/alice/tasks/1", "/api/alice/tasks/1/complete"])
def test_preflight_needs_no_token_and_no_query(stranger: Actor, path: str) -> None:
    response = preflight(stranger, path)
    assert response.status_code == 200
    assert response["Access-Control-Allow-Origin"] == OURS
    assert listed(response["Access-Control-Allow-Headers"]) == ALLOWED
    assert listed(response["Access-Control-Allow-Methods"]) == {
        "get",
        "head",
        "post",
        "put",
        "patch",
        "delete",
        "options",
    }
    assert "Access-Control-Allow-Credentials" not in response
    assert "origin" in listed(response["Vary"])


@pytest.mark.promise("P-54")
def test_every_answer_can_be_read_also_an_error(db, alice: Actor, stranger: Actor, monkeypatch) -> None:
    answers = [
        alice.get(alice.tasks, Origin=OURS),
        alice.post(alice.tasks, {}, Origin=OURS),
        alice.get("/api/bob/tasks", Origin=OURS),
        alice.get("/api/nothing", Origin=OURS),
        stranger.get(alice.tasks, Origin=OURS),
    ]
    monkeypatch.setattr("tasks.statements.page", None)
    answers.append(alice.get(alice.tasks, Origin=OURS))
    assert [answer.status_code for answer in answers] == [200, 422, 403, 404, 401, 500]
    for answer in answers:
        assert answer["Access-Control-Allow-Origin"] == OURS
        assert listed(answer["Access-Control-Expose-Headers"]) == EXPOSED
        assert "Access-Control-Allow-Credentials" not in answer
        assert "origin" in listed(answer["Vary"])


@pytest.mark.promise("P-54")
@pytest.mark.parametrize(
    "origin",
    ["https://localhost:3000", "http://localhost", "http://localhost:30000", "http://evil.example", "null", "*", "",
     "http://localhost:3000.evil.example", "http://evil.localhost:3000", "http://[", OURS + ", " + OURS],
)  # fmt: skip
def test_other_origins_get_nothing(db, alice: Actor, stranger: Actor, origin: str) -> None:
    response = alice.get(alice.tasks, Origin=origin)
    assert response.status_code == 200
    assert foreign(response)
    assert "Access-Control-Allow-Origin" not in preflight(stranger, alice.tasks, origin)


def addresses(patterns=urlpatterns, prefix: str = "/") -> Iterator[str]:
    """One of each kind there is: whatever a route holds a place for is 1."""
    for pattern in patterns:
        address = prefix + re.sub(r"<[^>]*>", "1", str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, address)
        else:
            yield address


WRONG = [
    "/nothing",
    "/alice/tasks",
    "/api",
    "/api/alice/tasks/",
    "/docs/",
    "/login/",
    "/administration",
    "/static/x.js",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"]


@pytest.mark.promise("P-54")
@pytest.mark.parametrize("address", [*addresses(), *WRONG, "/static/todo/page.css"])
def test_everything_but_the_admin_and_the_sign_in_answers_allowed_origins(db, alice: Actor, address: str) -> None:
    private = address in {"/login", "/logout", "/admin"} or address.startswith("/admin/")
    for method in METHODS:
        answers = [
            alice.request(method, address, Origin=OURS),
            alice.request(method, address, Origin=OURS, Accept="text/html"),
            alice.request(method, address, Origin=OURS, Host="evil.example"),
        ]
        if not private:
            answers.append(preflight(Actor("alice", "x"), address, method=method))
            assert answers[-1].status_code == 200
        for answer in answers:
            b"".join(answer)  # A file is closed at its end.
            assert "Access-Control-Allow-Credentials" not in answer
            if private:
                assert foreign(answer)
            else:
                assert answer["Access-Control-Allow-Origin"] == OURS
                assert listed(answer["Access-Control-Expose-Headers"]) == EXPOSED
        # And what a cache keeps of an answer to somebody else is not given to a page of another origin.
        for answer in (alice.request(method, address), alice.request(method, address, Origin="https://evil.example")):
            b"".join(answer)
            assert foreign(answer)
            assert private or "origin" in listed(answer["Vary"])


def test_the_addresses_that_are_tried_are_all_there_are() -> None:
    found = list(addresses())
    assert {"/", "/api/1/tasks/1/complete", "/openapi.json", "/readyz", "/login", "/admin/login/"} <= set(found)
    assert len(found) > 25


@pytest.mark.promise("P-54")
@pytest.mark.parametrize("code", PRODUCED)
def test_every_problem_can_be_read_in_the_browser(db, alice: Actor, request, code: str) -> None:
    plain = Actor.request

    def from_a_page(self, method, path, body=None, **headers):
        return plain(self, method, path, body, **{"Origin": OURS} | headers)

    request.getfixturevalue("monkeypatch").setattr(Actor, "request", from_a_page)
    response = PRODUCED[code](alice, request)
    assert_problem(response, PROBLEMS[code][0], code)
    assert response["Access-Control-Allow-Origin"] == OURS


@pytest.mark.parametrize("host", ["testserver", "evil.example"])
def test_the_redirect_to_https_and_a_foreign_host_before_it_can_be_read(db, alice: Actor, settings, host: str) -> None:
    settings.SECURE_SSL_REDIRECT = True
    response = alice.get(alice.tasks, Origin=OURS, Host=host)
    assert response.status_code == (301 if host == "testserver" else 400)
    assert response["Access-Control-Allow-Origin"] == OURS
    assert foreign(alice.get("/admin/", Origin=OURS, Host=host))
