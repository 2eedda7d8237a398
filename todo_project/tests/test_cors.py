"""Cross-origin calls: exact origins, no credentials, the headers of the contract."""

import pytest

from conftest import Actor

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


@pytest.mark.parametrize("path", ["/", "/login", "/docs", "/openapi.json", "/healthz", "/admin/login/", "/nothing"])
def test_pages_are_not_for_other_origins(db, stranger: Actor, path: str) -> None:
    assert foreign(stranger.get(path, Origin=OURS))
    assert foreign(preflight(stranger, path, method="GET"))
