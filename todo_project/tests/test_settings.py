"""The environment: what is missing, weak or wrong stops the start in one line that names it."""

import codecs
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from corsheaders.checks import check_settings
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import ConnectionHandler
from django.test import Client
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from todo_project.tests.environment import BASE_DIR, MINIMUM, SECRET, load, run

S32 = SECRET  # 32 bytes exactly.
DEFAULT = "better-auth-secret-12345678901234567890"

# Of each variable the values that could never work, by the sentence that stops the start. {} is the value.
REFUSED: dict[str, dict[str, list[str]]] = {
    "DATABASE_URL": {
        "DATABASE_URL is not set: postgresql://user:password@host/name, or sqlite:///db.sqlite3": ["", "  "],
        "DATABASE_URL has quotes around it that are part of the value: write it without them.": [
            "'postgresql://u:hunter22@h/d'",
            '"postgresql://u:hunter22@h/d"',
        ],
        "DATABASE_URL must begin with postgresql:// or sqlite:///: this service runs on PostgreSQL or SQLite.": [
            "db.sqlite3",
            "u:hunter22@h/d",
            "postgresql:u:hunter22@h/d",
            "jdbc:postgresql://h/d?user=u&password=hunter22",
            "psql 'postgresql://u:hunter22@h/d'",
        ],
        "DATABASE_URL must begin with postgresql:// or sqlite:///, not with mysql://: this service runs on PostgreSQL or SQLite.": [
            "mysql://u:hunter22@h/d"
        ],
        "DATABASE_URL must begin with postgresql:// or sqlite:///, not with postgis://: this service runs on PostgreSQL or SQLite.": [
            "postgis://u:hunter22@h/d"
        ],
        "DATABASE_URL must begin with postgresql:// or sqlite:///, not with postgresql+psycopg://: this service runs on PostgreSQL or SQLite.": [
            "postgresql+psycopg://u:hunter22@h/d"
        ],
        "DATABASE_URL must begin with postgresql:// or sqlite:///, not with prisma+postgres://: this service runs on PostgreSQL or SQLite.": [
            "prisma+postgres://accelerate.example/?api_key=hunter22"
        ],
        "DATABASE_URL must look like postgresql://user:password@host:5432/name. In user and password write @ as %40, "
        ": as %3A, / as %2F, ? as %3F, # as %23 and % as %25; several hosts are written a:5432,b:5432.": [
            "postgresql://u:hunter22@h:port/d",
            "postgresql://u:hunter22@h:99999/d",
            "postgresql://u:hunter22@a:5432,b:port/d",
            "postgresql://u:hunter22@a:5432,/d",
            "postgresql://hunter22:5432,u/x@h/d",
            "postgresql://u:hunter22@[h/d",
            "postgresql://u:hunter#22@h/d",
            "postgresql://u:1#hunter22@h/d",
            "postgresql://u:hunter/22@h/d",
            "postgresql://u:hunter?22@h/d",
            "postgresql://u:hunter22%FF@h/d",
            "postgresql://u:hunter22%00@h/d",
        ],
        "DATABASE_URL must name a database of 1 to 63 characters: postgresql://user:password@host/name": [
            "postgresql://u:hunter22@h",
            "postgresql://u:hunter22@h/",
            "postgresql://u:hunter22@h?sslmode=require",
            f"postgresql://u:hunter22@h/{'d' * 64}",
        ],
        "DATABASE_URL must do without schema: PostgreSQL's client library knows no such option.": [
            "postgresql://u:hunter22@h/d?schema=public",
            "postgresql://u:hunter22@h/d?sslmode=require&schema=public",
        ],
        "DATABASE_URL must do without connection_limit, pgbouncer: PostgreSQL's client library knows no such option.": [
            "postgresql://u:hunter22@h/d?pgbouncer=true&connection_limit=1"
        ],
        "DATABASE_URL must do without amp;channel_binding: PostgreSQL's client library knows no such option.": [
            "postgresql://u:hunter22@h/d?sslmode=require&amp;channel_binding=require"
        ],
        "DATABASE_URL must do without ssl: PostgreSQL's client library knows no such option.": [
            "postgresql://u:hunter22@h/d?ssl=true"
        ],
        "DATABASE_URL must do without prepare_threshold: PostgreSQL's client library knows no such option.": [
            "postgresql://u:hunter22@h/d?prepare_threshold=5"
        ],
        "DATABASE_URL must do without pool: each thread keeps one connection, with PostgreSQL's own isolation level.": [
            "postgresql://u:hunter22@h/d?pool=true",
            "postgresql://u:hunter22@h/d?pool=false",
        ],
        "DATABASE_URL must do without isolation_level: each thread keeps one connection, with PostgreSQL's own isolation level.": [
            "postgresql://u:hunter22@h/d?isolation_level=4"
        ],
        "DATABASE_URL must have the option sslmode only once.": [
            "postgresql://u:hunter22@h/d?sslmode=require&sslmode=verify-full"
        ],
        "DATABASE_URL must have a whole number for the option connect_timeout.": [
            "postgresql://u:hunter22@h/d?connect_timeout=5s"
        ],
        "DATABASE_URL must have a whole number for the option keepalives.": [
            "postgresql://u:hunter22@h/d?keepalives=true"
        ],
        'DATABASE_URL must have other options: invalid sslmode value: "requir".': [
            "postgresql://u:hunter22@h/d?sslmode=requir"
        ],
        'DATABASE_URL must have other options: invalid sslmode value: "Require".': [
            "postgresql://u:hunter22@h/d?sslmode=Require"
        ],
        'DATABASE_URL must have other options: weak sslmode "require" may not be used with sslrootcert=system (use "verify-full").': [
            "postgresql://u:hunter22@h/d?sslmode=require&sslrootcert=system"
        ],
        'DATABASE_URL must have other options: invalid channel_binding value: "yes".': [
            "postgresql://u:hunter22@h/d?channel_binding=yes"
        ],
        'DATABASE_URL must have other options: invalid target_session_attrs value: "master".': [
            "postgresql://u:hunter22@h/d?target_session_attrs=master"
        ],
        "DATABASE_URL must name a file alone after three slashes, sqlite:///db.sqlite3, or four for an absolute path: "
        "SQLite has no host, takes no options here, and in memory each thread would have a database of its own.": [
            "sqlite://",
            "sqlite:///",
            "sqlite://:memory:",
            "sqlite:///:memory:",
            "sqlite://db.sqlite3",
            "sqlite://data/db.sqlite3",
            "sqlite:///db.sqlite3?mode=ro",
            "sqlite:///db.sqlite3?timeout=20",
        ],
    },
    "DJANGO_SECRET_KEY": {
        "DJANGO_SECRET_KEY is not set: openssl rand -base64 48": ["", "  "],
        "DJANGO_SECRET_KEY must have at least 32 bytes: openssl rand -base64 32": [S32[:31], f" {S32[:31]} "],
        "DJANGO_SECRET_KEY is a well-known or trivial secret: openssl rand -base64 32": ["x" * 64],
        "DJANGO_SECRET_KEY has quotes around it that are part of the value: write it without them.": [f"'{S32}'"],
        "DJANGO_SECRET_KEY is not UTF-8: write it anew.": [f"{S32}\udcff"],
    },
    "DJANGO_SECRET_KEY_FALLBACKS": {
        "DJANGO_SECRET_KEY_FALLBACKS must have at least 32 bytes: openssl rand -base64 32": [S32[:31], f"{S32},short"],
        "DJANGO_SECRET_KEY_FALLBACKS is a well-known or trivial secret: openssl rand -base64 32": ["x" * 64],
    },
    "DJANGO_ALLOWED_HOSTS": {
        "DJANGO_ALLOWED_HOSTS is not set: the host names this service answers to, with commas between.": ["", " , "],
        "DJANGO_ALLOWED_HOSTS has quotes around it that are part of the value: write it without them.": [
            '"todo.example.com"',
            "'*'",
        ],
        "DJANGO_ALLOWED_HOSTS must list host names such as todo.example.com, with commas between, not {}: "
        "write letters, digits, hyphens and dots (xn--... for others), without scheme, port and path.": [
            "https://todo.example.com",
            "todo.example.com:8000",
            "localhost:8000",
            "todo.example.com/",
            "todo.example.com/api",
            "a.example b.example",
            "a.example;b.example",
            '["a.example"]',
            "bücher.example",
            "todo.*.com",
            "todo.example.*",
            "a..example.com",
            "..example.com",
            ".",
            "10.0.0.0/8",
            "[::1]:8000",
            "::g",
            "fe80::1%eth0",
        ],
        "DJANGO_ALLOWED_HOSTS must list host names such as todo.example.com, with commas between, not '*.example.com': "
        "write .example.com for a domain with all its subdomains.": ["*.example.com"],
        "DJANGO_ALLOWED_HOSTS must list host names such as todo.example.com, with commas between, not {}: "
        "Django answers to no name with an underscore, so give the service one with a hyphen.": [
            "todo_backend",
            "todo_backend:8000",
        ],
        "DJANGO_ALLOWED_HOSTS must list host names such as todo.example.com, with commas between, not 'b.example:80': "
        "write letters, digits, hyphens and dots (xn--... for others), without scheme, port and path.": [
            "a.example, b.example:80"
        ],
        "DJANGO_ALLOWED_HOSTS must list host names such as todo.example.com, with commas between, "
        "not an address with @ in it: "
        "write letters, digits, hyphens and dots (xn--... for others), without scheme, port and path.": [
            "https://u:hunter22@todo.example.com"
        ],
    },
    "BETTER_AUTH_SECRET": {
        "No way to verify a token: set BETTER_AUTH_SECRET (the frontend's) or BETTER_AUTH_URL (its address).": [
            "",
            "  ",
        ],
        "BETTER_AUTH_SECRET must have at least 32 bytes: openssl rand -base64 32": [S32[:31]],
        "BETTER_AUTH_SECRET is a well-known or trivial secret: openssl rand -base64 32": [
            DEFAULT,
            DEFAULT.upper(),
            f" {DEFAULT}\n",
            "your-super-secret-key-change-in-production",
            "ab" * 20,
        ],
        "BETTER_AUTH_SECRET is a key or certificate, not a secret: openssl rand -base64 32": [
            f"-----BEGIN PUBLIC KEY-----\n{S32}\n-----END PUBLIC KEY-----",
            f'{{"kty": "OKP", "crv": "Ed25519", "x": "{S32}"}}',
        ],
        "BETTER_AUTH_SECRET has quotes around it that are part of the value: write it without them.": [
            f"'{S32}'",
            f'"{S32}"\n',
        ],
        "BETTER_AUTH_SECRET is not UTF-8: write it anew.": [f"{S32}\udcff"],
    },
    "BETTER_AUTH_SECRETS": {
        'BETTER_AUTH_SECRETS must look like "2:new,1:old": a number, a colon, a secret.': [
            S32,
            f"x:{S32}",
            ",",
            f"2:{S32},{S32[::-1]}",
        ],
        "BETTER_AUTH_SECRETS must have at least 32 bytes: openssl rand -base64 32": [f"2:{S32},1:{S32[:31]}"],
        "BETTER_AUTH_SECRETS is a well-known or trivial secret: openssl rand -base64 32": [f"2:{S32},1:{DEFAULT}"],
        "BETTER_AUTH_SECRETS is a key or certificate, not a secret: openssl rand -base64 32": [f"1:ssh-ed25519 {S32}"],
        "BETTER_AUTH_SECRETS has quotes around it that are part of the value: write it without them.": [f'"1:{S32}"'],
    },
    "BETTER_AUTH_URL": {
        "BETTER_AUTH_URL must be an http or https address such as https://app.example.com, in ASCII and without "
        "a password, not {}.": [
            "app.example.com",
            "localhost:3000",
            "ftp://app.example.com",
            "https://",
            "https:/app.example.com",
            "https://app.example.com:port",
            "https://app.example.com:0",
            "https://[app",
            "https://app example.com",
            "https://app.example.com/a b",
            "https://a.example,https://b.example",
            "https://bücher.example",
            "https://*.example.com",
        ],
        "BETTER_AUTH_URL must be an http or https address such as https://app.example.com, in ASCII and without "
        "a password, not an address with @ in it.": ["https://u:hunter22@app.example.com"],
        "BETTER_AUTH_URL must be the frontend's address without ? and #, such as https://app.example.com; "
        "the address of its keys belongs in BETTER_AUTH_JWKS_URL.": [
            "https://app.example.com?next=/",
            "https://app.example.com/#/login",
            "https://app.example.com/api/auth/jwks",
        ],
        "BETTER_AUTH_URL has quotes around it that are part of the value: write it without them.": [
            '"https://app.example.com"'
        ],
    },
    "BETTER_AUTH_JWKS_URL": {
        "BETTER_AUTH_JWKS_URL must be an http or https address such as https://app.example.com, in ASCII and without "
        "a password, not {}.": [
            "file:///etc/passwd",
            "app.example.com/api/auth/jwks",
            "https://app.example.com/jw ks",
            "https://app.example.com:port/jwks",
        ],
        "BETTER_AUTH_JWKS_URL must be an http or https address such as https://app.example.com, in ASCII and without "
        "a password, not an address with @ in it.": ["https://u:hunter22@app.example.com/jwks"],
    },
    "BETTER_AUTH_ISSUER": {
        "BETTER_AUTH_ISSUER must be one issuer or audience exactly as the tokens carry it, such as "
        "https://app.example.com, not {}.": [
            "https://a.example https://b.example",
            "https://a.example,https://b.example",
            '["https://a.example"]',
        ],
    },
    "BETTER_AUTH_AUDIENCE": {
        "BETTER_AUTH_AUDIENCE must be one issuer or audience exactly as the tokens carry it, such as "
        "https://app.example.com, not {}.": ["https://a.example, https://b.example"],
        "BETTER_AUTH_AUDIENCE has quotes around it that are part of the value: write it without them.": ["'todo'"],
    },
    "CORS_ALLOWED_ORIGINS": {
        "CORS_ALLOWED_ORIGINS must list origins as browsers send them: write https://app.example.com.": [
            "https://app.example.com/",
            "https://app.example.com:443",
            "https://App.Example.com",
            "HTTPS://app.example.com",
            "https://app.example.com/todo",
            "https://app.example.com?x",
            "https://u:hunter22@app.example.com",
            "http://localhost:3000,https://app.example.com/",
        ],
        "CORS_ALLOWED_ORIGINS must list origins as browsers send them: write http://localhost:3000.": [
            "http://localhost:03000"
        ],
        "CORS_ALLOWED_ORIGINS must list origins as browsers send them: write http://app.example.com.": [
            "http://app.example.com:80"
        ],
        "CORS_ALLOWED_ORIGINS must list origins as browsers send them: write http://[::1]:3000.": [
            "http://[0:0:0:0:0:0:0:1]:3000"
        ],
        "CORS_ALLOWED_ORIGINS must list origins as browsers send them: write tauri://localhost.": [
            "tauri://localhost/",
            "Tauri://localhost",
        ],
        "CORS_ALLOWED_ORIGINS must list origins such as https://app.example.com or tauri://localhost, with commas "
        "between, not {}: each with its scheme, in ASCII (xn--...), and neither * nor null nor file://.": [
            "*",
            "null",
            "file://",
            "app.example.com",
            "localhost:3000",
            "//app.example.com",
            "https:/app.example.com",
            "https://",
            "tauri://",
            "https://*.vercel.app",
            "chrome-extension://*",
            "https://a.example https://b.example",
            '["https://app.example.com"]',
            "https://bücher.example",
            "https://[app",
            "http://[fe80::1%eth0]",
            "http://127.1:3000",
            "https://app.example.com:port",
            "https://app.example.com:0",
            "https://app.example.com:99999",
            "ftp://app.example.com",
            "wss://app.example.com",
        ],
        "CORS_ALLOWED_ORIGINS has quotes around it that are part of the value: write it without them.": [
            '"http://localhost:3000"'
        ],
    },
    "BETTER_AUTH_SIGN_IN": {
        "BETTER_AUTH_SIGN_IN needs BETTER_AUTH_URL, the frontend's address on the same site.": ["true", "True"],
        "BETTER_AUTH_SIGN_IN must be false or true, not {}.": ["yes", "1", "on"],
    },
    "DJANGO_HTTPS": {
        "DJANGO_HTTPS must be false or true, not {}.": ["yes", "1", "on"],
        "DJANGO_HTTPS has quotes around it that are part of the value: write it without them.": ["'true'"],
    },
    "PREPARED_STATEMENTS": {"PREPARED_STATEMENTS must be auto, on or off, not {}.": ["true", "yes"]},
    "DATABASE_TIMEOUT": {
        "DATABASE_TIMEOUT must be a whole number from 1 to 60, not {}.": ["0", "61", "-1", "2.5", "10s", "10000"]
    },
    "STATEMENTS_BY_CURSOR": {"STATEMENTS_BY_CURSOR must be false or true, not {}.": ["yes", "1"]},
    "THROTTLE_RATE": {
        "THROTTLE_RATE must look like 600/minute (second, minute, hour or day), not {}.": [
            "600",
            "0/minute",
            "-1/minute",
            "1.5/minute",
            "many/minute",
            "600/min",
            "10/fortnight",
            f"{'1' * 5000}/day",
        ]
    },
    "THROTTLE_STORAGE": {
        "THROTTLE_STORAGE must look like redis://host:6379/0 or rediss://user:password@host:6379/0, with options that "
        "Redis's client knows.": [
            "localhost:6379",
            "http://localhost:6379",
            "redis://",
            "redis://host:port",
            "redis://redis..internal:6379/0",
            f"redis://{'a' * 64}:6379/0",
            "redis://host/name",
            "redis://host/0?db=x",
            "redis://host/0?pool=1",
            "memcached://host",
            "redis://:hunter22@host:6379/x",
            "redis://:hunter22:6379/0",
            "redis://host:6379/0?password=hunter22&pool=1",
        ],
    },
    "TRUSTED_PROXIES": {
        "TRUSTED_PROXIES must be a whole number from 0 to 10, not {}.": ["-1", "11", "true", "127.0.0.1", "*"]
    },
    "ADMIN_PATH": {
        "ADMIN_PATH must be one word of letters, digits, - and _ that no other page has, such as admin, not {}.": [
            "/",
            "a/b",
            "/admin/",
            "api",
            "login",
            "static",
            "bücher",
            "admin.*",
        ]
    },
    "LOG_FORMAT": {"LOG_FORMAT must be plain or json, not {}.": ["text", "true"]},
    "HOST": {
        "HOST must be an address of this machine, such as 127.0.0.1, 0.0.0.0, ::1 or ::, or its host name, not {}; "
        "the port belongs in PORT.": [
            "127.0.0.1:8000",
            "[::1]:8000",
            "http://127.0.0.1",
            "*",
            "256.1.1.1",
            "127.0.0",
            "::1::2",
            "fe80::1%eth0",
            "unix:/tmp/todo.sock",
            "a b",
            "bücher.example",
        ],
        "HOST has quotes around it that are part of the value: write it without them.": ["'::1'"],
    },
    "PORT": {
        "PORT must be a whole number from 1 to 65535, not {}.": [
            "0",
            "65536",
            "http",
            "8000/tcp",
            "-1",
            "80.5",
            "1" * 5000,
        ]
    },
    "WEB_CONCURRENCY": {"WEB_CONCURRENCY must be a whole number from 1 to 1000, not {}.": ["0", "1001", "auto"]},
    "GUNICORN_THREADS": {"GUNICORN_THREADS must be a whole number from 1 to 1000, not {}.": ["0", "1001", "abc"]},
}
EACH_REFUSED = [
    (name, value, sentence)
    for name, sentences in REFUSED.items()
    for sentence, values in sentences.items()
    for value in values
]


@pytest.mark.promise("P-57")
@pytest.mark.parametrize(
    ("name", "value", "sentence"), EACH_REFUSED, ids=[f"{name}={value!r:.60}" for name, value, _ in EACH_REFUSED]
)
def test_value_that_could_never_work_stops_the_start_and_says_what_to_write(
    name: str, value: str, sentence: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as stopped:
        load(**{name: value})
    said = str(stopped.value)
    assert said == sentence.replace("{}", repr(value))
    assert "\n" not in said and name in said
    assert not any(secret in said for secret in (SECRET, DEFAULT, "hunter22"))


def test_each_variable_has_values_that_stop_the_start() -> None:
    assert set(REFUSED) == set(re.findall(r"^([A-Z_]+)=", (BASE_DIR / ".env.example").read_text(), re.MULTILINE))


@pytest.mark.promise("P-57")
@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("manage.py", "check"), 1),
        (("manage.py", "serve"), 1),
        (("-m", "gunicorn", "-c", "gunicorn.conf.py", "todo_project.wsgi"), 1),
        (("-c", "import todo_project.wsgi"), 4),
    ],
)
@pytest.mark.parametrize(
    ("name", "value"), [("GUNICORN_THREADS", "abc"), ("HOST", "127.0.0.1:8000"), ("PORT", "http"), ("HOST", "'::1'")]
)
def test_every_entrance_refuses_in_one_line(command: tuple[str, ...], status: int, name: str, value: str) -> None:
    done = run(*command, **{"WEB_CONCURRENCY": "1", name: value})  # gunicorn itself takes no empty WEB_CONCURRENCY.
    assert done.returncode == status
    assert re.fullmatch(rf"Configuration: {name} [^\n]+\n", done.stderr), done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["migrate", "issue_token", "runserver", "makemigrations", "shell"])
def test_every_command_refuses(command: str) -> None:
    done = run("manage.py", command, DJANGO_SECRET_KEY="")
    assert done.returncode == 1
    assert done.stderr.startswith("Configuration: DJANGO_SECRET_KEY") and done.stderr.count("\n") == 1


def test_wsgi_refuses_in_one_line_with_the_status_that_stops_gunicorn() -> None:
    done = run("-c", "import todo_project.wsgi", DATABASE_URL="")
    assert done.returncode == 4
    assert done.stderr.startswith("Configuration: DATABASE_URL") and done.stderr.count("\n") == 1


def test_database_out_of_reach_is_one_line_without_the_password() -> None:
    done = run("manage.py", "migrate", DATABASE_URL="postgresql://u:hunter22@127.0.0.1:9/d")
    assert done.returncode == 1
    assert done.stderr.startswith("Database: ") and done.stderr.count("\n") == 1
    assert "hunter22" not in done.stderr


def test_production_start_needs_no_more_than_four_variables() -> None:
    done = run("manage.py", "check")
    assert (done.returncode, done.stderr) == (0, "")


def test_deployment_checks_are_clean_with_https() -> None:
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", DJANGO_HTTPS="true")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_deployment_checks_would_complain_without_https() -> None:
    assert run("manage.py", "check", "--deploy", "--fail-level", "WARNING").returncode == 1


# --- The file .env --------------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The project in a folder of its own, with a `.env` of its own."""
    for name in ("todo_project", "tasks"):
        shutil.copytree(BASE_DIR / name, tmp_path / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    for name in ("manage.py", "gunicorn.conf.py"):
        shutil.copy(BASE_DIR / name, tmp_path)
    return tmp_path


def check(clone: Path, *command: str, **variables: str) -> tuple[int, str]:
    """The status and what it says, with nothing in the environment but these variables."""
    done = subprocess.run(
        [sys.executable, *(command or ("manage.py", "check"))],
        cwd=clone,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


def lines(**more: str) -> str:
    return "".join(f"{name}={value}\n" for name, value in {**MINIMUM, **more}.items())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_env_file_is_read_with_a_mark_and_with_any_line_ends(clone: Path, encoding: str, end: str) -> None:
    (clone / ".env").write_bytes(lines().replace("\n", end).encode(encoding))
    assert check(clone) == (0, "")


def test_environment_wins_over_env_file(clone: Path) -> None:
    (clone / ".env").write_text(lines(PORT="http"))
    assert check(clone)[0] == 1
    assert check(clone, PORT="8000") == (0, "")
    assert check(clone, PORT="") == (0, "")  # Set to nothing, it keeps the file's value out.


def test_quotes_in_env_file_are_its_syntax(clone: Path) -> None:
    (clone / ".env").write_text(lines(DJANGO_ALLOWED_HOSTS='"todo.example.com"', DJANGO_HTTPS="'true'"))
    assert check(clone) == (0, "")


@pytest.mark.promise("P-57")
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (codecs.BOM_UTF16_LE + lines().encode("utf-16-le"), ".env is not UTF-8 text: save it as UTF-8."),
        (lines().encode("utf-16-le"), ".env is not UTF-8 text: save it as UTF-8."),
        (lines(CORS_ALLOWED_ORIGINS="é").encode("latin-1"), ".env is not UTF-8 text: save it as UTF-8."),
        (
            (lines() + "CORS_ALLOWED_ORIGINS='http://localhost:3000\n").encode(),
            ".env, line 5, must be NAME=value, in quotes at both ends or at none.",
        ),
        (
            ("DJANGO_HTTPS true\n" + lines()).encode(),
            ".env, line 1, must be NAME=value, in quotes at both ends or at none.",
        ),
        (None, ".env cannot be read (Is a directory): it must be a file of NAME=value lines."),
    ],
    ids=["utf-16", "utf-16 without a mark", "latin-1", "one quote", "no equals sign", "a directory"],
)
@pytest.mark.parametrize("command", [("manage.py", "check"), ("-m", "gunicorn", "-c", "gunicorn.conf.py", "x")])
def test_env_file_that_cannot_be_read_stops_the_start(
    clone: Path, content: bytes | None, sentence: str, command: tuple[str, ...]
) -> None:
    if content is None:
        (clone / ".env").mkdir()
    else:
        (clone / ".env").write_bytes(content)
    # Everything is in the environment too: the file is not passed over even then.
    assert check(clone, *command, **MINIMUM) == (1, f"Configuration: {sentence}\n")


def test_debug_cannot_be_switched_on() -> None:
    assert "DEBUG" not in load(DEBUG="true", DJANGO_DEBUG="true")


# --- Host names and origins -----------------------------------------------------------------------------------


@pytest.mark.promise("P-40")
@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("todo.example.com", "todo.example.com"),
        ("todo.example.com", "todo.example.com:8000"),
        ("Todo.Example.com", "todo.example.com"),
        ("todo.example.com.", "todo.example.com"),
        ("todo.example.com.", "todo.example.com."),
        (".example.com", "example.com"),
        (".example.com", "todo.example.com"),
        ("a.example, b.example", "b.example"),
        ("*", "anything.example"),
        ("127.0.0.1", "127.0.0.1:8000"),
        ("[::1]", "[::1]:8000"),
        ("::1", "[::1]"),
        ("0:0:0:0:0:0:0:1", "[::1]"),
        ("2001:DB8::1", "[2001:db8::1]:8000"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("localhost", "localhost:8000"),
    ],
)
def test_allowed_host_is_answered_to(settings, value: str, sent: str) -> None:
    settings.ALLOWED_HOSTS = load(DJANGO_ALLOWED_HOSTS=value)["ALLOWED_HOSTS"]
    assert Client().get("/openapi.json", headers={"Host": sent}).status_code == 200
    assert value == "*" or Client().get("/openapi.json", headers={"Host": "other.test"}).status_code == 400


@pytest.mark.promise("P-54")
@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com",
        "http://app.example.com:443",
        "https://app.example.com:8443",
        "http://localhost:3000",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "http://my_app:3000",
        "https://xn--bcher-kva.example",
        "tauri://localhost",
        "capacitor://localhost",
        "ionic://localhost",
        "app://.",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
        "safari-web-extension://E5B4C0CD-62C7-4D4B-B4E6-7AC2A3D4C9DE",
    ],
)
def test_origin_of_any_scheme_may_call(settings, origin: str) -> None:
    settings.CORS_ALLOWED_ORIGINS = load(CORS_ALLOWED_ORIGINS=f"https://other.example, {origin}")[
        "CORS_ALLOWED_ORIGINS"
    ]
    assert check_settings() == []
    ask = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    answer = Client().options("/api/alice/tasks", headers=ask)
    assert answer["Access-Control-Allow-Origin"] == origin
    answer = Client().options("/api/alice/tasks", headers={**ask, "Origin": f"{origin}.evil.example"})
    assert "Access-Control-Allow-Origin" not in answer


@pytest.mark.parametrize(
    ("value", "bind"),
    [
        ("", "0.0.0.0:8000"),
        ("0.0.0.0", "0.0.0.0:8000"),
        ("::", "[::]:8000"),
        ("[::]", "[::]:8000"),
        ("::1", "[::1]:8000"),
        ("[0:0::1]", "[::1]:8000"),
        ("localhost", "localhost:8000"),
        ("my_host.local", "my_host.local:8000"),
    ],
)
def test_gunicorn_is_told_where_to_listen(value: str, bind: str) -> None:
    assert load(HOST=value)["SERVER"].bind == bind


def test_numbers_at_their_bounds_are_taken() -> None:
    assert load(PORT="65535", WEB_CONCURRENCY="1", GUNICORN_THREADS="1000")["SERVER"][1:] == (65535, 1, 1000)
    assert load(PORT=" 1 ")["SERVER"][1:] == (1, 2, 8)
    assert [load(DATABASE_TIMEOUT=value)["DATABASE_TIMEOUT"] for value in ("", "1", "60")] == [9, 1, 60]
    assert [load(STATEMENTS_BY_CURSOR=value)["STATEMENTS_BY_CURSOR"] for value in ("", "false", "True")] == [0, 0, 1]
    assert [load(PREPARED_STATEMENTS=value)["PREPARED_STATEMENTS"] for value in ("", "on", "OFF")] == [
        "auto",
        "on",
        "off",
    ]


# --- Tokens ---------------------------------------------------------------------------------------------------

TOKENS = (
    "BETTER_AUTH_ISSUER",
    "BETTER_AUTH_AUDIENCE",
    "BETTER_AUTH_JWKS_ISSUER",
    "BETTER_AUTH_JWKS_AUDIENCE",
    "BETTER_AUTH_JWKS_URL",
)


@pytest.mark.parametrize(
    ("url", "origin", "keys"),
    [
        ("https://app.example.com", "https://app.example.com", "https://app.example.com/api/auth/jwks"),
        ("https://app.example.com/", "https://app.example.com", "https://app.example.com/api/auth/jwks"),
        ("https://App.Example.com:443", "https://app.example.com", "https://app.example.com/api/auth/jwks"),
        ("http://localhost:3000", "http://localhost:3000", "http://localhost:3000/api/auth/jwks"),
        ("https://app.example.com/auth/", "https://app.example.com", "https://app.example.com/auth/jwks"),
        ("http://[::1]:3000", "http://[::1]:3000", "http://[::1]:3000/api/auth/jwks"),
        ("http://better_auth:3000", "http://better_auth:3000", "http://better_auth:3000/api/auth/jwks"),
    ],
)
def test_better_auth_url_gives_issuer_audience_and_keys(url: str, origin: str, keys: str) -> None:
    settings = load(BETTER_AUTH_URL=url, BETTER_AUTH_SECRET="")
    assert [settings[name] for name in TOKENS] == ["", "", origin, origin, keys]


@pytest.mark.parametrize(
    ("url", "token_url"),
    [
        ("https://app.example.com", "https://app.example.com/api/auth/token"),
        ("https://app.example.com:8443/auth/", "https://app.example.com:8443/auth/token"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000/api/auth/token"),
    ],
)
def test_sign_in_by_better_auth_is_off_until_it_is_set_and_names_one_origin(url: str, token_url: str) -> None:
    off, on = load(BETTER_AUTH_URL=url), load(BETTER_AUTH_URL=url, BETTER_AUTH_SIGN_IN="true")
    assert (off["BETTER_AUTH_TOKEN_URL"], on["BETTER_AUTH_TOKEN_URL"]) == ("", token_url)
    assert load()["CONTENT_SECURITY_POLICY"] == off["CONTENT_SECURITY_POLICY"]
    site = token_url.partition("/api/")[0].partition("/auth/")[0]
    named = off["CONTENT_SECURITY_POLICY"].replace("connect-src 'self';", f"connect-src 'self' {site};")
    assert on["CONTENT_SECURITY_POLICY"] == named


@pytest.mark.promise("P-57")
@pytest.mark.parametrize(
    ("url", "https", "said"),
    [
        ("http://app.example.com", "true", "begins with https:// where DJANGO_HTTPS is true"),
        ("http://[::1]:3000", "", "not '::1': no other can stand in a Content-Security-Policy"),
        ("http://better_auth:3000", "", "not 'better_auth': no other can stand in a Content-Security-Policy"),
    ],
)
def test_sign_in_by_a_better_auth_that_no_page_can_reach_stops_the_start(url: str, https: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^BETTER_AUTH_SIGN_IN needs a BETTER_AUTH_URL .*{re.escape(said)}"):
        load(BETTER_AUTH_URL=url, BETTER_AUTH_SIGN_IN="true", DJANGO_HTTPS=https)
    assert load(BETTER_AUTH_URL=url, DJANGO_HTTPS=https)["BETTER_AUTH_TOKEN_URL"] == ""


def test_each_of_the_three_can_be_set_alone() -> None:
    url = "https://app.example.com"
    own = {"BETTER_AUTH_ISSUER": "iss", "BETTER_AUTH_AUDIENCE": "aud", "BETTER_AUTH_JWKS_URL": "https://keys.example/k"}
    settings = load(BETTER_AUTH_URL=url, **own)
    assert [settings[name] for name in TOKENS] == ["iss", "aud", "iss", "aud", "https://keys.example/k"]
    settings = load(BETTER_AUTH_URL=url, BETTER_AUTH_ISSUER="iss")
    assert [settings[name] for name in TOKENS] == ["iss", "", "iss", url, f"{url}/api/auth/jwks"]
    settings = load(BETTER_AUTH_JWKS_URL="https://keys.example/k", BETTER_AUTH_SECRET="")
    assert [settings[name] for name in TOKENS] == ["", "", "", "", "https://keys.example/k"]


@pytest.mark.parametrize("claim", ["https://app.example.com/", "urn:example:todo", "auth0|todo", "todo api"])
def test_issuer_and_audience_are_taken_as_they_are(claim: str) -> None:
    settings = load(BETTER_AUTH_ISSUER=claim, BETTER_AUTH_AUDIENCE=claim)
    assert [settings[name] for name in TOKENS] == [claim, claim, claim, claim, ""]


@pytest.mark.parametrize("url", ["http://keys.example/k?v=1", "http://key_server:3000/jwks", "https://[::1]/jwks"])
def test_key_address_is_taken_as_it_is(url: str) -> None:
    assert load(BETTER_AUTH_JWKS_URL=url)["BETTER_AUTH_JWKS_URL"] == url


def test_blanks_around_the_shared_secret_are_part_of_it() -> None:
    """Better Auth signs with them too."""
    assert load(BETTER_AUTH_SECRET=f" {S32}\n")["BETTER_AUTH_SECRETS"] == [f" {S32}\n"]


def test_secrets_are_listed_current_first_and_override_the_single_one() -> None:
    other = S32[::-1]
    assert load()["BETTER_AUTH_SECRETS"] == [S32]
    assert load(BETTER_AUTH_SECRETS=f"2:{other}, 1:{S32} ")["BETTER_AUTH_SECRETS"] == [other, S32]
    assert load(BETTER_AUTH_SECRET="", BETTER_AUTH_SECRETS=f"2:{other}")["BETTER_AUTH_SECRETS"] == [other]
    assert load(BETTER_AUTH_SECRET="short", BETTER_AUTH_SECRETS=f"2:{other}")["BETTER_AUTH_SECRETS"] == [other]
    assert load(BETTER_AUTH_SECRETS=f"1:{other}:x=")["BETTER_AUTH_SECRETS"] == [f"{other}:x="]


# --- The database ---------------------------------------------------------------------------------------------


def test_postgresql_is_kept_connected_and_works_through_a_pooler() -> None:
    url = "postgresql://u:p@ep-x-pooler.neon.tech/d?sslmode=require&channel_binding=require"
    database = load(DATABASE_URL=url)["DATABASES"]["default"]
    assert database["ENGINE"] == "todo_project.postgresql"
    assert database["OPTIONS"]["sslmode"] == database["OPTIONS"]["channel_binding"] == "require"
    assert database["OPTIONS"]["connect_timeout"] == 5
    assert "options" not in database["OPTIONS"]  # A startup packet with them is refused by PgBouncer.
    assert database["DISABLE_SERVER_SIDE_CURSORS"] is True


@pytest.mark.parametrize(
    ("url", "connects_to"),
    [
        ("postgres://u:p@h/d", "user=u password=p dbname=d host=h"),
        ("pgsql://u@h/d", "user=u dbname=d host=h"),
        ("PostgreSQL://H/d", "dbname=d host=h"),
        ("postgresql://u:p%40%2F%25@h:5433/d", "user=u password=p@/% dbname=d host=h port=5433"),
        ("postgresql://u:100%@h/d", "user=u password=100% dbname=d host=h"),
        ("postgresql://[::1]:5433/d", "dbname=d host=::1 port=5433"),
        ("postgresql:///d", "dbname=d"),
        ("postgresql:///d?host=/tmp/Pg", "dbname=d host=/tmp/Pg"),
        ("postgresql://%2Ftmp%2FPg:5433/d", "dbname=d host=/tmp/Pg port=5433"),
        (
            "postgresql:///d?host=a,b&port=5432,5433&target_session_attrs=read-write",
            "dbname=d host=a,b port=5432,5433 target_session_attrs=read-write",
        ),
        (
            "postgresql://u:p@a:5432,b:5433/d?target_session_attrs=read-write",
            "user=u password=p dbname=d host=a,b port=5432,5433 target_session_attrs=read-write",
        ),
        ("postgresql://u:p@a,b:5433/d", "user=u password=p dbname=d host=a,b port=5432,5433"),
        ("postgresql://h/?service=todo", "host=h service=todo"),
        (
            "postgresql://h/d?sslmode=verify-full&sslrootcert=system",
            "dbname=d host=h sslmode=verify-full sslrootcert=system",
        ),
        ("postgresql://h/d?options=endpoint%3Dep-x", "dbname=d host=h options=endpoint=ep-x"),
        ("postgresql://h/d?options=-c%20search_path%3Dx", r"dbname=d host=h options='-c search_path=x'"),
        ("postgresql://h/d?tcp_user_timeout=9000", "dbname=d host=h tcp_user_timeout=9000"),
        ("postgresql://h/d?connect_timeout=2", "dbname=d host=h connect_timeout=2"),
        ("postgresql://h/d?application_name=todo", "dbname=d host=h application_name=todo"),
        ("postgresql://h/d?assume_role=app", "dbname=d host=h"),
    ],
)
def test_postgresql_address_connects_where_it_says(url: str, connects_to: str) -> None:
    connection = ConnectionHandler({"default": load(DATABASE_URL=url)["DATABASES"]["default"]})["default"]
    made = connection.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold", "client_encoding"):  # Django's own.
        made.pop(name)
    kept = {
        "connect_timeout": 5,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 9_000,
    }
    assert conninfo_to_dict(make_conninfo(**made)) == {
        **{name: str(value) for name, value in kept.items()},
        **conninfo_to_dict(connects_to),
    }


def test_sqlite_file_lies_in_the_project_and_waits_its_turn() -> None:
    database = load(DATABASE_URL="sqlite:///db.sqlite3")["DATABASES"]["default"]
    assert database["NAME"] == BASE_DIR / "db.sqlite3"
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert database["OPTIONS"]["timeout"] > 0
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]


# --- TLS, rates -----------------------------------------------------------------------------------------------


@pytest.mark.promise("P-59")
def test_https_switches_on_redirect_hsts_and_secure_cookies() -> None:
    names = ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "HTTPS")
    assert [load()[name] for name in names] == [False] * 4
    https = load(DJANGO_HTTPS="TRUE")
    assert [https[name] for name in names] == [True] * 4
    assert load()["SECURE_HSTS_SECONDS"] == 0 and https["SECURE_HSTS_SECONDS"] >= 31536000


def test_throttle_rate_costs_nothing_until_it_is_set() -> None:
    off, on = load(THROTTLE_STORAGE="redis://127.0.0.1:9"), load(THROTTLE_RATE="5/minute")
    assert off["REST_FRAMEWORK"]["DEFAULT_THROTTLE_CLASSES"] == []
    assert on["REST_FRAMEWORK"]["DEFAULT_THROTTLE_CLASSES"] == ["todo_project.throttling.UserThrottle"]
    assert set(on["MIDDLEWARE"]) - set(off["MIDDLEWARE"]) == {"todo_project.throttling.FairUseMiddleware"}
    done = run("-c", "import todo_project.wsgi, sys; print({'limits', 'redis'} & set(sys.modules))")
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("url", ["redis://localhost", "rediss://user:hunter22@host:6380/1?ssl_cert_reqs=none"])
def test_throttle_storage_takes_an_address_of_redis(url: str) -> None:
    assert load(THROTTLE_STORAGE=url)["THROTTLE_STORAGE"] == url


@pytest.mark.parametrize("value", ["", "memory://"])
def test_throttle_storage_is_this_process_if_not_set(value: str) -> None:
    assert load(THROTTLE_STORAGE=value)["THROTTLE_STORAGE"] == ""


@pytest.mark.promise("P-57")
def test_throttle_storage_without_its_client_says_what_to_install() -> None:
    without = "import sys; sys.modules['redis'] = None; import todo_project.wsgi"
    done = run("-c", without, THROTTLE_STORAGE="redis://localhost")
    assert done.returncode == 4
    assert done.stderr == (
        "Configuration: THROTTLE_STORAGE needs Redis's client, which is not installed: pip install redis\n"
    )


THROTTLED = """
import django, json, time, jwt
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
def answer(user):
    token = jwt.encode({"sub": user, "exp": int(time.time()) + 60}, settings.BETTER_AUTH_SECRETS[0], "HS256")
    headers = {"Host": "todo.example.com", "Authorization": "Bearer " + token}
    response = Client().get(f"/api/{user}/tasks", headers=headers)
    return response.status_code, response.headers.get("Retry-After"), response.json()
print(json.dumps([answer(user) for user in ("alice", "alice", "alice", "bob")]))
"""


@pytest.mark.promise("P-55")
def test_throttle_rate_bounds_each_user_alone(tmp_path) -> None:
    done = run("-c", THROTTLED, THROTTLE_RATE="2/hour", DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    one, two, three, bob = json.loads(done.stdout)
    assert [one[0], two[0], three[0], bob[0]] == [200, 200, 429, 200]
    assert 3500 < int(three[1]) <= 3600
    assert three[2]["code"] == "throttled"
    assert one[1] is None


@pytest.mark.promise("P-57")
def test_every_variable_is_in_the_example_and_only_those() -> None:
    listed = set(re.findall(r"^([A-Z_]+)=", (BASE_DIR / ".env.example").read_text(), re.MULTILINE))
    read = set()
    for name in ("todo_project/environment.py", "todo_project/settings.py", "gunicorn.conf.py"):
        text = (BASE_DIR / name).read_text()
        assert not re.search(r"os\.(?:getenv|environ)\b(?!\.get\(name|\[plain_name\])", text), name
        for arguments in re.findall(r"\benv(?:_\w+)?\(([^)]*)\)", text):
            read |= set(re.findall(r'"([A-Z_]+)"', arguments))
    assert read == listed
