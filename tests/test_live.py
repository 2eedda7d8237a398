"""The service over real HTTP: gunicorn, two workers, a database of its own."""

import json
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest

from conftest import sign
from tests.live import GUNICORN, ROOT, Live, User, environment, free_port, fresh_database, manage

BOUND = 256 * 1024


def problem(body: bytes) -> str:
    code: str = json.loads(body)["code"]
    return code


# --- SC-001: the endpoints answer over HTTP ------------------------------------------------------------------------


@pytest.mark.promise("SC-001")
def test_the_six_endpoints_answer(user: User) -> None:
    """SC-001."""
    created = user.request("POST", user.tasks, {"title": "Milk", "description": "Two litres"})
    assert created.status == 201
    task = created.json()
    one = f"{user.tasks}/{task['id']}"
    assert created.headers["Location"] == user.live.url + one

    listed = user.request("GET", user.tasks)
    assert (listed.status, listed.json()) == (200, [task])
    read = user.request("GET", one)
    assert (read.status, read.json()) == (200, task)
    written = user.request("PUT", one, {"title": "Oat milk"})
    assert written.status == 200
    assert written.json()["description"] == "Two litres"
    assert written.headers["Content-Location"] == user.live.url + one
    flipped = user.request("PATCH", f"{one}/complete")
    assert flipped.status == 200
    assert flipped.json()["completed"] is True
    deleted = user.request("DELETE", one)
    assert (deleted.status, deleted.body) == (204, b"")
    assert user.request("GET", one).status == 404
    assert user.list() == []


def test_every_api_answer_is_private_and_has_a_request_id(user: User) -> None:
    for answer in [
        user.request("GET", user.tasks),
        user.request("GET", f"{user.tasks}/1"),
        user.request("GET", "/api/nobody/tasks"),
        user.live.request("GET", user.tasks),
        user.live.request("GET", "/api/nothing"),
    ]:
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["X-Request-ID"]


# --- SC-002: data survives --------------------------------------------------------------------------------------------


@pytest.mark.promise("SC-002")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_data_survives_a_restart(user: User, how: signal.Signals) -> None:
    """SC-002, also when every process is killed at once."""
    task = user.create("Still here")
    user.live.stop(how)
    user.live.start()
    assert user.list() == [task]


# --- HTTP as it should be ---------------------------------------------------------------------------------------------


def test_head_has_no_body_and_the_length_of_get(user: User) -> None:
    task = user.create("Milk")
    for path in [user.tasks, f"{user.tasks}/{task['id']}", "/openapi.json", "/docs", "/", "/healthz"]:
        get, head = user.request("GET", path), user.request("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.body))
        assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_a_client_that_hangs_up_in_its_body_is_no_fault_of_ours(user: User) -> None:
    head = f"POST {user.tasks} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.token}\r\n"
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        before = len(user.live.log)
        with socket.create_connection((user.live.host, user.live.port)) as connection:
            connection.sendall(f"{head}Content-Type: {kind}\r\nContent-Length: 50000\r\n\r\n{{".encode())
            time.sleep(0.2)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # It resets.
        ends = time.monotonic() + 10
        while f"POST {user.tasks} 4" not in (said := user.live.log[before:]) and time.monotonic() < ends:
            time.sleep(0.05)
        assert re.search(rf"POST {user.tasks} 4(00|15) ", said) and "ERROR" not in said, said
    assert user.list() == []


@pytest.mark.promise("P-35")
@pytest.mark.parametrize("path", ["/login", "/logout", "/admin/login/", "/nothing"])
@pytest.mark.parametrize("chunked", [False, True])
def test_no_large_form_reaches_the_disk(live: Live, path: str, chunked: bool) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + b"x" * 3 * 1024 * 1024
    answer = live.request(
        "POST", path, iter([body]) if chunked else body,
        Content_Type="multipart/form-data; boundary=B", Cookie=f"todo_csrf={'a' * 32}",
    )  # fmt: skip
    assert (answer.status, answer.json()["code"]) == (413, "payload_too_large")


@pytest.mark.promise("P-35")
def test_a_connection_goes_on_after_any_refusal(user: User) -> None:
    """What is left of a refused body must not be taken for the next request."""
    with closing(user.live.connect()) as connection:

        def ask(method: str, path: str, body: object = None, token: str = user.token, **headers: str) -> int:
            answer = user.live.request(method, path, body, token, connection, **headers)
            assert connection.sock is not None, "The server closed the connection."
            sockets.add(connection.sock.getsockname())
            return answer.status

        sockets: set[object] = set()
        assert ask("GET", user.tasks) == 200
        assert ask("POST", user.tasks, {"title": "Milk"}, token="") == 401
        assert ask("GET", user.tasks) == 200
        assert ask("POST", user.tasks, b"x" * 60_000, token="") == 401
        assert ask("POST", user.tasks, b"x" * (BOUND + 1)) == 413
        assert ask("GET", user.tasks) == 200
        assert ask("POST", user.tasks, b"x" * 4 * 1024 * 1024, token="") == 401
        assert ask("POST", "/login", b"x" * 1024 * 1024, Content_Type="application/x-www-form-urlencoded") == 413
        assert ask("GET", user.tasks) == 200
        assert ask("POST", user.tasks, iter([b'{"title"', b': "Milk"}'])) == 201
        assert ask("POST", user.tasks, iter([b"x" * 1000] * 3), token="") == 401
        assert ask("POST", user.tasks, b"title=Milk", Content_Type="application/x-www-form-urlencoded") == 415
        assert ask("DELETE", user.tasks) == 405
        assert ask("GET", user.tasks) == 200
        assert len(sockets) == 1


@pytest.mark.promise("P-35")
@pytest.mark.parametrize("size", [300 * 1024, 3 * 1024 * 1024])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_who_sends_too_much_sees_413(user: User, size: int, chunked: bool) -> None:
    body = iter([b"x" * 10240] * (size // 10240)) if chunked else b"x" * size
    answer = user.request("POST", user.tasks, body)
    assert answer.status == 413
    assert problem(answer.body) == "payload_too_large"
    assert user.list() == []


def test_a_body_of_exactly_the_bound_is_taken(user: User) -> None:
    body = json.dumps({"title": "Milk"}).encode()
    assert user.request("POST", user.tasks, body.ljust(BOUND)).status == 201
    assert user.request("POST", user.tasks, iter([body.ljust(BOUND)])).status == 201
    assert user.request("POST", user.tasks, body.ljust(BOUND + 1)).status == 413
    assert user.request("POST", user.tasks, iter([body.ljust(BOUND), b" "])).status == 413


def test_a_chunked_body_sets_and_never_flips(user: User) -> None:
    """A body without a length must not be taken for no body: that would flip."""
    task = user.create("Milk")
    path = f"{user.tasks}/{task['id']}/complete"
    for _ in range(3):
        answer = user.request("PATCH", path, iter([b'{"comp', b'leted": true}']))
        assert (answer.status, answer.json()["completed"]) == (200, True)
    empty = user.request("PATCH", path, iter([]))
    assert (empty.status, empty.json()["completed"]) == (200, False)


def test_a_body_that_ended_early_is_refused_though_it_is_whole_json(user: User) -> None:
    body = b'{"title": "Milk"}'
    head = (
        f"POST {user.tasks} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body) + 50}\r\nConnection: close\r\n\r\n"
    ).encode()
    with socket.create_connection((user.live.host, user.live.port), timeout=10) as connection:
        connection.sendall(head + body)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"parse_error"' in answer
    assert user.list() == []


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(user: User) -> None:
    body = b'{"title": "Milk"}'
    head = (
        f"POST {user.tasks} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Expect: 100-continue\r\nConnection: close\r\n\r\n"
    ).encode()
    with socket.create_connection((user.live.host, user.live.port), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(body)
        assert connection.recv(1024).startswith(b"HTTP/1.1 201 Created\r\n")


def test_two_authorization_headers_are_401(user: User) -> None:
    for other in [user.token, sign("somebody-else")]:
        said = user.live.raw(
            f"GET {user.tasks} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.token}\r\n"
            f"Authorization: Bearer {other}\r\nConnection: close\r\n\r\n".encode()
        )
        assert said.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        assert problem(said.partition(b"\r\n\r\n")[2]) == "token_invalid"


def test_a_foreign_host_is_400_and_health_answers_under_any(user: User) -> None:
    for path in [user.tasks, "/", "/docs", "/static/todo/page.css", "/admin/login/"]:
        answer = user.request("GET", path, Host="evil.example")
        assert (answer.status, problem(answer.body)) == (400, "bad_request")
        assert b"evil" not in answer.body
    for path in ["/healthz", "/readyz"]:
        answer = user.live.request("GET", path, Host="10.1.2.3")
        assert (answer.status, answer.json()) == (200, {"status": "ok"})


def test_who_sends_too_much_without_a_token_sees_401(user: User) -> None:
    assert user.live.request("POST", user.tasks, b"x" * 300 * 1024).status == 401


@pytest.mark.parametrize(
    "framing",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["length", "smuggling", "header", "endless line"],
)
def test_broken_framing_is_gunicorns_own_page(live: Live, framing: bytes) -> None:
    """The one error that is no problem document: Django never sees it."""
    said = live.raw(framing)
    assert re.match(rb"HTTP/1.1 4\d\d ", said)
    assert b"Content-Type: text/html" in said
    assert b"Connection: close" in said
    assert live.request("GET", "/healthz").status == 200


# --- What the log has, and has not ------------------------------------------------------------------------------------


def test_one_line_for_a_request_with_its_id_and_nothing_a_user_wrote(user: User) -> None:
    title, search, token = "Secretiveness", "searchword", user.token
    created = user.request("POST", user.tasks, {"title": title}, X_Request_ID="id-from-the-client")
    assert created.headers["X-Request-ID"] == "id-from-the-client"
    given = user.request("GET", f"{user.tasks}?search={search}").headers["X-Request-ID"]
    user.request("POST", user.tasks, b'{"title": "' + title.encode())
    user.request("GET", user.tasks + "%0a2026-01-01%20forged")

    lines = user.live.log.splitlines()
    assert len([line for line in lines if f"[{given}] GET {user.tasks} 200" in line]) == 1
    assert len([line for line in lines if f"[id-from-the-client] POST {user.tasks} 201" in line]) == 1
    for secret in [title, search, token, token.split(".")[2], settings_secret(user.live)]:
        assert secret not in user.live.log
    assert not [line for line in lines if line.startswith("2026-01-01")]


def settings_secret(live: Live) -> str:
    return live.variables["BETTER_AUTH_SECRET"]


def test_an_id_that_would_forge_a_line_is_replaced(user: User) -> None:
    for given in ["has space", "x" * 129, "caf\xe9"]:
        answer = user.request("GET", user.tasks, X_Request_ID=given)
        assert answer.headers["X-Request-ID"] != given
        assert given not in user.live.log


def test_the_control_socket_is_off(live: Live) -> None:
    """It would let whoever reaches it steer the server."""
    assert live.process is not None
    named = Path("/proc/net/unix")
    assert "gunicorn" not in (named.read_text() if named.exists() else "")
    shown = subprocess.run(
        [*GUNICORN, "--print-config"], cwd=ROOT, env=live.variables, capture_output=True, text=True, check=True
    )
    assert re.search(r"^control_socket_disable\s+= True$", shown.stdout, re.MULTILINE)


# --- SC-004: speed ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("SC-004")
def test_p95_of_a_short_mix_is_under_200_ms(user: User) -> None:
    """SC-004, on whatever machine this is, one request after the other."""
    taken: list[float] = []
    with closing(user.live.connect()) as connection:

        def timed(method: str, path: str, body: object = None) -> bytes:
            started = time.perf_counter()
            answer = user.live.request(method, path, body, user.token, connection)
            taken.append((time.perf_counter() - started) * 1000)
            assert answer.status < 300
            return answer.body

        for number in range(40):
            one = f"{user.tasks}/{json.loads(timed('POST', user.tasks, {'title': f'Task {number}'}))['id']}"
            timed("GET", user.tasks)
            timed("GET", one)
            timed("PUT", one, {"title": "Changed"})
            timed("PATCH", f"{one}/complete")
            if number % 2:
                timed("DELETE", one)
    p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[18]
    print(f"SC-004: {len(taken)} requests, p50 {p50:.1f} ms, p95 {p95:.1f} ms, slowest {max(taken):.1f} ms")
    assert p95 < 200


# --- Nothing between install and start --------------------------------------------------------------------------------


@pytest.mark.promise("P-58")
@pytest.mark.parametrize(
    "path,kind",
    [
        ("/static/admin/css/base.css", "text/css"),
        ("/static/admin/js/core.js", "text/javascript"),
        ("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js", "text/javascript"),
        ("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css", "text/css"),
        ("/static/rest_framework/css/bootstrap.min.css", "text/css"),
        ("/static/rest_framework/js/default.js", "text/javascript"),
        ("/static/todo/page.css", "text/css"),
    ],
)
def test_assets_are_served_without_a_build_step(live: Live, path: str, kind: str) -> None:
    assert not (ROOT / "staticfiles").exists()
    answer = live.request("GET", path)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert len(answer.body) > 100


@pytest.mark.promise("P-52")
def test_every_asset_a_page_names_is_there(live: Live) -> None:
    for page in ["/", "/login", "/docs", "/admin/login/"]:
        answer = live.request("GET", page, Accept="text/html")
        assert answer.status == 200
        named = re.findall(r'(?:src|href)="([^"]+\.(?:css|js|png|svg))"', answer.body.decode())
        assert named
        for asset in named:
            assert asset.startswith("/static/"), f"{page} takes {asset} from elsewhere."
            assert live.request("GET", asset).status == 200


def test_what_requirements_txt_installs_is_enough(live: Live) -> None:
    """Everything else that this environment has is hidden from a process that serves a page of each kind."""
    allowed: set[str] = {"psycopg-binary"}  # The extra that requirements.txt asks for.
    pending = re.findall(r"^([a-zA-Z][\w.-]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    while pending:
        name = plain(pending.pop())
        if name in allowed:
            continue
        allowed.add(name)
        try:
            needs = distribution(name).requires or []
        except ModuleNotFoundError:  # For another system or another Python.
            continue
        pending += [name for need in needs if "extra ==" not in need for name in re.findall(r"^[\w.-]+", need)]
    hidden = {module for module, brought in packages_distributions().items() if not allowed & set(map(plain, brought))}
    assert {"pytest", "honcho"} <= hidden
    code = f"""
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hidden())
import gunicorn.workers.gthread, todo_project.wsgi
from django.test import Client
client = Client(headers={{"Host": "localhost", "Authorization": "Bearer {sign("alice")}"}})
for path in ["/", "/docs", "/openapi.json", "/admin/login/", "/readyz", "/api/alice/tasks"]:
    for accept in ["text/html", "application/json"]:
        print(client.get(path, headers={{"Accept": accept}}).status_code, path)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=live.variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["200"] * 12, done.stdout


def plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


# --- A start that cannot succeed says why, in one line -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name,value",
    [
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "mysql://localhost/todo"),
        ("DJANGO_SECRET_KEY", ""),
        ("DJANGO_SECRET_KEY", "short"),
        ("DJANGO_ALLOWED_HOSTS", ""),
        ("BETTER_AUTH_SECRET", ""),
        ("BETTER_AUTH_SECRET", "better-auth-secret-12345678901234567890"),
        ("BETTER_AUTH_SECRETS", "new,old"),
        ("BETTER_AUTH_URL", "app.example.com"),
        ("CORS_ALLOWED_ORIGINS", "localhost:3000"),
        ("DJANGO_HTTPS", "yes"),
        ("THROTTLE_RATE", "many"),
    ],
)
def test_a_wrong_setting_is_one_line_with_its_name(name: str, value: str, tmp_path: Path) -> None:
    variables = environment(f"sqlite:///{tmp_path}/none.sqlite3", **{name: value})
    done = subprocess.run(
        [sys.executable, "-c", "import todo_project.wsgi"], cwd=ROOT, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 4  # gunicorn stops at this one, and does not start the worker again and again.
    (line,) = done.stderr.splitlines()
    assert name in line
    assert "SECRET" not in name or not value or value not in line


@pytest.mark.parametrize("name", ["DJANGO_SECRET_KEY", "PORT", "WEB_CONCURRENCY", "GUNICORN_THREADS"])
@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_manage_py_stops_at_a_wrong_setting_with_one_line(command: str, name: str, tmp_path: Path) -> None:
    done = manage(environment(f"sqlite:///{tmp_path}/none.sqlite3", **{name: "x"}), command, expect=1)
    (line,) = (done.stdout + done.stderr).splitlines()
    assert line.startswith(f"Configuration: {name}")


@pytest.mark.parametrize("name", ["DJANGO_SECRET_KEY", "PORT", "WEB_CONCURRENCY", "GUNICORN_THREADS"])
def test_gunicorn_does_not_start_with_a_wrong_setting(name: str, tmp_path: Path) -> None:
    variables = environment(f"sqlite:///{tmp_path}/none.sqlite3", **{name: "x"})
    done = subprocess.run(GUNICORN, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    if name == "WEB_CONCURRENCY":  # gunicorn reads it before any file of ours, and has words of its own for it.
        assert "invalid literal for int()" in done.stderr
    else:
        assert f"Configuration: {name} must" in done.stderr
    assert ("Traceback" in done.stderr) == (name == "WEB_CONCURRENCY")


# --- make run: manage.py serve ------------------------------------------------------------------------------------------


@pytest.fixture
def served() -> Iterator[Live]:
    with fresh_database() as database_url:
        service = Live(environment(database_url), [sys.executable, "manage.py", "serve"])
        service.start()
        yield service
        service.stop()
        service.log_file.unlink()


@pytest.mark.promise("P-56")
def test_serve_prints_a_command_that_works_and_a_second_start_keeps_the_task(served: Live) -> None:
    lines = served.log.splitlines()
    assert served.url in lines[0]
    (command,) = [line for line in lines if line.startswith("curl")]
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    task = json.loads(done.stdout)
    assert (task["user_id"], task["title"]) == ("demo", "My first task")

    served.stop()
    started = time.monotonic()
    served.start()
    assert time.monotonic() - started < 10
    token = re.findall(r"-H 'Authorization: Bearer ([^']+)'", served.log)[-1]
    assert served.request("GET", "/api/demo/tasks", token=token).json() == [task]


def test_serve_takes_a_copy_of_the_example_with_what_is_optional_left_empty() -> None:
    with fresh_database() as database_url:
        variables = environment(database_url, HOST="", WEB_CONCURRENCY="", GUNICORN_THREADS="")
        service = Live(variables, [sys.executable, "manage.py", "serve"]).start()
        service.stop()
        service.log_file.unlink()


@pytest.mark.promise("P-56")
def test_serve_on_a_taken_port_is_one_line(live: Live) -> None:
    done = manage(live.variables, "serve", expect=1)
    (line,) = (done.stdout + done.stderr).splitlines()
    assert str(live.port) in line


@pytest.mark.promise("P-56")
@pytest.mark.parametrize("database_url", ["postgresql://nobody:pw@127.0.0.1:{port}/none", "sqlite:////none/x.sqlite3"])
@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_database_out_of_reach_is_one_line(command: str, database_url: str) -> None:
    variables = environment(database_url.format(port=free_port()))
    done = manage(variables, command, expect=1)
    (line,) = (done.stdout + done.stderr).splitlines()
    assert line.startswith("Database: ")
    assert ":pw" not in line


@pytest.mark.promise("P-38")
def test_gunicorn_serves_without_a_database_and_says_so() -> None:
    service = Live(environment(f"postgresql://nobody:pw@127.0.0.1:{free_port()}/none")).start()
    try:
        for path, token in [("/readyz", ""), ("/api/alice/tasks", sign("alice"))]:
            answer = service.request("GET", path, token=token)
            assert (answer.status, problem(answer.body)) == (503, "service_unavailable")
            assert answer.headers["Retry-After"]
        assert service.request("GET", "/api/alice/tasks").status == 401
        assert service.request("GET", "/healthz").status == 200
    finally:
        service.stop()
        service.log_file.unlink()


@pytest.mark.promise("P-98")
def test_sixteen_writers_at_once_and_their_readers_meet_no_503(live: Live) -> None:
    """On SQLite they wait for their turn."""

    def write_and_read(_: int) -> set[int]:
        someone = User(live)
        statuses = set()
        for _ in range(20):
            task = f"{someone.tasks}/{someone.create('Milk')['id']}"
            for method, path, body in [
                ("PUT", task, {"title": "Bread"}),
                ("PATCH", f"{task}/complete", {"completed": True}),
                ("GET", someone.tasks, None),
                ("DELETE", task, None),
            ]:
                statuses.add(someone.request(method, path, body).status)
        return statuses

    with ThreadPoolExecutor(16) as pool:
        assert set().union(*pool.map(write_and_read, range(16))) == {200, 204}
