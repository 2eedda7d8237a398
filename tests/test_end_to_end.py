"""From sign-up at a real Better Auth server to a task in the database, through gunicorn."""

from collections.abc import Iterator

import pytest

from tests.better_auth.client import BetterAuthServer, why_unavailable
from tests.live import Live, User, live

pytestmark = pytest.mark.skipif(bool(why_unavailable()), reason=f"No real Better Auth: {why_unavailable()}")

SECRET = "tests-only-Hn4sUw8yCq1eRk6bGt3vXz0m"


@pytest.fixture(scope="module", params=["a", "b"])
def frontend(request: pytest.FixtureRequest) -> Iterator[tuple[BetterAuthServer, Live]]:
    """Kind a: `jwt()` as shipped, verified by the published keys. Kind b: signed with the shared secret."""
    if request.param == "a":
        with (
            BetterAuthServer.start("jwks", SECRET) as better_auth,
            live(BETTER_AUTH_URL=better_auth.base_url, BETTER_AUTH_SECRET="") as service,
        ):
            yield better_auth, service
    else:
        with (
            BetterAuthServer.start("hs256", SECRET) as better_auth,
            live(BETTER_AUTH_SECRET=SECRET) as service,
        ):
            yield better_auth, service


def sign_up(frontend: tuple[BetterAuthServer, Live], email: str) -> User:
    better_auth, service = frontend
    session = better_auth.sign_up(email)
    return User(service, session.user_id, better_auth.token(session))


def test_a_person_signs_up_and_keeps_tasks(frontend: tuple[BetterAuthServer, Live]) -> None:
    ann = sign_up(frontend, "ann@example.com")
    task = ann.create("Milk", description="Two litres")
    assert (task["user_id"], task["completed"]) == (ann.subject, False)
    assert ann.list() == [task]
    one = f"{ann.tasks}/{task['id']}"
    completed = ann.request("PATCH", f"{one}/complete", {"completed": True})
    assert (completed.status, completed.json()["completed"]) == (200, True)
    assert ann.list("?completed=false") == []
    assert ann.request("DELETE", one).status == 204
    assert ann.list() == []


@pytest.mark.promise("SC-005")
def test_two_people_do_not_meet(frontend: tuple[BetterAuthServer, Live]) -> None:
    carla, dora = sign_up(frontend, "carla@example.com"), sign_up(frontend, "dora@example.com")
    task = carla.create("Carla's")
    before = carla.list()
    for method, path, body in [
        ("GET", "", None),
        ("POST", "", {"title": "Dora's"}),
        ("GET", f"/{task['id']}", None),
        ("PUT", f"/{task['id']}", {"title": "Dora's"}),
        ("PATCH", f"/{task['id']}/complete", None),
        ("DELETE", f"/{task['id']}", None),
    ]:
        assert dora.request(method, carla.tasks + path, body).status == 403
        if path:
            assert dora.request(method, dora.tasks + path, body).status == 404
    assert dora.list() == []
    assert carla.list() == before


def test_what_is_no_api_token_is_refused(frontend: tuple[BetterAuthServer, Live]) -> None:
    better_auth, service = frontend
    session = better_auth.sign_up("erik@example.com")
    for token in [
        session.session_token,
        session.bearer_token,
        better_auth.session_data_cookie(session),
        better_auth.verification_token("erik@example.com"),
    ]:
        answer = User(service, session.user_id, token).request("GET", f"/api/{session.user_id}/tasks")
        assert (answer.status, answer.json()["code"]) == (401, "token_invalid")
