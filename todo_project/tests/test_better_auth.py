"""Every kind of token of a real Better Auth server: those for an API are taken, all others refused.

Taken are tokens of the jwt plugin, signed with its published keys or with the shared secret, and those of an endpoint of
the frontend's own. Refused are the session-data cookie, e-mail verification tokens and session tokens.
"""

import jwt
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conftest import Actor, assert_problem, rows
from tests.better_auth.client import BetterAuthError, BetterAuthServer, Session, why_unavailable
from todo_project import authentication, jwks
from todo_project.tests.environment import SECRET, configure
from todo_project.tests.key_server import ALGORITHMS

MISSING = why_unavailable()
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(MISSING is not None, reason=f"The real Better Auth server was not tried: {MISSING}."),
]

NEW_SECRET = "Qw7eRt5yUi3oPa1sDf9gHj6kLz4xCv2b"
OWN_SECRET = "Bn8mVc2xZl6kJh4gFd0sAq9wEr3tYu5i"
ROTATION = f"2:{NEW_SECRET},1:{SECRET}"


@pytest.fixture(scope="module")
def publishing():
    """jwt() as shipped signed with its own keys; with the shared secret for all else that Better Auth signs."""
    with BetterAuthServer.start(mode="jwks", secret=SECRET) as server:
        yield server


@pytest.fixture(scope="module")
def sharing():
    """jwt() with its own jwt.sign, with the shared secret."""
    with BetterAuthServer.start(mode="hs256", secret=SECRET) as server:
        yield server


@pytest.fixture(autouse=True)
def fresh_keys():
    authentication._key_set = None
    yield
    authentication._key_set = None


_people = iter(range(10**6))


def sign_up(server: BetterAuthServer) -> Session:
    return server.sign_up(f"ann{next(_people)}@example.com")


def uses_the_service(user_id: str, token: str) -> None:
    """Create, list, complete, delete."""
    ann = Actor(user_id, token)
    created = ann.post(ann.tasks, {"title": "Milk"})
    assert created.status_code == 201, created.content
    task = created.json()
    assert task["user_id"] == user_id
    assert ann.get(ann.tasks).json() == [task]
    assert ann.patch(ann.complete(task["id"])).json()["completed"] is True
    assert_problem(ann.get(Actor("bob", "-").tasks), 403, "permission_denied")
    assert ann.delete(ann.task(task["id"])).status_code == 204
    assert rows() == []


def refused(user_id: str, token: str, code: str = "token_invalid") -> None:
    with CaptureQueriesContext(connection) as queries:
        assert_problem(Actor(user_id, token).post(f"/api/{user_id}/tasks", {"title": "Milk"}), 401, code)
    assert len(queries) == 0
    assert rows() == []


def test_published_key_token_is_taken_with_the_address_alone(settings, publishing: BetterAuthServer) -> None:
    configure(settings, BETTER_AUTH_SECRET="", BETTER_AUTH_URL=publishing.base_url)
    ann = sign_up(publishing)
    uses_the_service(ann.user_id, publishing.token(ann))
    uses_the_service(ann.user_id, publishing.header_token(ann))


@pytest.mark.promise("P-18")
@pytest.mark.parametrize("algorithm", ALGORITHMS[1:])
def test_published_key_token_is_taken_in_every_algorithm(settings, algorithm: str) -> None:
    with BetterAuthServer.start(mode="jwks", secret=SECRET, alg=algorithm) as server:
        configure(settings, BETTER_AUTH_SECRET="", BETTER_AUTH_URL=server.base_url + "/")
        ann = sign_up(server)
        token = server.token(ann)
        assert jwt.get_unverified_header(token)["alg"] == algorithm
        uses_the_service(ann.user_id, token)


@pytest.mark.promise("P-18")
def test_shared_secret_token_is_taken_with_the_secret_alone(settings, sharing: BetterAuthServer) -> None:
    configure(settings)
    ann = sign_up(sharing)
    uses_the_service(ann.user_id, sharing.token(ann))


def test_shared_secret_token_is_taken_with_issuer_and_audience_set_by_name(settings, sharing: BetterAuthServer) -> None:
    ann = sign_up(sharing)
    configure(settings, BETTER_AUTH_ISSUER=sharing.base_url, BETTER_AUTH_AUDIENCE=sharing.base_url)
    uses_the_service(ann.user_id, sharing.token(ann))
    configure(settings, BETTER_AUTH_ISSUER="https://another.example")
    refused(ann.user_id, sharing.token(ann))


@pytest.mark.promise("P-18")
def test_tokens_of_the_plugin_and_of_an_endpoint_are_taken_side_by_side(settings, publishing: BetterAuthServer) -> None:
    configure(settings, BETTER_AUTH_URL=publishing.base_url)
    ann = sign_up(publishing)
    uses_the_service(ann.user_id, publishing.own_token(ann))
    uses_the_service(ann.user_id, publishing.token(ann))


def test_own_endpoints_token_is_refused_where_only_the_address_is_known(settings, publishing: BetterAuthServer) -> None:
    configure(settings, BETTER_AUTH_SECRET="", BETTER_AUTH_URL=publishing.base_url)
    ann = sign_up(publishing)
    refused(ann.user_id, publishing.own_token(ann))


@pytest.mark.promise("P-19")
def test_cookies_links_and_session_tokens_are_refused(
    settings, publishing: BetterAuthServer, sharing: BetterAuthServer
) -> None:
    for server in (publishing, sharing):
        configure(settings, **({"BETTER_AUTH_URL": server.base_url} if server is publishing else {}))
        ann = sign_up(server)
        cookie, link = server.session_data_cookie(ann), server.verification_token(ann.email)
        # They are what they should be: signed with the very secret that is configured.
        for token in (cookie, link):
            assert jwt.decode(token, SECRET, ["HS256"]).get("sub") is None
        refused(ann.user_id, cookie)
        refused(ann.user_id, link)
        refused(ann.user_id, server.session_token(ann))
        refused(ann.user_id, ann.bearer_token)


@pytest.mark.promise("P-19")
def test_session_data_cookie_signed_with_the_published_key_is_refused(settings) -> None:
    with BetterAuthServer.start(mode="jwks", secret=SECRET, COOKIE_CACHE_KEY="jwks") as server:
        configure(settings, BETTER_AUTH_URL=server.base_url)
        ann = sign_up(server)
        uses_the_service(ann.user_id, server.token(ann))
        cookie = server.session_data_cookie(ann)
        assert jwt.get_unverified_header(cookie)["alg"] == "EdDSA"
        refused(ann.user_id, cookie)


@pytest.mark.promise("SC-003")
@pytest.mark.parametrize("mode", ["jwks", "hs256"])
def test_expired_token_is_refused(settings, mode) -> None:
    with BetterAuthServer.start(mode=mode, secret=SECRET, TOKEN_LIFE="-1m") as server:
        configure(settings, **({"BETTER_AUTH_URL": server.base_url} if mode == "jwks" else {}))
        ann = sign_up(server)
        refused(ann.user_id, server.token(ann), "token_expired")


@pytest.mark.parametrize("kind", ["uuid", "serial"])
def test_other_user_ids_are_taken(settings, kind: str) -> None:
    with BetterAuthServer.start(mode="hs256", secret=SECRET, USER_IDS=kind) as server:
        configure(settings)
        ann = sign_up(server)
        uses_the_service(ann.user_id, server.token(ann))


@pytest.mark.promise("P-22")
def test_secret_rotation(settings) -> None:
    """The frontend signs its tokens with a secret that is not Better Auth's own."""
    with BetterAuthServer.start(mode="hs256", secret=OWN_SECRET, TOKEN_SECRET=SECRET) as server:
        ann = sign_up(server)
        before = server.token(ann)
        configure(settings, BETTER_AUTH_SECRETS=ROTATION)
        uses_the_service(ann.user_id, before)
        server.restart(TOKEN_SECRET=NEW_SECRET)
        assert server.is_signed_in(ann)
        after = server.token(ann)
        assert jwt.decode(after, NEW_SECRET, ["HS256"], options={"verify_aud": False})["sub"] == ann.user_id
        uses_the_service(ann.user_id, after)
        uses_the_service(ann.user_id, before)
        configure(settings, BETTER_AUTH_SECRETS=f"2:{NEW_SECRET}")
        refused(ann.user_id, before)
        uses_the_service(ann.user_id, after)


@pytest.mark.promise("P-22")
@pytest.mark.parametrize("mode", ["hs256", "jwks"])
def test_a_change_of_better_auths_own_secret_ends_its_sessions_and_no_token(settings, mode) -> None:
    """SECURITY.md says so of both ways to sign. Better Auth needs the old secret twice to read its private keys."""
    with BetterAuthServer.start(mode=mode, secret=SECRET) as server:
        ann = sign_up(server)
        before = server.token(ann)
        if mode == "jwks":
            configure(settings, BETTER_AUTH_SECRET="", BETTER_AUTH_URL=server.base_url)
        else:
            configure(settings, BETTER_AUTH_SECRETS=ROTATION)
        assert server.is_signed_in(ann)
        server.restart(BETTER_AUTH_SECRETS=ROTATION)
        assert not server.is_signed_in(ann)
        uses_the_service(ann.user_id, before)
        again = server.sign_in(ann.email)
        assert again.user_id == ann.user_id and server.is_signed_in(again)
        uses_the_service(ann.user_id, server.token(again))
        if mode == "jwks":
            server.restart(BETTER_AUTH_SECRET="")
            with pytest.raises(BetterAuthError, match="500"):
                server.token(again)


@pytest.mark.promise("P-23")
def test_key_rotation_keeps_the_old_key(settings, monkeypatch) -> None:
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.0)
    with BetterAuthServer.start(mode="jwks", secret=SECRET) as server:
        configure(settings, BETTER_AUTH_URL=server.base_url)
        ann = sign_up(server)
        before = server.token(ann)
        uses_the_service(ann.user_id, before)
        made = server.rotate_keys()
        after = server.token(ann)
        assert jwt.get_unverified_header(after)["kid"] == made
        fetched = server.keys_fetched()
        uses_the_service(ann.user_id, after)
        uses_the_service(ann.user_id, before)
        assert server.keys_fetched() == fetched + 1


@pytest.mark.promise("P-24")
@pytest.mark.parametrize("state", ["off", "hang"])
def test_keys_out_of_reach(settings, monkeypatch, publishing: BetterAuthServer, state) -> None:
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(jwks, "TIMEOUT_SECONDS", 0.7)
    configure(settings, BETTER_AUTH_URL=publishing.base_url)
    ann = sign_up(publishing)
    token = publishing.token(ann)
    try:
        publishing.keys(state)
        response = Actor(ann.user_id, token).get(f"/api/{ann.user_id}/tasks")
        assert_problem(response, 503, "service_unavailable")
        assert int(response["Retry-After"]) >= 1
    finally:
        publishing.keys("on")
    uses_the_service(ann.user_id, token)
    publishing.keys(state)
    try:
        uses_the_service(ann.user_id, token)
    finally:
        publishing.keys("on")


def test_token_of_another_better_auth_server_is_refused(settings, publishing: BetterAuthServer) -> None:
    configure(settings, BETTER_AUTH_URL=publishing.base_url)
    with BetterAuthServer.start(mode="jwks", secret=NEW_SECRET) as other:
        eve = sign_up(other)
        refused(eve.user_id, other.token(eve))
        refused(eve.user_id, other.own_token(eve))


def test_person_signs_in_to_the_pages_with_a_real_token(settings, publishing: BetterAuthServer) -> None:
    configure(settings, BETTER_AUTH_URL=publishing.base_url)
    ann = sign_up(publishing)
    browser = Actor("-", "-").client
    assert browser.post("/login", {"token": publishing.token(ann)}).status_code == 302
    assert browser.get(f"/api/{ann.user_id}/tasks").status_code == 200
