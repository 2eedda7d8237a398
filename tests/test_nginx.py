"""Behind the real nginx, with the very text of the deploy guide, the contract holds as it does without one."""

import gzip
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from conftest import sign
from tests.below_a_path import PASSWORD, walk
from tests.better_auth.client import BetterAuthServer, why_unavailable
from tests.live import ROOT, Answer, Live, User, live, manage
from tests.nginx import NGINX, Nginx, nginx
from tests.postgres import free_port
from tests.test_documents import blocks

# What holds of gunicorn alone holds through nginx too. These run here again, with this module's `live`.
from tests.test_live import (  # noqa: F401
    BOUND,
    test_a_body_of_exactly_the_bound_is_taken,
    test_a_chunked_body_sets_and_never_flips,
    test_a_client_that_waits_for_100_continue_is_told_to_go_on,
    test_a_connection_goes_on_after_any_refusal,
    test_a_foreign_host_is_400_and_health_answers_under_any,
    test_an_id_that_would_forge_a_line_is_replaced,
    test_assets_are_served_without_a_build_step,
    test_data_survives_a_restart,
    test_every_api_answer_is_private_and_has_a_request_id,
    test_every_asset_a_page_names_is_there,
    test_head_has_no_body_and_the_length_of_get,
    test_one_line_for_a_request_with_its_id_and_nothing_a_user_wrote,
    test_p95_of_a_short_mix_is_under_200_ms,
    test_the_six_endpoints_answer,
    test_who_sends_too_much_sees_413,
    test_who_sends_too_much_without_a_token_sees_401,
)
from tests.test_manners_live import (  # noqa: F401
    test_304_leaves_a_connection_in_step,
    test_a_client_that_hangs_up_and_sends_again_makes_one_task,
    test_a_page_of_another_origin_may_read_tags_and_send_conditions,
    test_a_thousand_retries_at_once_make_one_task,
    test_eight_kilobytes_of_conditions_are_answered_at_once,
    test_of_fifty_writers_with_one_tag_exactly_one_wins_each_round,
    test_of_two_bodies_with_one_key_one_wins_across_processes,
)

# Once, whatever the database.
pytestmark = [pytest.mark.documents, pytest.mark.skipif(NGINX is None, reason="nginx is not installed")]

ORIGIN = "http://localhost:3000"
THREADS = 16  # Two processes of eight.


@pytest.fixture(scope="module", name="live")
def service() -> Iterator[Live]:
    with live() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def proxy(live: Live) -> Iterator[Nginx]:
    with nginx(live, errors=True) as running:  # A test finds there what waited in a file.
        live.front = running.http
        yield running
        live.front = 0


def header(answer: Answer, name: str) -> str:
    value: str | None = answer.headers[name]
    assert value is not None, f"{name} is not in {answer.headers}"
    return value


def assert_readable(answer: Answer) -> None:
    """A page of another origin may read it."""
    assert header(answer, "Access-Control-Allow-Origin") == ORIGIN
    assert "etag" in header(answer, "Access-Control-Expose-Headers").lower()


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, header(answer, "Content-Type")) == (status, "application/problem+json"), answer.body
    body = gzip.decompress(answer.body) if answer.headers["Content-Encoding"] == "gzip" else answer.body
    assert json.loads(body)["code"] == code
    assert_readable(answer)


# --- Tags -------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-63")
@pytest.mark.parametrize("how", ["put", "flip", "set", "delete"])
def test_if_match_takes_the_tag_that_nginx_weakened(user: User, how: str) -> None:
    path = f"{user.tasks}/{user.create('Milk')['id']}"
    method, address, body = {
        "put": ("PUT", path, {"title": "Cream"}),
        "flip": ("PATCH", f"{path}/complete", None),
        "set": ("PATCH", f"{path}/complete", {"completed": True}),
        "delete": ("DELETE", path, None),
    }[how]
    read = user.request("GET", path, Accept_Encoding="gzip", Origin=ORIGIN)
    assert read.headers["Content-Encoding"] == "gzip"
    assert "accept-encoding" in ", ".join(read.headers.get_all("Vary") or []).lower()
    assert_readable(read)
    weak = header(read, "ETag")
    assert re.fullmatch(r'W/"[0-9]{20}"', weak)

    answer = user.request(method, address, body, If_Match=weak, Accept_Encoding="gzip", Origin=ORIGIN)
    assert answer.status == (204 if how == "delete" else 200)
    assert_readable(answer)
    again = user.request(method, address, body, If_Match=weak, Accept_Encoding="gzip", Origin=ORIGIN)
    if how == "delete":
        assert_problem(again, 404, "not_found")
        return
    # The tag that the write was answered with, weakened too, is the next write's condition.
    assert_problem(again, 412, "precondition_failed")
    assert header(again, "ETag").removeprefix("W/") == header(answer, "ETag").removeprefix("W/") != weak[2:]
    assert user.request(method, address, body, If_Match=header(answer, "ETag")).status == 200


@pytest.mark.promise("P-62")
def test_a_weakened_tag_is_304_for_a_task_and_a_list(user: User) -> None:
    task = user.create("Milk")
    user.create("Bread")
    for path in (f"{user.tasks}/{task['id']}", user.tasks, f"{user.tasks}?limit=1"):
        read = user.request("GET", path, Accept_Encoding="gzip", Origin=ORIGIN)
        assert header(read, "ETag").startswith("W/")
        for tag in (header(read, "ETag"), header(read, "ETag")[2:]):
            answer = user.request("GET", path, If_None_Match=tag, Accept_Encoding="gzip", Origin=ORIGIN)
            assert (answer.status, answer.body) == (304, b"")
            assert header(answer, "ETag").removeprefix("W/") == tag.removeprefix("W/")
            assert answer.headers["Link"] == read.headers["Link"]
            assert header(answer, "Cache-Control") == "private, no-cache"
            assert_readable(answer)
    user.request("PATCH", f"{user.tasks}/{task['id']}/complete")
    assert user.request("GET", user.tasks, If_None_Match=header(read, "ETag")).status == 200


# --- TLS ends here ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-59")
def test_links_say_https_and_a_client_cannot_say_otherwise(user: User, proxy: Nginx) -> None:
    root = f"https://127.0.0.1:{proxy.https}"
    with closing(proxy.connect_with_tls()) as connection:

        def ask(method: str, path: str, body: object = None) -> Answer:
            lies = {"X_Forwarded_Proto": "http", "SCRIPT_NAME": "/evil"}
            return user.request(method, path, body, connection=connection, Host=root.removeprefix("https://"), **lies)

        created = ask("POST", user.tasks, {"title": "Milk"})
        one = f"{root}{user.tasks}/{created.json()['id']}"
        assert header(created, "Location") == one
        assert header(ask("PUT", one.removeprefix(root), {"title": "Cream"}), "Content-Location") == one
        ask("POST", user.tasks, {"title": "Bread"})
        assert header(ask("GET", f"{user.tasks}?limit=1"), "Link").startswith(f"<{root}{user.tasks}?limit=1&cursor=")
    plain = user.request("POST", user.tasks, {"title": "Eggs"}, X_Forwarded_Proto="https")
    assert header(plain, "Location").startswith(f"http://127.0.0.1:{proxy.http}/")


# --- Below a path -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def below(live: Live) -> Iterator[Nginx]:
    with nginx(live, below=True) as running:
        yield running


@pytest.mark.promise("P-80")
def test_below_a_path_nothing_leads_out_of_it(user: User, below: Nginx) -> None:
    variables = user.live.variables | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    manage(variables, "createsuperuser", "--noinput", "--username", user.subject, "--email", "")

    def send(method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
        with closing(below.connect_with_tls()) as connection:
            connection.request(method, path, body or None, headers | {"Referer": f"https://127.0.0.1:{below.https}/"})
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    walker = walk(send, "/todo", user.subject, user.token, user.subject)
    assert len(walker.shown) > 60


@pytest.mark.promise("P-80")
def test_below_a_path_others_are_not_the_services(live: Live, below: Nginx) -> None:
    with closing(HTTPConnection("127.0.0.1", below.http, timeout=20)) as connection:

        def ask(path: str, **headers: str) -> Answer:
            return live.request("GET", path, connection=connection, **headers)

        assert ask("/todo/healthz").status == 200
        assert header(ask("/todo"), "Location").endswith("/todo/")
        elsewhere = ["/healthz", "/", "/todox/healthz", "/todo/../healthz"]
        for path in [*elsewhere, "/x/../todo/healthz", "/%74odo/healthz", "//todo/healthz"]:
            assert ask(path).status == 404
        assert ask("/todo/", SCRIPT_NAME="/evil", Accept="application/json").json()["documentation"] == "/todo/docs"
    # A probe beside the proxy needs no path.
    with closing(HTTPConnection("127.0.0.1", int(live.variables["PORT"]), timeout=20)) as connection:
        assert live.request("GET", "/healthz", connection=connection).status == 200


# --- Half and slow requests -------------------------------------------------------------------------------------------


@contextmanager
def half_requests(user: User, port: int) -> Iterator[list[socket.socket]]:
    """Forty requests whose headers do not end, and forty whose bodies do not."""
    head = f"POST {user.tasks} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.token}\r\n"
    body = 'Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"title": "Half'
    with ExitStack() as stack:
        opened = []
        for number in range(80):
            opened.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)))
            opened[-1].sendall((head + (body if number % 2 else "")).encode())
        yield opened


@pytest.mark.promise("P-82")
def test_half_requests_take_nothing_from_others_and_are_given_up(user: User, live: Live, proxy: Nginx) -> None:
    with half_requests(user, proxy.http) as opened:
        started = time.monotonic()
        for _ in range(20):
            assert live.request("GET", "/healthz").status == 200
            user.create("Milk")
        assert len(user.list()) == 20
        assert time.monotonic() - started < 5
        for connection in opened:
            assert re.match(rb"$|HTTP/1.1 408 ", connection.recv(1024))
        assert time.monotonic() - started < 15
    assert len(user.list()) == 20


def test_gunicorn_alone_serves_nobody_beside_half_requests(user: User, live: Live) -> None:
    """The guide says so; without it the test above would show nothing."""
    port = int(live.variables["PORT"])

    def ask_until_gunicorn_has_taken_them_all() -> None:
        for _ in range(20):
            with closing(HTTPConnection("127.0.0.1", port, timeout=2)) as asking:
                live.request("GET", "/healthz", connection=asking)
            time.sleep(0.1)

    with half_requests(user, port), pytest.raises(TimeoutError):
        ask_until_gunicorn_has_taken_them_all()
    assert live.request("GET", "/healthz").status == 200


@pytest.mark.promise("P-82")
def test_slow_bodies_take_nothing_from_others_and_are_taken(user: User, live: Live) -> None:
    body = b'{"title": "Slow"}'
    head = (
        f"POST {user.tasks} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.token}\r\nOrigin: {ORIGIN}\r\n"
        f"Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((live.host, live.port), timeout=20)) for _ in range(40)]
        for connection in slow:
            connection.sendall(head)
        for place in range(len(body)):
            for connection in slow:
                connection.sendall(body[place : place + 1])
            started = time.monotonic()
            assert live.request("GET", "/healthz").status == 200
            if place == len(body) // 2:
                assert user.list() == []
            assert time.monotonic() - started < 1
            time.sleep(0.1)
        for connection in slow:
            answer = connection.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 201 ")
            assert f"Access-Control-Allow-Origin: {ORIGIN}".lower() in answer.decode().lower()
    assert [task["title"] for task in user.list()] == ["Slow"] * 40


@pytest.mark.promise("P-82")
def test_slow_readers_take_nothing_from_others(user: User, live: Live) -> None:
    path, _ = long_list(user)
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.token}\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(2 * THREADS):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((live.host, live.port))
            connection.sendall(head)
        started = time.monotonic()
        assert live.request("GET", "/healthz").status == 200
        assert user.request("GET", f"{user.tasks}?limit=1").status == 200
        assert time.monotonic() - started < 5


# --- Clients that go away ---------------------------------------------------------------------------------------------


def long_list(user: User) -> tuple[str, int]:
    """Tasks whose list is larger than what sockets hold: its path, and its length in bytes."""
    with closing(user.live.connect()) as connection:
        for number in range(500):
            body = {"title": f"Task {number}", "description": "\N{GRINNING FACE}" * 5000}
            assert user.request("POST", user.tasks, body, connection=connection).status == 201
    path = f"{user.tasks}?limit=1000"
    return path, len(user.request("GET", path).body)


@pytest.mark.promise("P-82")
def test_clients_that_go_away_amid_an_answer_or_a_body_harm_nobody(user: User, live: Live, proxy: Nginx) -> None:
    path, length = long_list(user)
    assert length > 10_000_000
    head = f"HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.token}\r\n"
    asks = f"GET {path} {head}\r\n"
    sends = f'POST {user.tasks} {head}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"title": "Gone'
    for number in range(3 * THREADS):
        with socket.create_connection((live.host, live.port), timeout=20) as connection:
            connection.sendall((sends if number % 3 == 0 else asks).encode())
            if number % 3:
                assert connection.recv(1024).startswith(b"HTTP/1.1 200 ")
            if number % 2:  # With a reset, and without one.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    started = time.monotonic()
    assert len(user.request("GET", path).body) == length
    assert time.monotonic() - started < 5
    assert "Traceback" not in live.log
    assert not re.search(r"\[(?:alert|crit|emerg)\]", proxy.log)


# --- Large bodies -----------------------------------------------------------------------------------------------------


def test_a_body_waits_in_memory_and_at_the_bound_in_a_file_and_is_taken_whole(user: User, proxy: Nginx) -> None:
    description = "\N{GRINNING FACE}" * 5000
    body = json.dumps({"title": "Milk", "description": description}, ensure_ascii=False).encode()

    def files() -> int:
        return proxy.log.count("is buffered to a temporary file")

    before = files()
    # A chunked body at the bound may wait in either, as its pieces arrive.
    for sent, waited in [(body, {0}), (body.ljust(BOUND), {0}), (iter([body.ljust(BOUND)]), {0, 1})]:
        answer = user.request("POST", user.tasks, sent, Origin=ORIGIN)
        assert (answer.status, answer.json()["description"]) == (201, description)
        assert_readable(answer)
        assert files() - before in waited
    before = files()
    assert_problem(user.request("POST", user.tasks, body.ljust(2 * BOUND), Origin=ORIGIN), 413, "payload_too_large")
    for _ in range(50):  # nginx writes its log in its own time.
        if files() > before:
            break
        time.sleep(0.1)
    assert files() == before + 1


@pytest.mark.promise("P-35")
@pytest.mark.parametrize("size", [256 * 1024 + 1, 1024 * 1024, 4 * 1024 * 1024])
def test_whatever_refuses_a_large_body_is_the_services_own_answer(user: User, live: Live, size: int) -> None:
    """The service answers some before it has read the body, and hangs up."""
    body, stranger, bob = b"x" * size, User(live, user.subject, "x.y.z"), User(live)
    for _ in range(5):
        for answer, status, code in [
            (user.request("POST", user.tasks, body, Origin=ORIGIN), 413, "payload_too_large"),
            (stranger.request("POST", user.tasks, body, Origin=ORIGIN), 401, "token_invalid"),
            (bob.request("POST", user.tasks, body, Origin=ORIGIN), 403, "permission_denied"),
            (user.request("POST", "/api/nothing", body, Origin=ORIGIN), 404, "not_found"),
            (user.request("PUT", user.tasks, body, Origin=ORIGIN), 405, "method_not_allowed"),
            (
                user.request("POST", user.tasks, body, Origin=ORIGIN, Content_Type="text/plain"),
                415,
                "unsupported_media_type",
            ),
        ]:
            assert_problem(answer, status, code)
    assert user.list() == []


def test_past_four_mebibytes_nginx_refuses_by_itself(user: User) -> None:
    """The guide says so."""
    answer = user.request("POST", user.tasks, b"x" * (4 * 1024 * 1024 + 1), Origin=ORIGIN)
    assert (answer.status, header(answer, "Content-Type")) == (413, "text/html")
    assert user.list() == []


# --- Large headers ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-81")
@pytest.mark.skipif(bool(why_unavailable()), reason=f"No real Better Auth: {why_unavailable()}")
def test_a_better_auth_token_with_a_picture_is_taken(live: Live) -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 600
    with BetterAuthServer.start("hs256", live.variables["BETTER_AUTH_SECRET"]) as better_auth:
        session = better_auth.sign_up("ann@example.com", image=picture)
        ann = User(live, session.user_id, better_auth.token(session))
    assert len(ann.token) > 9000
    answer = ann.request("POST", ann.tasks, {"title": "Milk"}, Origin=ORIGIN)
    assert answer.status == 201
    assert_readable(answer)
    assert ann.list() == [answer.json()]
    forged = User(live, ann.subject, ann.token[:-1] + ("A" if ann.token[-1] != "A" else "B"))
    assert_problem(forged.request("GET", ann.tasks, Origin=ORIGIN), 401, "token_invalid")


@pytest.mark.promise("P-81")
@pytest.mark.parametrize("through", ["nginx", "gunicorn"])
@pytest.mark.parametrize("length", [9 * 1024, 16 * 1024])
def test_header_fields_of_sixteen_kibibytes_are_read(user: User, live: Live, through: str, length: int) -> None:
    """A token, the frontend's cookies, a list of tags, and all of them at once."""
    port = live.port if through == "nginx" else int(live.variables["PORT"])
    token = sign(user.subject, image="x" * (length * 3 // 4 - 200))
    assert length - 500 < len(token) < length
    path = f"{user.tasks}/{user.create('Milk')['id']}"
    cookies = "; ".join(f"better-auth.session_data.{number}={'x' * 4000}" for number in range(4))[:length]
    whole = {"Authorization": f"Bearer {token}", "Cookie": cookies, "If_None_Match": '"x", ' * (length // 5)}
    small = {"Authorization": f"Bearer {user.token}"}
    for headers in (small | {"Authorization": whole["Authorization"]}, small | {"Cookie": cookies}, whole):
        with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            answer = live.request("GET", path, connection=connection, Origin=ORIGIN, **headers)
            assert answer.status == 200
            assert_readable(answer)
            headers |= {"Authorization": headers["Authorization"][:-1]}
            assert_problem(
                live.request("GET", path, connection=connection, Origin=ORIGIN, **headers), 401, "token_invalid"
            )


def test_a_link_of_eight_kilobytes_comes_through(user: User) -> None:
    """The longest there is: a cursor that holds a title, and a search."""
    title = "\N{GRINNING FACE}" * 200
    user.create(title)
    user.create(title)
    search = "%F0%9F%98%80" * 200
    page = user.request("GET", f"{user.tasks}?ordering=title&limit=1&search={search}", Origin=ORIGIN)
    assert page.status == 200
    link = header(page, "Link")
    assert len(link) > 3500
    assert user.request("GET", link[1 : link.index(">")].removeprefix(user.live.url)).status == 200


# --- The log, and the unit --------------------------------------------------------------------------------------------


def test_the_proxys_log_has_the_request_id_and_no_search_word(user: User, proxy: Nginx) -> None:
    answer = user.request("GET", f"{user.tasks}?search=searchword")
    lines: list[str] = []
    for _ in range(50):  # nginx writes it after the answer.
        lines = [line for line in proxy.log.splitlines() if header(answer, "X-Request-ID") in line]
        if lines:
            break
        time.sleep(0.1)
    (line,) = lines
    assert f"GET {user.tasks} 200" in line
    assert "searchword" not in proxy.log
    assert user.token not in proxy.log


def test_the_proxys_logs_have_no_search_word_when_an_instance_refuses_or_the_disk_fails(user: User) -> None:
    """nginx puts the whole request line into its log of errors."""
    stopped = Live(user.live.variables | {"PORT": str(free_port())})
    stopped.log_file.unlink()
    search = f"{user.tasks}?search=ZEBRASEARCH"
    with nginx(stopped, user.live) as front, closing(HTTPConnection("127.0.0.1", front.http, timeout=20)) as connection:
        for _ in range(4):
            assert user.request("GET", search, connection=connection).status == 200
        shutil.rmtree(front.folder / "body")
        assert user.request("POST", search, b"x" * 1_000_000, connection=connection).status == 500
        time.sleep(0.5)
        assert front.log.count(f"GET {user.tasks} 200") == 4
        assert f"127.0.0.1:{stopped.variables['PORT']}" in front.log, "the log says which instance refused"
        assert "ZEBRASEARCH" not in front.log, front.log


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_of_the_guide_is_one_that_systemd_takes(tmp_path: Path) -> None:
    (unit,) = (block.text for block in blocks("docs/deploy.md") if block.text.startswith("[Unit]"))
    # It gives up after five starts in ten seconds.
    assert int(unit.partition("\nRestartSec=")[2].split()[0]) * 4 > 10
    # Only the two programs must be where it says.
    shown = "/srv/todo/.venv/bin/"
    assert unit.count(shown) == 2
    (tmp_path / "todo.service").write_text(unit.replace(shown, f"{Path(sys.executable).parent}/"))
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "todo.service")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "todo.service" in line]) == (0, [])


def test_a_client_is_known_by_the_address_that_nginx_saw_whatever_it_writes_itself() -> None:
    with live(THROTTLE_RATE="3/hour", TRUSTED_PROXIES="1", WEB_CONCURRENCY="1") as service, nginx(service) as front:
        service.front = front.http
        written = ["198.51.100.1", "198.51.100.2", "", "203.0.113.1, 203.0.113.2", "x" * 100]
        answers = [service.request("GET", "/api/x/tasks", token="x", X_Forwarded_For=text) for text in written]
        assert [answer.status for answer in answers] == [401, 401, 401, 429, 429]
