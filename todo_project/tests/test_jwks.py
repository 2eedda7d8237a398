"""The key server: rotating, slow, lying, gone."""

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from conftest import Actor, assert_problem, rows
from todo_project import authentication, jwks
from todo_project.tests.environment import configure
from todo_project.tests.key_server import KeyServer, answer_bytes, answer_json, entry, key_pair, signed

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(settings):
    with KeyServer(entry()) as running:
        configure(settings, BETTER_AUTH_JWKS_URL=running.url)
        authentication._key_set = None
        yield running
    authentication._key_set = None


def get(token: str):
    return Actor("alice", token).get("/api/alice/tasks")


def assert_taken(token: str) -> None:
    assert get(token).status_code == 200


def assert_invalid(token: str) -> None:
    response = Actor("alice", token).post("/api/alice/tasks", {"title": "Milk"})
    assert_problem(response, 401, "token_invalid")
    assert rows() == []


def assert_unavailable(token: str) -> None:
    """503 and never 401, which would sign the user out."""
    response = Actor("alice", token).post("/api/alice/tasks", {"title": "Milk"})
    assert_problem(response, 503, "service_unavailable")
    assert int(response["Retry-After"]) >= 1
    assert "WWW-Authenticate" not in response
    assert rows() == []


def wait_until(condition, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


# --- Rotation -------------------------------------------------------------------------------------------------


def test_keys_are_fetched_once_for_many_tokens(server: KeyServer) -> None:
    for _ in range(5):
        assert_taken(signed())
    assert server.fetched == 1


@pytest.mark.promise("P-23")
def test_new_key_is_found_and_the_old_one_stays(server: KeyServer) -> None:
    assert_taken(signed())
    server.publish(entry(kid="key-2"), entry(kid="key-1"))
    time.sleep(jwks.PAUSE_SECONDS + 0.1)
    assert_taken(signed(kid="key-2"))
    assert_taken(signed(kid="key-1"))
    assert server.fetched == 2


def test_unknown_key_within_a_second_of_a_good_fetch_is_401_without_another(server: KeyServer, monkeypatch) -> None:
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 3.0)  # A busy machine takes its time between the lines below.
    assert_taken(signed())
    assert_invalid(signed(kid="nobody"))
    assert_invalid(signed(kid="nobody-2"))
    assert server.fetched == 1
    time.sleep(jwks.PAUSE_SECONDS + 0.1)
    assert_invalid(signed(kid="nobody"))
    assert server.fetched == 2


def test_withdrawn_key_is_refused_in_the_end(server: KeyServer, monkeypatch) -> None:
    monkeypatch.setattr(jwks, "MAX_AGE_SECONDS", 0.2)
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.1)
    assert_taken(signed())
    server.publish(entry(kid="key-2"))
    wait_until(lambda: get(signed()).status_code == 401)
    assert_taken(signed(kid="key-2"))


def test_withdrawn_key_is_refused_by_the_first_request_after_a_quiet_time(server: KeyServer, monkeypatch) -> None:
    monkeypatch.setattr(jwks, "MAX_AGE_SECONDS", 0.2)
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.1)
    assert_taken(signed())
    server.publish(entry(kid="key-2"))
    time.sleep(0.4)
    assert_invalid(signed())


@pytest.mark.promise("P-96")
@pytest.mark.parametrize("instead", [[], [entry(kid="key-2")], [entry(kid="key-2") | {"kid": "key-1"}]])
def test_withdrawn_key_ends_a_token_that_was_taken_before(server: KeyServer, monkeypatch, instead) -> None:
    token = signed()
    assert_taken(token)
    before = authentication._claims_signed_by.cache_info().hits
    assert_taken(token)
    assert authentication._claims_signed_by.cache_info().hits == before + 1
    monkeypatch.setattr(jwks, "MAX_AGE_SECONDS", 0.2)
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.1)
    server.publish(*instead)
    time.sleep(0.4)
    assert_invalid(token)


def test_empty_list_of_keys_is_a_good_answer(server: KeyServer) -> None:
    server.publish()
    assert_invalid(signed())


def test_keys_that_cannot_be_used_are_passed_over(server: KeyServer) -> None:
    secret = {"kty": "oct", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg", "alg": "HS256", "kid": "oct"}
    junk = [
        1,
        None,
        {},
        {"kid": 7},
        {"kid": "x", "kty": "nonsense"},
        {"kid": "y", "kty": "OKP", "crv": "Ed25519", "x": "!"},
    ]
    encryption = entry(kid="enc") | {"use": "enc"}
    server.publish(*junk, secret, encryption, entry())
    assert_taken(signed())
    for kid in ("oct", "enc", "x", "y"):
        assert_invalid(signed(kid=kid))


# --- Floods ---------------------------------------------------------------------------------------------------


def listed(private_key: Any, kind: Any, **members: Any) -> dict[str, Any]:
    jwk = kind.to_jwk(private_key, as_dict=True)
    return {name: value for name, value in jwk.items() if name != "key_ops"} | {"kid": "bad", **members}


P384 = ec.generate_private_key(ec.SECP384R1()).public_key()
P521 = ec.generate_private_key(ec.SECP521R1()).public_key()
UNUSABLE = {
    "oct": {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
    "oct as EdDSA": {"kty": "oct", "k": "c2VjcmV0", "alg": "EdDSA"},
    "oct without k": {"kty": "oct", "alg": "HS256"},
    "none": {"kty": "oct", "k": "", "alg": "none"},
    "RSA as none": {"kty": "RSA", "alg": "none"},
    "alg is a list": {"kty": "RSA", "alg": ["RS256"]},
    "P-384": listed(P384, ECAlgorithm, alg="ES256"),
    "P-521 as ES256": listed(P521, ECAlgorithm, alg="ES256"),
    "P-384 without alg": listed(P384, ECAlgorithm),
    "RSA of 1024 bits": listed(rsa.generate_private_key(65537, 1024).public_key(), RSAAlgorithm, alg="RS256"),
    "not for verifying": entry("EdDSA", "bad") | {"key_ops": ["encrypt"]},
    "key_ops is no list": entry("EdDSA", "bad") | {"key_ops": 7},
    **{
        f"private {algorithm}": listed(key_pair(algorithm, "bad"), kind, alg=algorithm)
        for algorithm, kind in (("EdDSA", OKPAlgorithm), ("ES256", ECAlgorithm), ("RS256", RSAAlgorithm))
    },
}


@pytest.mark.parametrize("unusable", UNUSABLE.values(), ids=UNUSABLE)
def test_one_bad_entry_hides_no_good_key(unusable: dict[str, Any]) -> None:
    good = jwks.usable_keys({"keys": [unusable | {"kid": "bad"}, entry("EdDSA", "good")]})
    assert list(good) == ["good"]


@pytest.mark.promise("P-23")
def test_flood_of_unknown_keys_is_one_fetch_a_second_and_one_at_a_time(server: KeyServer) -> None:
    good = server.answer

    def slowly(handler) -> None:
        time.sleep(0.2)
        good(handler)

    server.answer = slowly
    keys = jwks.KeySet(server.url)
    end, outcomes = time.monotonic() + 2.3, []

    def ask(number: int) -> None:
        count = 0
        while time.monotonic() < end:
            outcomes.append(keys.get(f"unknown-{number}-{count}"))
            count += 1
            time.sleep(0.005)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) > 100
    assert set(outcomes) == {None}
    assert server.most_at_once == 1
    assert 2 <= server.fetched <= 3
    gaps = [after - before for before, after in zip(server.asked_at, server.asked_at[1:], strict=False)]
    assert 0.9 < min(gaps) < 1.9


def test_flood_against_a_failing_server_is_one_fetch_a_second(server: KeyServer) -> None:
    server.answer = answer_json({}, 500)
    started = time.monotonic()
    for number in range(20):
        assert_unavailable(signed(kid=f"key-{number % 2}"))
    assert server.fetched <= 1 + (time.monotonic() - started) / jwks.PAUSE_SECONDS


# --- Servers that lie, stall or are gone ------------------------------------------------------------------------


def hang(handler) -> None:
    time.sleep(4)


def drip_body(handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b" ")
        time.sleep(0.1)


def drip_headers(handler) -> None:
    for byte in b"HTTP/1.0 200 OK\r\nX-Slow: " + b"x" * 20:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.1)


def huge(handler) -> None:
    body = json.dumps({"keys": [entry()], "more": "x" * (2 * jwks.MAX_BYTES)}).encode()
    answer_bytes(body)(handler)


def endless(handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65536)


LIES = {
    "hang": hang,
    "drip_body": drip_body,
    "drip_headers": drip_headers,
    "huge": huge,
    "endless": endless,
    "not_json": answer_bytes(b"<html>"),
    "not_utf8": answer_bytes(b'{"keys": ["\xff\xff"]}'),
    "deep": answer_bytes(b"[" * 200_000),
    "no_keys": answer_json({"jwks": []}),
    "list": answer_json([]),
    "null": answer_json(None),
    "keys_no_list": answer_json({"keys": {"key-1": entry()}}),
    "status_500": answer_json({"keys": [entry()]}, 500),
    "status_404": answer_json({"keys": [entry()]}, 404),
    "status_204": answer_bytes(b"", 204),
    "truncated": answer_bytes(b'{"keys": ['),
    "closes": lambda handler: handler.connection.close(),
    "no_http": lambda handler: handler.wfile.write(b"\0\1\2 nonsense\r\n\r\n"),
}


@pytest.mark.promise("P-24")
@pytest.mark.parametrize("lie", LIES)
def test_cached_keys_go_on_and_unknown_ones_are_503_in_time(server: KeyServer, monkeypatch, lie: str) -> None:
    monkeypatch.setattr(jwks, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.0)
    assert_taken(signed())
    server.answer = LIES[lie]
    started = time.monotonic()
    assert_unavailable(signed(kid="key-2"))
    assert time.monotonic() - started < 3  # Some of them would take four seconds, or for ever.
    fetched = server.fetched
    assert_taken(signed())
    assert server.fetched == fetched  # It asks nobody, and so waits for nothing.


@pytest.mark.parametrize(("beyond", "check"), [(0, assert_taken), (1, assert_unavailable)])
def test_an_answer_has_256_kib_at_most(server: KeyServer, beyond: int, check) -> None:
    server.answer = answer_bytes(json.dumps({"keys": [entry()]}).encode().ljust(256 * 1024 + beyond))
    check(signed())


def test_server_that_hangs_costs_three_seconds_at_most(server: KeyServer) -> None:
    server.answer = hang
    started = time.monotonic()
    assert_unavailable(signed())
    assert 2.9 < time.monotonic() - started < 3.9


def test_server_that_drips_is_let_go(server: KeyServer, monkeypatch) -> None:
    monkeypatch.setattr(jwks, "TIMEOUT_SECONDS", 0.5)
    server.answer = drip_body
    assert_unavailable(signed())
    wait_until(lambda: server.at_once == 0, 2)  # It would go on for four.


def test_server_that_hangs_is_let_go(server: KeyServer, monkeypatch) -> None:
    monkeypatch.setattr(jwks, "TIMEOUT_SECONDS", 0.5)
    server.answer = hang
    assert jwks.KeySet(server.url)._current_fetch().done.wait(2)  # It would go on for four.


@pytest.mark.promise("P-24")
def test_a_flood_of_unknown_keys_waits_once_for_a_server_that_hangs(server: KeyServer) -> None:
    """Every thread of the process would wait for it, and none be left for the users whose key is cached."""
    keys = jwks.KeySet(server.url)
    assert keys.get("key-1")
    time.sleep(jwks.PAUSE_SECONDS + 0.1)
    server.answer = hang

    def wait(number: int) -> float:
        began = time.monotonic()
        with pytest.raises(jwks.KeyServerUnavailable):
            keys.get(f"unknown-{number}")
        return time.monotonic() - began

    with ThreadPoolExecutor(16) as pool:
        waits = sorted(pool.map(wait, range(16)))
    assert waits[-2] < jwks.PATIENCE_SECONDS + 0.5 and waits[-1] > jwks.TIMEOUT_SECONDS - 0.5


def test_several_new_keys_at_once_wait_for_a_server_that_answers(server: KeyServer) -> None:
    good = server.answer

    def slowly(handler) -> None:
        time.sleep(jwks.PATIENCE_SECONDS / 2)
        good(handler)

    server.answer = slowly
    keys = jwks.KeySet(server.url)
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(keys.get, ["key-1"] * 16))
    assert server.fetched == 1


def test_server_that_hangs_keeps_an_old_key_waiting_for_a_moment_only(server: KeyServer, monkeypatch) -> None:
    assert_taken(signed())
    monkeypatch.setattr(jwks, "MAX_AGE_SECONDS", 0.0)
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.0)
    server.answer = hang
    started = time.monotonic()
    assert_taken(signed())
    assert time.monotonic() - started < 1


def test_server_that_is_gone_is_503_and_cached_keys_go_on(server: KeyServer, monkeypatch) -> None:
    assert_taken(signed())
    server.stop()
    time.sleep(jwks.PAUSE_SECONDS + 0.1)
    assert_unavailable(signed(kid="key-2"))
    monkeypatch.setattr(jwks, "MAX_AGE_SECONDS", 0.0)  # Also when it is time to look again.
    for _ in range(3):
        assert_taken(signed())
        time.sleep(0.1)


def test_unknown_key_after_a_failed_fetch_is_503_until_a_fetch_succeeds(server: KeyServer) -> None:
    good = server.answer
    server.answer = answer_json({}, 503)
    assert_unavailable(signed())
    server.answer = good
    assert_unavailable(signed())  # Within the second nobody asks again.
    assert server.fetched == 1
    time.sleep(jwks.PAUSE_SECONDS + 0.1)
    assert_taken(signed())
    assert_invalid(signed(kid="nobody"))


def test_redirects_are_not_followed(server: KeyServer) -> None:
    with KeyServer(entry()) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            authentication._key_set = None
            server.answer = answer_bytes(b"", status, Location=elsewhere.url)
            assert_unavailable(signed())
        assert elsewhere.fetched == 0


def test_signing_in_while_the_key_server_is_away_is_503(server: KeyServer) -> None:
    server.answer = answer_json({}, 500)
    response = Actor("alice").client.post("/login", {"token": signed()})
    assert response.status_code == 503
    assert int(response["Retry-After"]) >= 1
    assert authentication.SIGN_IN_COOKIE not in response.cookies


# --- What the operator reads --------------------------------------------------------------------------------------


def no_answer(server: KeyServer) -> str:
    server.stop()
    return server.url


FAILURES = {
    "forbidden": (answer_bytes(b"", 403), "status 403"),
    "redirect": (
        answer_bytes(b"", 308, Location="https://user:hunter22@www.example.com/jwks?key=hunter22"),
        "status 308 to https://www.example.com/jwks",
    ),
    "folded redirect": (
        answer_bytes(b"", 308, Location="https://www.example.com/jwks?key=\r\n hunter22"),
        "status 308 to https://www.example.com/jwks",
    ),
    "html": (answer_bytes(b"<html>", **{"Content-Type": "text/html; charset=utf-8"}), "text/html, is no JWKS"),
    "another document": (answer_bytes(b'{"keys": 1}', **{"Content-Type": "application/json"}), "application/json, is no JWKS"),
    "nested": (answer_bytes(b"[" * 200_000), "is no JWKS"),
    "no content": (answer_bytes(b"", 204), "status 204"),
    "too much": (huge, "the answer has more than 262144 bytes"),
    "without end": (endless, "the answer has more than 262144 bytes"),
    "too slow": (drip_body, "no answer within 0.5 seconds|TimeoutError"),  # Whoever wakes first says it.
    "headers too slow": (drip_headers, "no answer within 0.5 seconds"),
    "nothing": (hang, "no answer within 0.5 seconds|TimeoutError"),
    "hung up": (lambda handler: handler.connection.close(), "RemoteDisconnected"),
    "no HTTP": (lambda handler: handler.wfile.write(b"hunter22\r\n\r\n"), "BadStatusLine"),
}  # fmt: skip
ADDRESSES = {
    "refused": (no_answer, "ConnectionRefusedError: [Errno 111] Connection refused"),
    "no such name": (lambda server: "http://keys.invalid/jwks", "gaierror: "),
    "no TLS": (lambda server: server.url.replace("http:", "https:"), "SSLError: "),
    "user and query": (lambda server: server.url.replace("//", "//user:hunter22@") + "?key=hunter22", "gaierror: "),
    "blank in the query": (lambda server: server.url + "?key=hunter22 hunter22", "InvalidURL"),
}


def errors(log) -> list[str]:
    return [line for line in log.getvalue().splitlines() if " ERROR " in line]


@pytest.mark.promise("P-83")
@pytest.mark.parametrize(("answer", "cause"), FAILURES.values(), ids=FAILURES)
def test_failed_fetch_is_one_line_with_address_and_cause(server: KeyServer, log, monkeypatch, answer, cause) -> None:
    monkeypatch.setattr(jwks, "TIMEOUT_SECONDS", 0.5)
    server.answer = answer
    token = signed()
    response = Actor("alice", token).get("/api/alice/tasks", X_Request_ID="find-me")
    assert_problem(response, 503, "service_unavailable")
    (line,) = errors(log)
    assert f"todo_project.jwks [find-me] No keys from {server.url}: " in line
    assert re.search(cause, line)
    for secret in ("hunter22", token.rpartition(".")[2]):
        assert secret not in log.getvalue()


@pytest.mark.parametrize(("address", "cause"), ADDRESSES.values(), ids=ADDRESSES)
def test_address_that_cannot_be_asked_is_one_line_without_its_secrets(server, settings, log, address, cause) -> None:
    settings.BETTER_AUTH_JWKS_URL = address(server)
    assert_unavailable(signed())
    (line,) = errors(log)
    host = "keys.invalid" if "invalid" in settings.BETTER_AUTH_JWKS_URL else server.url.partition("://")[2]
    assert f"://{host}" in line and cause in line
    assert "hunter22" not in log.getvalue()


def test_redirect_cannot_forge_or_fill_the_log(server: KeyServer, log) -> None:
    server.answer = answer_bytes(b"", 302, Location="/a\x1b[31m\u0085forged" + "x" * 5000)
    assert_unavailable(signed())
    (line,) = errors(log)
    assert len(line) < 600 and "\x1b" not in line and "\u0085" not in line


def test_failures_are_said_once_a_second_and_recovery_once(server: KeyServer, log) -> None:
    good = server.answer
    server.answer = answer_bytes(b"", 403)
    for _ in range(5):
        assert_unavailable(signed())
    assert len(errors(log)) == server.fetched == 1
    time.sleep(jwks.PAUSE_SECONDS + 0.1)
    assert_unavailable(signed())
    assert len(errors(log)) == server.fetched == 2
    server.answer = good
    for _ in range(2):
        time.sleep(jwks.PAUSE_SECONDS + 0.1)
        assert_taken(signed())
        assert_invalid(signed(kid="nobody"))
    assert log.getvalue().count("The keys are there again") == 1


def test_good_fetch_says_nothing(server: KeyServer, log) -> None:
    assert_taken(signed())
    assert "jwks" not in log.getvalue()


def test_keys_are_fetched_under_a_name_of_our_own(server: KeyServer, settings) -> None:
    """A firewall that turns urllib away lets us in."""
    good, name = server.answer, f"todo-backend/{settings.SPECTACULAR_SETTINGS['VERSION']}"

    def firewall(handler) -> None:
        (good if handler.headers["User-Agent"] == name else answer_bytes(b"", 403))(handler)

    server.answer = firewall
    assert_taken(signed())


def test_readyz_does_not_need_the_key_server(server: KeyServer) -> None:
    server.stop()
    assert_unavailable(signed())
    assert Actor("alice", "").get("/readyz").status_code == 200
