"""THROTTLE_RATE over real HTTP: exact in one process and, by a real Redis, in all; per user and, behind a proxy, per address."""

import signal
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode

import pytest

from conftest import sign
from tests.live import Answer, Live, User, live
from tests.redis_server import REDIS, redis_server

needs_redis = pytest.mark.skipif(not (REDIS and find_spec("redis")), reason="redis-server or its client is missing")
POLICY = '"user";q=20;w=3600'


@pytest.fixture(scope="module")
def limited() -> Iterator[Live]:
    """A service with one process behind one proxy. The tests play the proxy by sending X-Forwarded-For."""
    with live(THROTTLE_RATE="20/hour", WEB_CONCURRENCY="1", TRUSTED_PROXIES="1", ADMIN_PATH="operators") as running:
        yield running


@pytest.fixture
def alice(limited: Live) -> User:
    return User(limited)


def at_once(ask: Callable[[Any], Answer], times: int) -> list[Answer]:
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(ask, range(times)))


def left(answer: Answer) -> int:
    fields = dict(part.split("=") for part in answer.headers["RateLimit"].split(";")[1:])
    assert answer.headers["RateLimit"].startswith('"user";r=')
    assert 3500 < int(fields["t"]) <= 3600
    return int(fields["r"])


# --- Each user ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-55")
def test_exactly_so_many_of_many_at_once_pass_and_a_refused_write_writes_nothing(alice: User, limited: Live) -> None:
    answers = at_once(lambda number: alice.request("POST", alice.tasks, {"title": f"Task {number}"}), 100)
    assert Counter(answer.status for answer in answers) == {201: 20, 429: 80}
    assert sorted(left(answer) for answer in answers if answer.status == 201) == list(range(20))
    for answer in answers:
        assert answer.headers["RateLimit-Policy"] == POLICY
        if answer.status == 429:
            assert (answer.json()["code"], left(answer)) == ("throttled", 0)
            assert 3500 < int(answer.headers["Retry-After"]) <= 3600
        else:
            assert answer.headers["Retry-After"] is None
    bob = User(limited)
    assert bob.list() == []
    assert left(bob.request("GET", bob.tasks)) == 18


@needs_redis
@pytest.mark.promise("P-55")
def test_with_redis_exactly_so_many_pass_in_all_processes_and_instances_and_after_a_restart() -> None:
    with (
        redis_server() as redis,
        live(THROTTLE_RATE="20/hour", THROTTLE_STORAGE=redis.url) as one,
        live(THROTTLE_RATE="20/hour", THROTTLE_STORAGE=redis.url) as other,
    ):
        alice = User(one)
        alices = [alice, User(other, alice.subject, alice.token)]
        answers = at_once(lambda number: alices[number % 2].request("GET", alice.tasks), 200)
        assert Counter(answer.status for answer in answers) == {200: 20, 429: 180}
        assert sorted(left(answer) for answer in answers if answer.status == 200) == list(range(20))
        one.stop()
        one.start()
        assert alice.request("GET", alice.tasks).status == 429
        assert left(User(one).request("GET", "/api/somebody/tasks")) == 20
        assert "THROTTLE_RATE is counted by each" not in one.log


def test_without_redis_the_log_says_that_each_process_counts_for_itself(limited: Live) -> None:
    (line,) = [line for line in limited.log.splitlines() if "THROTTLE_RATE" in line]
    assert "is counted by each of 1 processes for itself; THROTTLE_STORAGE makes them count together" in line


@pytest.mark.promise("P-55")
def test_every_answer_to_a_signed_in_user_says_what_is_left_and_refused_ones_cost_nothing(
    alice: User, limited: Live
) -> None:
    task = alice.create("Milk")
    answers = {
        "a task": alice.request("GET", f"{alice.tasks}/{task['id']}"),
        "no task": alice.request("GET", f"{alice.tasks}/{2**62}"),
        "not JSON": alice.request("POST", alice.tasks, b"{"),
        "no title": alice.request("POST", alice.tasks, {}),
        "too large": alice.request("POST", alice.tasks, b" " * 300_000),
        "wrong method": alice.request("PATCH", alice.tasks, {}),
        "stale": alice.request("DELETE", f"{alice.tasks}/{task['id']}", If_Match='"x"'),
        "options": alice.request("OPTIONS", alice.tasks),
        "a page": alice.request("GET", alice.tasks, Accept="text/html"),
    }
    assert [answer.status for answer in answers.values()] == [200, 404, 400, 422, 413, 405, 412, 200, 200]
    assert [left(answer) for answer in answers.values()] == list(range(18, 9, -1))
    for _ in range(30):
        other = alice.request("GET", "/api/somebody/tasks")
        assert (other.status, left(other), other.headers["RateLimit-Policy"]) == (403, 10, POLICY)
        stranger = limited.request("GET", alice.tasks, X_Forwarded_For="192.0.2.77")
        assert stranger.status in {401, 429} and stranger.headers["RateLimit"] is None
    assert left(alice.request("GET", alice.tasks)) == 9
    unchanged = alice.request("GET", f"{alice.tasks}/{task['id']}")
    again = alice.request("GET", f"{alice.tasks}/{task['id']}", If_None_Match=unchanged.headers["ETag"])
    assert (again.status, left(again)) == (304, 7)
    unseen = alice.request("GET", alice.tasks, Accept="image/png")  # Refused before the token is looked at.
    assert (unseen.status, unseen.headers["RateLimit-Policy"]) == (406, None)
    assert left(alice.request("GET", alice.tasks)) == 6


@pytest.mark.promise("P-54")
def test_a_page_of_another_origin_may_read_what_is_left_only_where_a_rate_is_set(
    alice: User, user: User, live: Live
) -> None:
    fields = {"ratelimit", "ratelimit-policy"}
    exposed = [
        set(one.request("GET", one.tasks, Origin="http://localhost:3000").headers["Access-Control-Expose-Headers"].split(", "))
        for one in (alice, user)
    ]  # fmt: skip
    assert {name.lower() for name in exposed[0] - exposed[1]} == fields
    assert exposed[1] < exposed[0]


@pytest.mark.promise("P-55")
def test_without_a_rate_no_answer_speaks_of_one_and_nobody_is_refused(user: User) -> None:
    answers = [user.request("GET", user.tasks) for _ in range(30)]
    answers += [user.live.request("GET", user.tasks, token="x") for _ in range(30)]
    assert Counter(answer.status for answer in answers) == {200: 30, 401: 30}
    assert not [name for answer in answers for name in answer.headers if name.lower().startswith("ratelimit")]


def test_a_window_ends_when_retry_after_says() -> None:
    with live(THROTTLE_RATE="2/second", WEB_CONCURRENCY="1") as running:
        user = User(running)
        answers = [user.request("GET", user.tasks) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        time.sleep(int(answers[2].headers["Retry-After"]))
        assert user.request("GET", user.tasks).status == 200


# --- Each address, as a trusted proxy reports it ------------------------------------------------------------------


@pytest.mark.promise("P-112")
def test_refused_tokens_are_bounded_by_address_and_valid_ones_from_there_are_served(alice: User, limited: Live) -> None:
    def refused(forwarded: str, number: int = 0) -> Answer:
        return limited.request("GET", alice.tasks, token=f"x{number}", X_Forwarded_For=forwarded)

    answers = at_once(lambda number: refused("192.0.2.1", number), 50)
    assert Counter(answer.status for answer in answers) == {401: 20, 429: 30}
    over = next(answer for answer in answers if answer.status == 429)
    assert over.json()["code"] == "throttled" and 3500 < int(over.headers["Retry-After"]) <= 3600
    assert over.headers["Content-Type"] == "application/problem+json" and over.headers["X-Content-Type-Options"]
    # What the client writes itself stands before what the proxy appends, and says nothing.
    assert refused("198.51.100.7, 192.0.2.1").status == 429
    assert refused("192.0.2.1:54321").status == 429
    assert refused("192.0.2.1, 192.0.2.2").status == 401
    assert alice.request("GET", alice.tasks, X_Forwarded_For="192.0.2.1").status == 200


@pytest.mark.promise("P-112")
def test_a_missing_or_expired_token_is_no_guess_and_sign_ins_have_a_counter_of_their_own(limited: Live) -> None:
    old = sign("alice", exp=int(time.time()) - 3600)
    for token, code in (("", "not_authenticated"), (old, "token_expired")):
        for _ in range(25):
            answer = limited.request("GET", "/api/alice/tasks", token=token, X_Forwarded_For="192.0.2.50")
            assert (answer.status, answer.json()["code"]) == (401, code)
    for _ in range(25):
        limited.request("GET", "/api/alice/tasks", token="x", X_Forwarded_For="192.0.2.50")
    assert limited.request("GET", "/api/alice/tasks", token=old, X_Forwarded_For="192.0.2.50").status == 401
    assert limited.request("POST", "/login", X_Forwarded_For="192.0.2.50").status == 403  # No CSRF token.


@pytest.mark.parametrize("forwarded", [None, "", "192.0.2.60, ", "unknown"])
def test_without_an_address_in_the_header_the_one_that_connected_counts(forwarded: str | None) -> None:
    with live(THROTTLE_RATE="2/hour", WEB_CONCURRENCY="1", TRUSTED_PROXIES="1") as running:
        headers = {} if forwarded is None else {"X_Forwarded_For": forwarded}
        answers = [running.request("GET", "/api/x/tasks", token="x", **headers) for _ in range(4)]
        assert [answer.status for answer in answers] == [401, 401, 429, 429]


def test_whoever_has_one_ipv6_address_has_its_whole_network(limited: Live) -> None:
    answers = [
        limited.request("GET", "/api/x/tasks", token="x", X_Forwarded_For=f"2001:db8::{number:x}")
        for number in range(1, 26)
    ]
    assert Counter(answer.status for answer in answers) == {401: 20, 429: 5}
    assert limited.request("GET", "/api/x/tasks", token="x", X_Forwarded_For="[2001:db8:0:1::1]:443").status == 401


@pytest.mark.parametrize("path", ["/login", "/operators/login/"])
def test_sign_ins_are_bounded_by_address_before_anything_is_looked_at(limited: Live, path: str) -> None:
    address = f"192.0.2.{100 + len(path)}"
    page = limited.request("GET", path)
    cookie = next(value for name, value in page.headers.items() if name == "Set-Cookie").partition(";")[0]
    token = page.body.decode().partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]

    def sign_in(number: int, forwarded: str = address) -> Answer:
        form = {"username": f"u{number}", "password": "x", "token": f"x{number}", "csrfmiddlewaretoken": token}
        headers = {"Content_Type": "application/x-www-form-urlencoded", "Cookie": cookie, "Accept": "text/html"}
        return limited.request("POST", path, urlencode(form).encode(), X_Forwarded_For=forwarded, **headers)

    answers = at_once(sign_in, 30)
    # The admin hashes one password at a time in each process, and refuses the others for a second.
    over = [answer for answer in answers if int(answer.headers["Retry-After"] or 0) > 1]
    assert Counter(answer.status for answer in over) == {429: 10}
    others = {answer.status for answer in answers if answer not in over}
    assert others <= ({401} if path == "/login" else {200, 429})
    assert sign_in(0, "192.0.2.99").status != 429


def test_without_a_trusted_proxy_no_address_is_bounded() -> None:
    with live(THROTTLE_RATE="2/hour", WEB_CONCURRENCY="1") as running:
        answers = [running.request("GET", "/api/x/tasks", token="x", X_Forwarded_For="192.0.2.1") for _ in range(20)]
        assert {answer.status for answer in answers} == {401}


@needs_redis
def test_a_counter_in_redis_that_lost_its_end_gets_another() -> None:
    with redis_server() as redis, live(THROTTLE_RATE="2/hour", THROTTLE_STORAGE=redis.url, WEB_CONCURRENCY="1") as one:
        user = User(one)
        assert [user.request("GET", user.tasks).status for _ in range(3)] == [200, 200, 429]
        client = import_module("redis").Redis.from_url(redis.url)
        (key,) = client.keys("*user*")
        client.persist(key)
        assert int(user.request("GET", user.tasks).headers["Retry-After"]) > 3000 and client.ttl(key) > 3000


# --- A storage that fails -----------------------------------------------------------------------------------------


@needs_redis
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_while_the_storage_is_away_requests_go_on_and_one_line_a_second_says_so(fault: signal.Signals) -> None:
    with redis_server() as redis, live(THROTTLE_RATE="20/hour", THROTTLE_STORAGE=redis.url, WEB_CONCURRENCY="1") as one:
        user = User(one)
        assert left(user.request("GET", user.tasks)) == 19
        redis.send(fault)
        began = time.monotonic()
        answers = at_once(lambda _: user.request("GET", user.tasks), 400)
        took = time.monotonic() - began
        assert {answer.status for answer in answers} == {200}
        assert {answer.headers["RateLimit-Policy"] for answer in answers} == {POLICY}
        assert {answer.headers["RateLimit"] for answer in answers} == {None}
        lines = [line for line in one.log.splitlines() if "Requests go uncounted" in line]
        assert 1 <= len(lines) <= took + 1
        assert f"Redis at 127.0.0.1:{redis.port} cannot be asked (" in lines[0]
        assert "hunter22" not in one.log and "Traceback" not in one.log
        if fault == signal.SIGSTOP:
            redis.send(signal.SIGCONT)
        else:
            redis.start()
        time.sleep(1.1)
        assert left(user.request("GET", user.tasks)) < 20


@needs_redis
def test_a_lookup_that_hangs_holds_no_request() -> None:
    storage = "redis://:hunter22@redis.internal:6379/0"
    with live("tests.slow_names", THROTTLE_RATE="20/hour", THROTTLE_STORAGE=storage, WEB_CONCURRENCY="1") as one:
        user = User(one)

        def timed(_: int) -> float:
            began = time.monotonic()
            assert user.request("GET", user.tasks).status == 200
            return time.monotonic() - began

        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            with ThreadPoolExecutor(8) as pool:
                assert max(pool.map(timed, range(8))) < 5  # 0.25 and what a slow machine needs; the lookup takes 10.
            time.sleep(0.3)
        assert "Redis at redis.internal:6379 cannot be asked (TimeoutError)" in one.log


@needs_redis
def test_whatever_answers_in_place_of_redis_requests_go_on_uncounted() -> None:
    answers = [
        b"+OK",
        b"*1\r\n:1",
        b"*2\r\n$1\r\nx\r\n:1",
        b"$2\r\n\xff\xfe",
        b"+\xff",
        b":x",
        b"$x",
        b"HTTP/1.1 400 No",
        b"",
    ]
    answer = b""

    class Other(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65536):
                self.request.sendall((answer + b"\r\n") * 5)  # For each command of a greeting.

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Other) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        storage = f"redis://:hunter22@127.0.0.1:{server.server_address[1]}/0"
        with live(THROTTLE_RATE="20/hour", THROTTLE_STORAGE=storage, WEB_CONCURRENCY="1") as one:
            user = User(one)
            for number, answer in enumerate(answers, 1):
                got = user.request("GET", user.tasks)
                assert (got.status, got.headers["RateLimit"]) == (200, None), answer
                assert one.log.count("Requests go uncounted") == number, answer
                time.sleep(1.1)
            assert "Traceback" not in one.log
        server.shutdown()
