"""Which tokens are taken, and which are refused: each line of what Better Auth issues, and what forgers try."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections import Counter
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import connection
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from conftest import Actor, assert_problem, rows, sign
from tasks.models import Task
from todo_project import authentication
from todo_project.tests.environment import SECRET, configure
from todo_project.tests.key_server import ALGORITHMS, KeyServer, b64, claims_of, entry, forged, key_pair, signed

HS256 = {"alg": "HS256"}
TESTS_SECRET = b"tests-only-aXq3v9Lr0PzT5mWc7YbKd2Hs"
OTHER_SECRET = "Qw7eRt5yUi3oPa1sDf9gHj6kLz4xCv2b"

pytestmark = pytest.mark.django_db


def now() -> int:
    return int(time.time())


def accepted(token: str, subject: str = "alice") -> None:
    actor = Actor(subject, token)
    response = actor.get(f"/api/{quote(subject, safe='')}/tasks")
    assert response.status_code == 200, response.content
    assert response.json() == []


def refused(header: str, code: str = "token_invalid") -> str:
    """The whole Authorization header is refused with 401, no query is run and nothing is written; gives the detail."""
    with CaptureQueriesContext(connection) as queries:
        response = Actor("alice", "-").post("/api/alice/tasks", {"title": "Milk"}, Authorization=header)
    problem = assert_problem(response, 401, code)
    expected = 'Bearer realm="todo"'
    if code != "not_authenticated":
        expected += f', error="invalid_token", error_description="{problem["detail"]}"'
    assert response["WWW-Authenticate"] == expected
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", problem["detail"])  # RFC 6750, section 3
    assert len(queries) == 0
    assert rows() == []
    return str(problem["detail"])


def token_refused(token: str, code: str = "token_invalid") -> str:
    return refused(f"Bearer {token}", code)


@pytest.fixture
def key_server(settings):
    """Publishes one key of each algorithm, each named by it; HS256 is taken too."""
    with KeyServer(*(entry(algorithm, algorithm) for algorithm in ALGORITHMS)) as server:
        configure(settings, BETTER_AUTH_JWKS_URL=server.url)
        authentication._key_set = None
        yield server
    authentication._key_set = None


# --- The header -----------------------------------------------------------------------------------------------


@pytest.mark.promise("P-21")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", " Bearer ", "Bearer  "])
def test_scheme_is_taken_in_any_case(scheme: str) -> None:
    accepted_header = f"{scheme} {sign('alice')} "
    assert Actor("alice").get("/api/alice/tasks", Authorization=accepted_header).status_code == 200


@pytest.mark.promise("P-21")
def test_no_token_gets_the_bare_challenge(stranger: Actor) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = stranger.post("/api/alice/tasks", {"title": "Milk"})
    assert_problem(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == 'Bearer realm="todo"'
    assert len(queries) == 0
    assert rows() == []


@pytest.mark.parametrize(
    "header",
    ["", " ", "Bearer", "bearer", "Bearer ", "Bearer  ", "Basic YWxpY2U6cHc=", "Digest x", "Token abc", "Bearertoken"],
)
def test_header_without_a_bearer_token_counts_as_none(header: str) -> None:
    refused(header, "not_authenticated")


def test_basic_with_a_valid_token_is_no_bearer() -> None:
    refused(f"Basic {sign('alice')}", "not_authenticated")


@pytest.mark.parametrize("joint", [",", ", "])
def test_two_authorization_headers_are_refused(joint: str) -> None:
    one, two = f"Bearer {sign('alice')}", f"Bearer {sign('bob')}"
    for pair in ([one, two], [two, one], [one, one], [one, "Basic YWxpY2U6cHc="], [one, ""], [one, "Bearer"]):
        refused(joint.join(pair))


@pytest.mark.parametrize("after", [",", "!", " x", "\t!", ".", "\x01", "*~", ", "])
def test_token_with_anything_behind_it_is_refused(after: str) -> None:
    token_refused(sign("alice") + after)


@pytest.mark.parametrize("blank", [" ", "\t", "  "])
def test_token_with_a_blank_inside_is_refused(blank: str) -> None:
    token = sign("alice")
    token_refused(token[:40] + blank + token[40:])


@pytest.mark.parametrize("token", ["t\xf6ken", "\xff\xfe", "\x80.\x81.\x82", "\U0001f600"])
def test_bytes_beyond_ascii_are_401_and_not_500(token: str) -> None:
    raw = token.encode().decode("latin-1")  # As a server hands header bytes to Django.
    token_refused(raw)
    token_refused(f"{sign('alice')}{raw}")


@pytest.mark.parametrize(
    "token", ["x", ".", "..", "...", "a.b.c", "a.b.c.d.e", "e30.e30.", "null.null.null", "opaque" * 10]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    token_refused(token)


def test_long_tokens_are_taken_and_long_nonsense_is_refused() -> None:
    accepted(sign("alice", picture="x" * 6000))
    token_refused("x" * 8000)
    token_refused(".".join(["x" * 2600] * 3))
    token_refused("." * 8000)


# --- The path -------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-27")
def test_anothers_path_is_403_without_a_query(alice: Actor, bobs: Task) -> None:
    before = rows()
    with CaptureQueriesContext(connection) as queries:
        response = alice.post("/api/bob/tasks", {"title": "Milk"})
    assert_problem(response, 403, "permission_denied")
    assert "WWW-Authenticate" not in response
    assert len(queries) == 0
    assert rows() == before


@pytest.mark.parametrize(
    "subject",
    [
        "1",
        "9f0b3a1e-6b1c-4f0e-8f57-4a3c7a0c1d2e",
        "k7Q2m9XzR4tY8wL1pN5vB3cJ6hD0sF2g",
        "auth0|12345",
        "ü 😀",
        "a" * 255,
        "%41",
        "a+b",
        ".",
    ],
)
def test_user_ids_of_any_shape_are_taken(subject: str) -> None:
    actor = Actor(subject)
    created = actor.post(f"/api/{quote(subject, safe='')}/tasks", {"title": "Milk"})
    assert created.status_code == 201
    assert created.json()["user_id"] == subject
    assert Task.objects.get().user_id == subject


# --- Claims ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-20")
@pytest.mark.parametrize(
    "subject",
    [None, "", "a" * 256, "a\0b", "a/b", "/", "\ud800", "a\udfffb", 1, 1.5, True, False, ["alice"], {"id": "alice"}],
    ids=repr,
)
def test_sub_is_a_string_that_a_user_id_can_be(subject: object) -> None:
    token_refused(forged(HS256, claims_of(subject), TESTS_SECRET))


def test_a_caller_is_signed_in_and_never_staff_to_permissions_of_drf() -> None:
    request = Request(HttpRequest())
    request.user = authentication.Principal("alice")
    assert IsAuthenticated().has_permission(request, APIView())
    assert not IsAdminUser().has_permission(request, APIView())


def test_null_sub_is_refused() -> None:
    token_refused(forged(HS256, claims_of() | {"sub": None}, TESTS_SECRET))


def test_id_and_user_id_never_stand_in_for_sub() -> None:
    others = {"id": "alice", "userId": "alice", "user_id": "alice", "email": "alice", "user": {"id": "alice"}}
    token_refused(sign(None, **others))


@pytest.mark.promise("P-20")
@pytest.mark.parametrize(
    "exp",
    [None, "x", "", "later", [], {}, float(2**40), 1e12, str(2**40), True, float("inf"), float("nan"), -(10**400)],
    ids=repr,
)
def test_exp_is_an_integer_and_there(exp: object) -> None:
    claims = {name: value for name, value in claims_of(exp=exp).items() if value is not None}
    code = "token_expired" if exp == -(10**400) else "token_invalid"
    token_refused(forged(HS256, claims, TESTS_SECRET), code)


def test_null_exp_is_refused() -> None:
    token_refused(forged(HS256, claims_of() | {"exp": None}, TESTS_SECRET))


@pytest.mark.promise("SC-003")
def test_expired_token_says_so() -> None:
    for ago in (31, 3600, 10**9):
        assert "expired" in token_refused(sign("alice", exp=now() - ago, iat=None), "token_expired")


def test_expired_token_of_a_forger_is_invalid_and_not_expired() -> None:
    token_refused(forged(HS256, claims_of(exp=now() - 100), b"x" * 32))


def test_thirty_seconds_of_clock_difference_are_allowed() -> None:
    accepted(sign("alice", exp=now() - 25))
    accepted(sign("alice", iat=now() + 25))
    accepted(sign("alice", nbf=now() + 25))


def test_the_thirty_seconds_are_thirty(monkeypatch) -> None:
    moment = now()
    monkeypatch.setattr(time, "time", lambda: float(moment))
    accepted(sign("alice", exp=moment - 29))
    token_refused(sign("alice", exp=moment - 30), "token_expired")
    for claim in ("iat", "nbf"):
        accepted(sign("alice", **{claim: moment + 30}))
        token_refused(sign("alice", **{claim: moment + 31}))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize("ahead", [40, 3600, 10**400])
def test_token_that_is_not_valid_yet_is_invalid_and_not_expired(claim: str, ahead: int) -> None:
    token_refused(sign("alice", **{claim: now() + ahead}))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize("value", ["x", [], {}, float("inf"), float("nan")], ids=repr)
def test_times_that_are_none_are_refused(claim: str, value: object) -> None:
    token_refused(sign("alice", **{claim: value}))


def test_iat_is_not_needed() -> None:
    accepted(sign("alice", iat=None))


@pytest.mark.promise("P-20")
@pytest.mark.parametrize("levels, taken", [(99, True), (100, False), (1_400, False), (9_900, False)])
@pytest.mark.parametrize("part", ["header", "claims"])
def test_a_token_may_be_nested_100_deep_on_every_python(db, part: str, levels: int, taken: bool) -> None:
    header, claims = (json.dumps(members)[:-1] for members in (HS256, claims_of()))
    nested = f', "x": {"[" * levels}{"]" * levels}}}'
    head = f"{b64((header + (nested if part == 'header' else '}')).encode())}.{b64((claims + (nested if part == 'claims' else '}')).encode())}"
    token = f"{head}.{b64(hmac.digest(TESTS_SECRET, head.encode(), 'sha256'))}"
    if taken:
        assert Actor("alice", token).get("/api/alice/tasks").status_code == 200
    else:
        token_refused(token)


@pytest.mark.promise("P-20")
@pytest.mark.parametrize("twice", ["sub", "exp", "x"])
def test_claim_that_is_there_twice_is_refused(twice: str) -> None:
    claims = claims_of(x="1")
    payload = json.dumps(claims)[:-1] + f", {json.dumps(twice)}: {json.dumps(claims[twice])}}}"
    token_refused(forged(HS256, payload.encode(), TESTS_SECRET))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"alice"',
        b"1",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"sub":"alice","exp":' + b"9" * 5000 + b"}",
    ],
    ids=lambda payload: repr(payload[:12]),
)
def test_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    token_refused(forged(HS256, payload, TESTS_SECRET))


def test_unknown_audience_and_issuer_are_taken_where_none_is_configured() -> None:
    accepted(sign("alice", aud="https://somewhere.example", iss="https://somewhere.example"))
    accepted(sign("alice", aud=["one", "two"]))


# --- Issuer and audience --------------------------------------------------------------------------------------


@pytest.mark.promise("P-20")
@pytest.mark.parametrize(("name", "claim"), [("BETTER_AUTH_ISSUER", "iss"), ("BETTER_AUTH_AUDIENCE", "aud")])
def test_issuer_and_audience_by_their_own_names_bind_every_token(settings, key_server, name: str, claim: str) -> None:
    configure(settings, BETTER_AUTH_JWKS_URL=key_server.url, **{name: "https://app.example.com"})
    right = {claim: "https://app.example.com"}
    accepted(sign("alice", **right))
    accepted(signed(kid="EdDSA", **right))
    wrong = [
        None,
        "",
        "https://app.example.com/",
        "https://APP.example.com",
        "https://evil.example",
        "https://app.example.co",
    ]
    for value in [*wrong, *([[], ["x"], [""], {}] if claim == "aud" else [])]:
        token_refused(sign("alice", **{claim: value}))
        token_refused(signed(kid="EdDSA", **{claim: value}))
    for value in (7, True, {"https://app.example.com": 1}, [7]):
        token_refused(forged(HS256, claims_of(**{claim: value}), SECRET.encode()))


def test_audience_may_be_one_of_several(settings) -> None:
    configure(settings, BETTER_AUTH_AUDIENCE="todo")
    accepted(sign("alice", aud=["other", "todo"]))


def test_issuer_in_a_list_is_refused(settings) -> None:
    configure(settings, BETTER_AUTH_ISSUER="todo")
    token_refused(forged(HS256, claims_of(iss=["todo"]), SECRET.encode()))


def test_issuer_and_audience_from_the_address_bind_asymmetric_tokens_only(settings, key_server) -> None:
    base = key_server.url.removesuffix("/jwks")
    configure(settings, BETTER_AUTH_URL=base)
    right = {"iss": base, "aud": base}
    accepted(signed(kid="EdDSA", **right))
    accepted(sign("alice"))
    accepted(sign("alice", iss="https://x.example", aud="https://x.example"))
    for wrong in ({}, {"iss": base}, {"aud": base}, right | {"iss": base + "/"}, right | {"aud": base + "/api/auth"}):
        token_refused(signed(kid="EdDSA", **wrong))


# --- Algorithms and keys --------------------------------------------------------------------------------------


@pytest.mark.promise("P-18")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_published_keys_of_every_algorithm_verify(key_server, algorithm: str) -> None:
    accepted(signed("alice", algorithm, algorithm))
    assert key_server.fetched == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_key_under_a_published_name_is_refused(key_server, algorithm: str) -> None:
    token_refused(jwt.encode(claims_of(), key_pair(algorithm, "attacker"), algorithm, {"kid": algorithm}))


def test_algorithm_must_be_the_one_the_key_is_listed_with(key_server) -> None:
    token_refused(signed("alice", "PS256", "RS256"))
    token_refused(jwt.encode(claims_of(), key_pair("RS256", "RS256"), "PS256", {"kid": "RS256"}))
    token_refused(jwt.encode(claims_of(), key_pair("RS256", "RS256"), "RS512", {"kid": "RS256"}))


@pytest.mark.promise("P-20")
@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE", " none", "", "null", "HS256 ", "hs256"])
@pytest.mark.parametrize("signature", ["", b64(b"x")])
def test_alg_none_in_any_spelling_is_refused(spelling: str, signature: str) -> None:
    head = forged({"alg": spelling}, claims_of(), TESTS_SECRET).rpartition(".")[0]
    token_refused(f"{head}.{signature}")


@pytest.mark.parametrize(
    "algorithm", [None, 1, [], ["HS256"], {}, True, "HS384", "HS512", "RS384", "ES384", "ES256K", "dir"], ids=repr
)
def test_alg_that_is_not_ours_is_refused(key_server, algorithm: object) -> None:
    token_refused(forged({"alg": algorithm, "kid": "RS256"}, claims_of(), SECRET.encode()))


def test_token_without_alg_is_refused() -> None:
    token_refused(forged({"typ": "JWT"}, claims_of(), TESTS_SECRET))


@pytest.mark.parametrize("digest", ["sha384", "sha512"])
def test_longer_hmacs_with_the_right_secret_are_refused(digest: str) -> None:
    head = f"{b64(json.dumps({'alg': 'HS' + digest[3:]}).encode())}.{b64(json.dumps(claims_of()).encode())}"
    token_refused(f"{head}.{b64(hmac.new(TESTS_SECRET, head.encode(), getattr(hashlib, digest)).digest())}")


@pytest.mark.promise("P-20")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_public_key_is_no_shared_secret(key_server, algorithm: str) -> None:
    public = key_pair(algorithm, algorithm).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    spellings = [
        pem,
        pem.strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(entry(algorithm, algorithm)).encode(),
        *(base64.urlsafe_b64decode(v + "==") for n, v in entry(algorithm, algorithm).items() if n in {"x", "n"}),
    ]
    for header in (HS256, HS256 | {"kid": algorithm}, {"alg": algorithm, "kid": algorithm}):
        for secret in spellings:
            token_refused(forged(header, claims_of(), secret))


def test_asymmetric_token_is_refused_where_only_the_secret_is_configured() -> None:
    token_refused(signed())


def test_shared_secret_is_refused_where_only_keys_are_configured(settings, key_server) -> None:
    configure(settings, BETTER_AUTH_SECRET="", BETTER_AUTH_JWKS_URL=key_server.url)
    accepted(signed(kid="EdDSA"))
    for secret in (SECRET.encode(), TESTS_SECRET, b""):
        token_refused(forged(HS256, claims_of(), secret))
    assert key_server.fetched == 1


@pytest.mark.promise("P-20")
@pytest.mark.parametrize("claim", ["jku", "x5u"])
def test_addresses_in_a_token_are_never_followed(key_server, claim: str) -> None:
    with KeyServer(entry("EdDSA", "attacker")) as attacker:
        for kid in ("attacker", "EdDSA"):
            header = {"kid": kid, claim: attacker.url}
            token_refused(jwt.encode(claims_of(), key_pair("EdDSA", "attacker"), "EdDSA", header))
        assert attacker.fetched == 0


def test_key_in_a_token_is_never_used(key_server) -> None:
    for kid in ("attacker", "EdDSA"):
        header = {"kid": kid, "jwk": entry("EdDSA", "attacker"), "x5c": ["MIIB"]}
        token_refused(jwt.encode(claims_of(), key_pair("EdDSA", "attacker"), "EdDSA", header))
    oct_key = {"kty": "oct", "k": b64(b"x" * 32), "alg": "HS256", "kid": "a"}
    token_refused(forged(HS256 | {"jwk": oct_key, "kid": "a"}, claims_of(), b"x" * 32))


@pytest.mark.parametrize(
    "kid",
    [None, "", 1, [], {}, ["EdDSA"], "../../../dev/null", "' OR 1=1 --", "EdDSA\0", "\ud800", "x" * 5000],
    ids=lambda kid: repr(kid)[:20],
)
def test_kid_is_a_name_and_nothing_else(key_server, kid: object) -> None:
    header = json.dumps({"alg": "EdDSA", "kid": kid}).encode()
    head = f"{b64(header)}.{b64(json.dumps(claims_of()).encode())}"
    token_refused(f"{head}.{b64(key_pair('EdDSA', 'EdDSA').sign(head.encode()))}")


def test_token_without_kid_is_refused_without_asking_the_server(key_server) -> None:
    token_refused(jwt.encode(claims_of(), key_pair("EdDSA", "EdDSA"), "EdDSA"))
    assert key_server.fetched == 0


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["x"], [], "x", None], ids=repr)
def test_crit_is_refused(crit: object) -> None:
    token_refused(forged(HS256 | {"crit": crit, "x": 1, "b64": False}, claims_of(), TESTS_SECRET))


@pytest.mark.parametrize("typ", ["better-auth.session_data+jwt", "at+jwt", "JWE", "", 1, None, ["JWT"]], ids=repr)
def test_typ_is_jwt_or_missing(typ: object) -> None:
    accepted(forged(HS256 | {"typ": "JWT"}, claims_of(), TESTS_SECRET))
    accepted(forged(HS256, claims_of(), TESTS_SECRET))
    token_refused(forged(HS256 | {"typ": typ}, claims_of(), TESTS_SECRET))


@pytest.mark.parametrize(
    "header", [b"", b"null", b"[]", b'"x"', b"{", b"\xff", b"[" * 5000, b'{"alg":"HS256"'], ids=lambda h: repr(h[:9])
)
def test_header_that_is_no_object_is_refused(header: bytes) -> None:
    token_refused(forged(header, claims_of(), TESTS_SECRET))


# --- The shared secret ----------------------------------------------------------------------------------------


@pytest.mark.promise("P-19")
def test_forged_cookies_and_links_are_refused() -> None:
    """The session cookie cache and the e-mailed links are signed with the very same secret."""
    session = {"session": {"token": "t", "userId": "alice"}, "user": {"id": "alice"}, "updatedAt": 1, "version": "1"}
    token_refused(sign(None, **session))
    token_refused(sign(None, email="alice@example.com", userId="alice"))
    token_refused(sign(None, email="alice@example.com", updateTo="alice@example.org"))


def test_changed_payload_and_changed_signature_are_refused() -> None:
    head, body, signature = sign("bob").split(".")
    token_refused(f"{head}.{b64(json.dumps(claims_of()).encode())}.{signature}")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    token_refused(f"{head}.{body}.{flipped}")
    token_refused(f"{head}.{body}.")


@pytest.mark.promise("P-22")
def test_every_secret_of_a_rotation_verifies_and_the_single_one_does_not(settings) -> None:
    configure(settings, BETTER_AUTH_SECRETS=f"2:{OTHER_SECRET},1:{TESTS_SECRET.decode()}")
    accepted(forged(HS256, claims_of(), OTHER_SECRET.encode()))
    accepted(forged(HS256, claims_of(), TESTS_SECRET))
    token_refused(forged(HS256, claims_of(), SECRET.encode()))  # That of BETTER_AUTH_SECRET.


def test_token_of_an_old_secret_that_has_expired_says_so(settings) -> None:
    configure(settings, BETTER_AUTH_SECRETS=f"2:{OTHER_SECRET},1:{TESTS_SECRET.decode()}")
    for secret in (OTHER_SECRET.encode(), TESTS_SECRET):
        token_refused(forged(HS256, claims_of(exp=now() - 60), secret), "token_expired")


def test_secret_is_never_base64_decoded(settings) -> None:
    raw = bytes(range(40, 88))
    for text in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(), raw.hex()):
        configure(settings, BETTER_AUTH_SECRET=text)
        accepted(forged(HS256, claims_of(), text.encode()))
        token_refused(forged(HS256, claims_of(), raw))


def test_secret_is_utf_8(settings) -> None:
    secret = "schlüssel-äöü-😀-9x8w7v6u5t4s3r2q"
    configure(settings, BETTER_AUTH_SECRET=secret)
    accepted(forged(HS256, claims_of(), secret.encode()))
    token_refused(forged(HS256, claims_of(), secret.encode("utf-16")))


def test_algorithm_in_the_header_is_the_keys_also_where_the_signature_holds(key_server) -> None:
    for algorithm in ALGORITHMS:
        for lie in {"HS256", *ALGORITHMS} - {algorithm}:
            head = f"{b64(json.dumps({'alg': lie, 'kid': algorithm}).encode())}.{b64(json.dumps(claims_of()).encode())}"
            signer = jwt.get_algorithm_by_name(algorithm)
            token_refused(f"{head}.{b64(signer.sign(head.encode(), key_pair(algorithm, algorithm)))}")


@pytest.mark.parametrize("header", [{"kid": None}, {"kid": 5}, {"kid": []}, {"crit": ["x"]}, {"b64": True}], ids=repr)
def test_header_members_that_are_not_ours_are_refused(header: dict) -> None:
    token_refused(forged(HS256 | header, claims_of(), TESTS_SECRET))


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "-Infinity"])
def test_numbers_beyond_json_are_refused(number: str) -> None:
    payload = json.dumps(claims_of(x=0)).replace('"x": 0', f'"x": {number}')
    token_refused(forged(HS256, payload.encode(), TESTS_SECRET))


# --- Signatures are remembered ----------------------------------------------------------------------------------


def hits() -> int:
    return authentication._claims_signed_by.cache_info().hits


def remembered(token: str) -> str:
    """The token, after its signature was found in the memory."""
    accepted(token)
    before = hits()
    accepted(token)
    assert hits() == before + 1
    return token


@pytest.mark.promise("P-96")
def test_a_rotated_secret_ends_a_token_that_was_taken_before(settings) -> None:
    token = remembered(sign("alice"))
    configure(settings, BETTER_AUTH_SECRETS=f"2:{OTHER_SECRET},1:{TESTS_SECRET.decode()}")
    accepted(token)
    configure(settings, BETTER_AUTH_SECRETS=f"2:{OTHER_SECRET}")
    token_refused(token)


@pytest.mark.promise("P-96")
@pytest.mark.parametrize("name", ["BETTER_AUTH_ISSUER", "BETTER_AUTH_AUDIENCE"])
def test_a_changed_setting_ends_a_token_that_was_taken_before(settings, key_server, name: str) -> None:
    tokens = [remembered(sign("alice")), remembered(signed(kid="EdDSA"))]
    configure(settings, BETTER_AUTH_JWKS_URL=key_server.url, **{name: "https://app.example.com"})
    for token in tokens:
        token_refused(token)


@pytest.mark.promise("P-96")
def test_a_passed_time_ends_a_token_that_was_taken_before(key_server) -> None:
    expires = now() - authentication.LEEWAY_SECONDS + 2
    tokens = [remembered(sign("alice", exp=expires)), remembered(signed(kid="EdDSA", exp=expires))]
    time.sleep(2.1)
    for token in tokens:
        token_refused(token, "token_expired")


@pytest.mark.promise("P-96")
@pytest.mark.parametrize("make", [sign, lambda subject: signed(subject, kid="EdDSA")], ids=["HS256", "EdDSA"])
def test_a_token_that_was_taken_before_is_refused_with_any_byte_changed(key_server, make) -> None:
    raw = remembered(make("alice")).encode()
    for place, byte in enumerate(raw):
        with pytest.raises(AuthenticationFailed):
            authentication.verify(raw[:place] + (b"A" if byte != ord("A") else b"B") + raw[place + 1 :])


@pytest.mark.promise("P-96")
def test_a_flood_of_bad_tokens_pushes_no_good_one_out() -> None:
    token = remembered(sign("alice"))
    head, _, signature = token.split(".")
    before = authentication._claims_signed_by.cache_info()
    for number in range(authentication.REMEMBERED_TOKENS + 1):
        with pytest.raises(AuthenticationFailed):
            authentication.verify(
                f"{head}.{b64(json.dumps(claims_of(f'mallory-{number}')).encode())}.{signature}".encode()
            )
    after = authentication._claims_signed_by.cache_info()
    assert (after.hits, after.currsize) == (before.hits, before.currsize)
    accepted(token)
    assert hits() == after.hits + 1


@pytest.mark.promise("P-96")
def test_the_memory_of_signatures_is_bounded() -> None:
    try:
        for number in range(10_001):
            authentication.verify(sign(f"user-{number}").encode())
        assert authentication._claims_signed_by.cache_info().currsize == 10_000
    finally:
        authentication._claims_signed_by.cache_clear()


def test_the_memory_of_headers_is_bounded() -> None:
    for number in range(100):
        with pytest.raises(AuthenticationFailed):
            authentication.verify(forged(HS256 | {"x": number}, {}, b"x").encode())
    assert authentication._header.cache_info().currsize < 100


@pytest.mark.promise("P-96")
def test_a_long_token_is_verified_each_time() -> None:
    token = next(long for size in range(2048) if len(long := sign("alice", picture="x" * size)) > 2048)
    before = authentication._claims_signed_by.cache_info()
    for _ in range(2):
        accepted(token)
    assert authentication._claims_signed_by.cache_info() == before
    token_refused(token[:-1] + ("A" if token[-1] != "A" else "B"))


# --- Against PyJWT ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0, 1, 2])
def test_base64url_has_one_spelling(part: int) -> None:
    parts = forged(HS256, claims_of(), TESTS_SECRET).split(".")
    for spelling in (parts[part] + "=", parts[part] + "==", parts[part] + "!", "+" + parts[part]):
        token_refused(".".join([*parts[:part], spelling, *parts[part + 1 :]]))
    # The last character's spare bits: another text of the same bytes.
    head = f"{b64(json.dumps(HS256).encode())}.{b64(json.dumps(claims_of()).encode())}"
    signature = b64(hmac.digest(TESTS_SECRET, head.encode(), "sha256"))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted(f"{head}.{signature}")
    token_refused(f"{head}.{signature[:-1]}{alphabet[alphabet.index(signature[-1]) + 1]}")


@pytest.mark.parametrize("ours, other", ["-+", "_/"])
def test_base64_of_the_other_alphabet_is_refused(ours: str, other: str) -> None:
    token = next(one for number in range(1000) if ours in (one := sign("alice", jti=number)).rpartition(".")[2])
    accepted(token)
    token_refused(token.replace(ours, other))


def test_header_member_that_is_there_twice_is_refused() -> None:
    token_refused(forged(b'{"alg": "none", "alg": "HS256"}', claims_of(), TESTS_SECRET))


@pytest.mark.parametrize("value", [True, "5", None], ids=repr)
def test_iat_and_nbf_are_numbers(value: object) -> None:
    for claim in ("iat", "nbf"):
        token_refused(forged(HS256, claims_of() | {claim: value}, TESTS_SECRET))
        accepted(forged(HS256, claims_of() | {claim: now() - 0.5}, TESTS_SECRET))


def taken(token: bytes) -> dict | None:
    try:
        return authentication.verify(token)
    except AuthenticationFailed:
        return None


def other(right: st.SearchStrategy, wrong: st.SearchStrategy) -> st.SearchStrategy:
    """Mostly right, so that enough tokens are taken."""
    return st.sampled_from([right] * 9 + [wrong]).flatmap(lambda chosen: chosen)


LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
VALUES = LEAVES | st.lists(LEAVES, max_size=2)
TIMES = st.integers(0, 2**30) | st.floats(0, 2**30)
HEADERS = st.fixed_dictionaries(
    {"alg": other(st.just("HS256"), VALUES)},
    optional={"typ": other(st.just("JWT"), VALUES), "kid": other(st.text(max_size=5), VALUES), "x": VALUES},
)
CLAIMS = st.fixed_dictionaries(
    {"exp": other(st.integers(2**33, 2**40), VALUES), "sub": other(st.text("abc|é😀", min_size=1), VALUES)},
    optional={
        "iat": other(TIMES, VALUES),
        "nbf": other(TIMES, VALUES),
        "iss": VALUES,
        "aud": VALUES,
        "x": VALUES,
    },
)


def test_whatever_is_taken_pyjwt_takes_as_well() -> None:
    counted = Counter()

    @settings(max_examples=300, deadline=None)
    @given(HEADERS, CLAIMS)
    def compare(header: dict, claims: dict) -> None:
        token = forged(header, claims, TESTS_SECRET).encode()
        ours = taken(token)
        counted[ours is not None] += 1
        if ours is not None:
            assert jwt.decode(token, TESTS_SECRET, ["HS256"], {"verify_aud": False}, leeway=30) == ours

    compare()
    assert counted[True] > 50 and counted[False] > 50, counted


@given(st.data())
def test_a_damaged_token_is_never_taken(data: st.DataObject) -> None:
    token = forged(HS256, claims_of(), TESTS_SECRET).encode()
    assert taken(token)
    at, length = data.draw(st.integers(0, len(token))), data.draw(st.integers(0, 3))
    damaged = token[:at] + data.draw(st.binary(max_size=3)) + token[at + length :]
    assert damaged == token or taken(damaged) is None


@given(st.binary(max_size=200) | st.from_regex(rb"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_no_bytes_break_the_verification(token: bytes) -> None:
    assert taken(token) is None
