"""The service on a database that is not the one it needs, and what an operator then reads."""

import re
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings

from tests.live import GUNICORN, ROOT, Answer, Live, User, environment, free_port, fresh_database, manage

POSTGRESQL = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2] != "sqlite3"
on_postgresql = pytest.mark.skipif(not POSTGRESQL, reason="SQLite has neither encodings nor roles")
on_sqlite = pytest.mark.skipif(POSTGRESQL, reason="a file")

WRITES = [("POST", "", {"title": "Bread"}), ("PUT", "/{id}", {"title": "Bread"}), ("DELETE", "/{id}", None),
          ("PATCH", "/{id}/complete", None)]  # fmt: skip
READS = [("GET", "", None), ("GET", "?search=milk&completed=false", None), ("GET", "/{id}", None)]


@pytest.fixture
def database_url() -> Iterator[str]:
    with fresh_database() as url:
        yield url


def run_sql(url: str, *statements: str) -> None:
    if POSTGRESQL:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]
        return
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def beside(url: str) -> str:
    """The address of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path="/postgres"))


def allow_connections(url: str, allowed: bool) -> None:
    if POSTGRESQL:
        run_sql(beside(url), f"ALTER DATABASE {name_of(url)} ALLOW_CONNECTIONS {allowed}")
        return
    file = Path("/" + name_of(url))
    away = file.with_suffix(".away")
    if allowed:
        file.rmdir()
        away.rename(file)
    else:
        file.rename(away)
        file.mkdir()


@contextmanager
def serving(url: str) -> Iterator[Live]:
    """One worker, so that what each process says once is there once."""
    service = Live(environment(url, WEB_CONCURRENCY="1")).start()
    try:
        yield service
    finally:
        service.stop()
        service.log_file.unlink()


def sign_in_to_admin(service: Live) -> Answer:
    page = service.request("GET", "/admin/login/")
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    token = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.body)
    assert token
    form = f"username=root&password=x&csrfmiddlewaretoken={token[1].decode()}".encode()
    headers = {"Content_Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    return service.request("POST", "/admin/login/", form, **headers)


def assert_unavailable(service: Live, answer: Answer, *reason: str) -> None:
    """503, and one line of the log has its id and the reason."""
    assert answer.status == 503, answer.body
    problem = answer.json()
    assert problem["code"] == "service_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert "tasks_task" not in problem["detail"]
    request_id = problem["request_id"]
    said, request = [line for line in service.log.splitlines() if f"[{request_id}]" in line]
    assert f" todo_project.request [{request_id}] " in request
    for part in reason:
        assert part in said


# --- Encoding -----------------------------------------------------------------------------------------------------


def encode(url: str, encoding: str) -> None:
    """Make the database anew in this encoding."""
    name = name_of(url)
    run_sql(
        beside(url),
        f"DROP DATABASE {name}",
        f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    )


@pytest.mark.promise("P-85")
@on_postgresql
@pytest.mark.parametrize("encoding", ["WIN1252", "SQL_ASCII", "LATIN1"])
def test_an_encoding_that_does_not_hold_every_text_is_refused_by_name(database_url: str, encoding: str) -> None:
    encode(database_url, encoding)
    variables = environment(database_url)
    for command in ("migrate", "serve"):
        done = manage(variables, command, expect=1)
        (line,) = (done.stdout + done.stderr).splitlines()[-1:]
        assert line.startswith("Configuration: ") and encoding in line and "ENCODING 'UTF8' TEMPLATE template0" in line
    started = subprocess.run(GUNICORN, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=30)
    assert started.returncode != 0
    assert line in started.stderr
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == []


@pytest.mark.promise("P-38")
@on_postgresql
def test_an_encoding_that_shows_only_after_the_start_is_503(database_url: str) -> None:
    encode(database_url, "WIN1252")
    allow_connections(database_url, False)
    with serving(database_url) as service:
        allow_connections(database_url, True)
        user = User(service)
        for answer in (user.request("GET", user.tasks), service.request("GET", "/readyz"), sign_in_to_admin(service)):
            assert_unavailable(service, answer, "has the encoding WIN1252")


# --- Migrations ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-38")
@pytest.mark.promise("P-53")
def test_until_it_is_migrated_every_request_is_503_and_then_it_serves(database_url: str) -> None:
    with serving(database_url) as service:
        assert service.log.count("The database is not migrated (manage.py migrate): it lacks ") == 1
        user = User(service)
        assert_unavailable(service, service.request("GET", "/readyz"), "not migrated (manage.py migrate)")
        for method, path, body in WRITES + READS:
            answer = user.request(method, user.tasks + path.format(id=1), body)
            assert_unavailable(service, answer, "tasks_task", "not migrated (manage.py migrate)", "such as tasks.0")
        assert_unavailable(service, sign_in_to_admin(service), "axes_accessattempt", "not migrated (manage.py migrate)")
        assert service.request("GET", "/healthz").status == 200
        assert service.request("GET", user.tasks).status == 401
        assert service.request("GET", "/api/bob/tasks", token=user.token).status == 403
        manage(service.variables, "migrate", "--noinput")
        assert service.request("GET", "/readyz").status == 200
        assert user.list() == []
        user.create("Milk")


@pytest.mark.promise("P-38")
@pytest.mark.promise("P-53")
def test_a_release_that_is_ahead_of_its_migration_is_503_and_a_bug_is_500(database_url: str) -> None:
    """A column that is not there: the next release's migration is due, or our SQL is wrong."""
    manage(environment(database_url), "migrate", "--noinput")
    run_sql(
        database_url,
        "ALTER TABLE tasks_task RENAME COLUMN description TO notes",
        "CREATE TABLE kept AS SELECT * FROM django_migrations WHERE app = 'tasks'",
        "DELETE FROM django_migrations WHERE app = 'tasks'",
    )
    with serving(database_url) as service:
        user = User(service)
        assert_unavailable(service, service.request("GET", "/readyz"), "not migrated")
        for method, path, body in READS + WRITES[:2]:
            assert_unavailable(service, user.request(method, user.tasks + path.format(id=1), body), "not migrated")
        run_sql(
            database_url,
            "INSERT INTO django_migrations (app, name, applied) SELECT app, name, applied FROM kept",
        )
        for method, path, body in READS + WRITES[:2]:
            answer = user.request(method, user.tasks + path.format(id=1), body)
            assert (answer.status, answer.json()["code"]) == (500, "internal_error")


def test_a_release_that_was_rolled_back_serves_and_says_so_once(database_url: str) -> None:
    manage(environment(database_url), "migrate", "--noinput")
    run_sql(
        database_url,
        "INSERT INTO django_migrations (app, name, applied) VALUES ('tasks', '9999_later', CURRENT_TIMESTAMP)",
        "INSERT INTO django_migrations (app, name, applied) VALUES ('gone', '0001_initial', CURRENT_TIMESTAMP)",
    )
    with serving(database_url) as service:
        user = User(service)
        for _ in range(3):
            assert service.request("GET", "/readyz").status == 200
            user.create("Milk")
        said = [line for line in service.log.splitlines() if "9999_later" in line]
        assert len(said) == 1 and " WARNING " in said[0] and "gone" not in said[0]
    manage(environment(database_url), "migrate", "--noinput")


# --- No writes ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-38")
@on_postgresql
def test_a_server_that_takes_no_writes_serves_reads_and_says_why_not_writes(database_url: str) -> None:
    manage(environment(database_url), "migrate", "--noinput")
    with serving(database_url) as service:
        user = User(service)
        task = user.create("Milk")
        name = name_of(database_url)
        run_sql(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on", DISCONNECT)
        assert_reads_go_on(user, task, "ReadOnlySqlTransaction (SQLSTATE 25006) 'cannot execute ")


DISCONNECT = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"  # fmt: skip


@pytest.mark.promise("P-38")
@on_postgresql
def test_a_role_that_may_not_write_serves_reads_and_says_why_not_writes(database_url: str) -> None:
    manage(environment(database_url), "migrate", "--noinput")
    with serving(database_url) as service:
        task = User(service, "alice").create("Milk")
    with role(database_url) as (reader, url):
        with serving(url) as service:
            user = User(service, "alice")
            assert_unavailable(service, service.request("GET", "/readyz"), "permission denied for table django_migr")
            assert_unavailable(service, user.request("GET", user.tasks), "permission denied for table tasks_task")
            run_sql(database_url, f"GRANT SELECT ON tasks_task, django_migrations TO {reader}")
            assert_reads_go_on(user, task, "InsufficientPrivilege (SQLSTATE 42501) 'permission denied for table tasks")
        done = manage(environment(url), "migrate", "--plan", expect=0)
        assert "No planned migration operations" in done.stdout
        run_sql(database_url, f"REVOKE SELECT ON django_migrations FROM {reader}")
        done = manage(environment(url), "migrate", "--noinput", expect=1)
        assert done.stderr.splitlines() == ["Database: permission denied for table django_migrations"]


@on_postgresql
def test_a_role_that_may_make_no_table_is_one_line_at_migrate(database_url: str) -> None:
    """As it is for a new role of PostgreSQL 15 and later, which does not own the schema."""
    with role(database_url) as (_, url):
        done = manage(environment(url), "migrate", "--noinput", expect=1)
    assert done.stderr.startswith("Database: ") and "permission denied for schema public" in done.stderr
    assert "Traceback" not in done.stderr and "hunter22" not in done.stderr


def assert_reads_go_on(user: User, task: dict, reason: str) -> None:
    assert user.live.request("GET", "/readyz").status == 200
    for method, path, body in WRITES:
        assert_unavailable(user.live, user.request(method, user.tasks + path.format(id=task["id"]), body), reason)
    for method, path, _ in READS:
        assert user.request(method, user.tasks + path.format(id=task["id"])).status == 200
    assert user.list() == [task]


@contextmanager
def role(database_url: str, options: str = "") -> Iterator[tuple[str, str]]:
    """A role without any rights, and the database's address with it."""
    name = f"reader_{uuid.uuid4().hex}"
    run_sql(database_url, f"CREATE ROLE {name} LOGIN PASSWORD 'hunter22' {options}")
    try:
        parts = urlsplit(database_url)
        yield name, urlunsplit(parts._replace(netloc=f"{name}:hunter22@{parts.netloc.rpartition('@')[2]}"))
    finally:
        run_sql(database_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


# --- Not to be reached --------------------------------------------------------------------------------------------


@pytest.mark.promise("P-38")
def test_a_start_without_the_database_serves_once_it_is_there(database_url: str) -> None:
    manage(environment(database_url), "migrate", "--noinput")
    allow_connections(database_url, False)
    with serving(database_url) as service:
        user = User(service)
        reason = "not currently accepting connections" if POSTGRESQL else "unable to open database file"
        assert re.search(rf"ERROR todo_project.database \[-\] Database: .*{reason}", service.log)
        assert_unavailable(service, service.request("GET", "/readyz"), reason)
        assert_unavailable(service, user.request("GET", user.tasks), reason)
        allow_connections(database_url, True)
        assert service.request("GET", "/readyz").status == 200
        assert user.list() == []


@pytest.mark.promise("P-83")
@on_postgresql
def test_the_log_names_host_and_cause_and_no_password(database_url: str) -> None:
    port = free_port()
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    causes = {
        f"postgresql://todo:hunter22@127.0.0.1:{port}/todo": f'127.0.0.1", port {port} failed: Connection refused',
        "postgresql://todo:hunter22@database.invalid/todo": "database.invalid",
        urlunsplit(parts._replace(netloc=f"nobody:hunter22@{host}")): 'role "nobody" does not exist',
        urlunsplit(parts._replace(path="/nowhere")): 'database "nowhere" does not exist',
    }
    with role(database_url, "CONNECTION LIMIT 0") as (name, url):
        for address, cause in (causes | {url: f'too many connections for role "{name}"'}).items():
            with serving(address) as service:
                user = User(service)
                assert_unavailable(service, user.request("GET", user.tasks), cause)
                assert_unavailable(service, service.request("GET", "/readyz"), cause)
                assert_unavailable(service, sign_in_to_admin(service), cause)
                assert "hunter22" not in service.log and "Traceback" not in service.log


@on_sqlite
def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear Alice, " * 1000)
    url = f"sqlite:///{quote(str(file))}"
    done = manage(environment(url), "migrate", expect=1)
    assert done.stderr.splitlines() == ["Database: file is not a database"]
    with serving(url) as service:
        user = User(service)
        for answer in (user.request("GET", user.tasks), service.request("GET", "/readyz")):
            assert_unavailable(service, answer, "file is not a database")
    assert file.read_text() == "Dear Alice, " * 1000


@pytest.mark.promise("P-38")
@on_sqlite
def test_a_full_disk_serves_reads_and_says_why_not_writes(database_url: str) -> None:
    manage(environment(database_url), "migrate", "--noinput")
    with serving(database_url) as service:
        task = User(service, "alice").create("Milk")
    # As on a full disk, no file may grow further than by a few pages.
    blocks = (Path("/" + name_of(database_url)).stat().st_size + 64 * 1024) // 512
    command = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh", *GUNICORN]
    limited = Live(environment(database_url, WEB_CONCURRENCY="1"), command).start()
    try:
        user = User(limited, "alice")
        answer = user.request("GET", user.tasks)
        for _ in range(200):
            answer = user.request("POST", user.tasks, {"title": "Bread", "description": "x" * 5000})
            if answer.status != 201:
                break
        assert_unavailable(limited, answer, "sqlite3.OperationalError")
        assert re.search("disk|full", limited.log)
        assert user.request("GET", f"{user.tasks}/{task['id']}").json() == task
    finally:
        limited.stop()
        limited.log_file.unlink()
