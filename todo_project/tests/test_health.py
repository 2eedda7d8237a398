"""/healthz and /readyz, HTTPS, and what they need of the database."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conftest import Actor, assert_problem
from todo_project.tests.environment import load


@pytest.mark.promise("P-53")
@pytest.mark.parametrize("host", ["testserver", "10.0.0.7:8000", "evil.example", "a b", "[::1", ""])
def test_health_pages_answer_under_any_host_name(db, stranger: Actor, host: str) -> None:
    for path in ("/healthz", "/readyz"):
        response = stranger.get(path, Host=host)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert "no-store" in response["Cache-Control"]


@pytest.mark.promise("P-53")
def test_healthz_asks_nothing_of_the_database(db, stranger: Actor) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert stranger.get("/healthz").status_code == 200
    assert len(queries) == 0


@pytest.mark.promise("P-53")
def test_readyz_tells_when_the_database_is_away_and_healthz_goes_on(database_away, stranger: Actor) -> None:
    response = stranger.get("/readyz", Host="10.0.0.7")
    assert_problem(response, 503, "service_unavailable")
    assert int(response["Retry-After"]) >= 1
    assert stranger.get("/healthz").status_code == 200


# --- HTTPS ----------------------------------------------------------------------------------------------------


@pytest.fixture
def https(settings) -> Client:
    """A client of a service that runs with DJANGO_HTTPS=true."""
    for name, value in load(DJANGO_HTTPS="true").items():
        if name == "HTTPS" or name.startswith("SECURE_") or name.endswith("_COOKIE_SECURE"):
            setattr(settings, name, value)
    return Client()


@pytest.mark.promise("P-59")
@pytest.mark.parametrize("path", ["/", "/api/alice/tasks", "/login", "/docs", "/admin/"])
def test_plain_http_is_redirected_to_https(https: Client, path: str) -> None:
    response = https.get(path)
    assert (response.status_code, response["Location"]) == (301, f"https://testserver{path}")


def test_health_pages_are_not_redirected(db, https: Client) -> None:
    for path in ("/healthz", "/readyz"):
        assert https.get(path, headers={"Host": "10.0.0.7"}).status_code == 200


def test_proxys_word_makes_it_https(db, https: Client, alice: Actor) -> None:
    headers = {"Host": "testserver", "X-Forwarded-Proto": "https", "Authorization": f"Bearer {alice.token}"}
    response = https.post(alice.tasks, {"title": "Milk"}, "application/json", headers=headers)
    assert response.status_code == 201
    assert response["Location"].startswith("https://testserver/api/alice/tasks/")
    assert int(response["Strict-Transport-Security"].removeprefix("max-age=")) >= 31536000


def test_plain_http_works_without_https(db, alice: Actor) -> None:
    response = alice.get(alice.tasks)
    assert response.status_code == 200
    assert "Strict-Transport-Security" not in response


def test_pages_cannot_be_framed_or_sniffed(db, alice: Actor) -> None:
    for path in ("/", "/login", "/docs", "/admin/login/", alice.tasks, "/nothing"):
        response = alice.get(path)
        assert response["X-Frame-Options"] == "DENY"
        assert response["X-Content-Type-Options"] == "nosniff"


# --- Connections ----------------------------------------------------------------------------------------------


def test_connection_is_kept_between_requests(transactional_db, alice: Actor) -> None:
    assert alice.get(alice.tasks).status_code == 200
    kept = connection.connection
    assert kept is not None
    assert alice.get(alice.tasks).status_code == 200
    assert connection.connection is kept
