"""The environment: what is missing, weak or wrong stops the start in one line that names it."""

import json
import re

import pytest

from todo_project.tests.environment import BASE_DIR, SECRET, load, run

S32 = SECRET  # 32 bytes exactly.
DEFAULT = "better-auth-secret-12345678901234567890"

REFUSED = [
    ("DATABASE_URL", {"DATABASE_URL": ""}),
    ("DATABASE_URL", {"DATABASE_URL": "  "}),
    ("DATABASE_URL", {"DATABASE_URL": "db.sqlite3"}),
    ("DATABASE_URL", {"DATABASE_URL": "mysql://u:hunter22@h/d"}),
    ("DATABASE_URL", {"DATABASE_URL": "nonsense://u:hunter22@h/d"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgresql://u:hunter22@h:port/d"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgresql://u:hunter22@[h/d"}),
    ("DJANGO_SECRET_KEY", {"DJANGO_SECRET_KEY": ""}),
    ("DJANGO_SECRET_KEY", {"DJANGO_SECRET_KEY": S32[:31]}),
    ("DJANGO_SECRET_KEY", {"DJANGO_SECRET_KEY": "x" * 64}),
    ("DJANGO_ALLOWED_HOSTS", {"DJANGO_ALLOWED_HOSTS": ""}),
    ("DJANGO_ALLOWED_HOSTS", {"DJANGO_ALLOWED_HOSTS": " , "}),
    ("BETTER_AUTH_SECRET", {"BETTER_AUTH_SECRET": ""}),
    ("BETTER_AUTH_SECRET", {"BETTER_AUTH_SECRET": S32[:31]}),
    ("BETTER_AUTH_SECRET", {"BETTER_AUTH_SECRET": DEFAULT}),
    ("BETTER_AUTH_SECRET", {"BETTER_AUTH_SECRET": DEFAULT.upper()}),
    ("BETTER_AUTH_SECRET", {"BETTER_AUTH_SECRET": f" {DEFAULT}\n"}),
    ("BETTER_AUTH_SECRET", {"BETTER_AUTH_SECRET": "your-super-secret-key-change-in-production"}),
    ("BETTER_AUTH_SECRET", {"BETTER_AUTH_SECRET": "ab" * 20}),
    ("BETTER_AUTH_SECRET", {"BETTER_AUTH_SECRET": f"-----BEGIN PUBLIC KEY-----\n{S32}\n-----END PUBLIC KEY-----"}),
    ("BETTER_AUTH_SECRET", {"BETTER_AUTH_SECRET": f'{{"kty": "OKP", "crv": "Ed25519", "x": "{S32}"}}'}),
    ("BETTER_AUTH_SECRETS", {"BETTER_AUTH_SECRETS": f"1:ssh-ed25519 {S32}"}),
    ("BETTER_AUTH_SECRETS", {"BETTER_AUTH_SECRETS": S32}),
    ("BETTER_AUTH_SECRETS", {"BETTER_AUTH_SECRETS": f"x:{S32}"}),
    ("BETTER_AUTH_SECRETS", {"BETTER_AUTH_SECRETS": f"2:{S32},1:{S32[:31]}"}),
    ("BETTER_AUTH_SECRETS", {"BETTER_AUTH_SECRETS": f"2:{S32},1:{DEFAULT}"}),
    ("BETTER_AUTH_SECRETS", {"BETTER_AUTH_SECRETS": ","}),
    ("BETTER_AUTH_URL", {"BETTER_AUTH_URL": "app.example.com"}),
    ("BETTER_AUTH_URL", {"BETTER_AUTH_URL": "ftp://app.example.com"}),
    ("BETTER_AUTH_URL", {"BETTER_AUTH_URL": "https://"}),
    ("BETTER_AUTH_URL", {"BETTER_AUTH_URL": "https://app.example.com:port"}),
    ("BETTER_AUTH_URL", {"BETTER_AUTH_URL": "https://[app"}),
    ("BETTER_AUTH_JWKS_URL", {"BETTER_AUTH_JWKS_URL": "file:///etc/passwd"}),
    ("CORS_ALLOWED_ORIGINS", {"CORS_ALLOWED_ORIGINS": "*"}),
    ("CORS_ALLOWED_ORIGINS", {"CORS_ALLOWED_ORIGINS": "https://app.example.com/"}),
    ("CORS_ALLOWED_ORIGINS", {"CORS_ALLOWED_ORIGINS": "https://a.example,app.example.com"}),
    ("CORS_ALLOWED_ORIGINS", {"CORS_ALLOWED_ORIGINS": "https://[app"}),
    ("CORS_ALLOWED_ORIGINS", {"CORS_ALLOWED_ORIGINS": "https://app.example.com:port"}),
    ("DJANGO_HTTPS", {"DJANGO_HTTPS": "yes"}),
    ("DJANGO_HTTPS", {"DJANGO_HTTPS": "1"}),
    ("THROTTLE_RATE", {"THROTTLE_RATE": "600"}),
    ("THROTTLE_RATE", {"THROTTLE_RATE": "0/minute"}),
    ("THROTTLE_RATE", {"THROTTLE_RATE": "10/fortnight"}),
]


@pytest.mark.promise("P-57")
@pytest.mark.parametrize(
    ("name", "given"), REFUSED, ids=[f"{name}-{number}" for number, (name, _) in enumerate(REFUSED)]
)
def test_wrong_variable_is_named_in_one_line_and_its_secret_is_not(name: str, given: dict[str, str]) -> None:
    done = run("manage.py", "check", **given)
    assert done.returncode == 1
    assert re.fullmatch(rf"Configuration: [^\n]*\b{name}\b[^\n]*\n", done.stderr), done.stderr
    assert done.stdout == ""
    assert "hunter22" not in done.stderr
    for value in (SECRET, DEFAULT):
        assert value not in done.stderr


@pytest.mark.parametrize("command", ["migrate", "issue_token", "runserver"])
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


def test_environment_wins_over_a_dotenv_file_and_nothing_else_fills_in() -> None:
    """Debug cannot be switched on."""
    assert "DEBUG" not in load(DEBUG="true", DJANGO_DEBUG="true")


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
    ],
)
def test_better_auth_url_gives_issuer_audience_and_keys(url: str, origin: str, keys: str) -> None:
    settings = load(BETTER_AUTH_URL=url, BETTER_AUTH_SECRET="")
    assert [settings[name] for name in TOKENS] == ["", "", origin, origin, keys]


def test_each_of_the_three_can_be_set_alone() -> None:
    url = "https://app.example.com"
    own = {"BETTER_AUTH_ISSUER": "iss", "BETTER_AUTH_AUDIENCE": "aud", "BETTER_AUTH_JWKS_URL": "https://keys.example/k"}
    settings = load(BETTER_AUTH_URL=url, **own)
    assert [settings[name] for name in TOKENS] == ["iss", "aud", "iss", "aud", "https://keys.example/k"]
    settings = load(BETTER_AUTH_URL=url, BETTER_AUTH_ISSUER="iss")
    assert [settings[name] for name in TOKENS] == ["iss", "", "iss", url, f"{url}/api/auth/jwks"]
    settings = load(BETTER_AUTH_JWKS_URL="https://keys.example/k", BETTER_AUTH_SECRET="")
    assert [settings[name] for name in TOKENS] == ["", "", "", "", "https://keys.example/k"]


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


def test_throttle_rate_is_off_until_it_is_set() -> None:
    assert load()["REST_FRAMEWORK"]["DEFAULT_THROTTLE_CLASSES"] == []
    assert load(THROTTLE_RATE="5/minute")["REST_FRAMEWORK"]["DEFAULT_THROTTLE_RATES"] == {"user": "5/minute"}


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
    for name in ("todo_project/settings.py", "gunicorn.conf.py"):
        text = (BASE_DIR / name).read_text()
        read |= set(re.findall(r'(?:env(?:_\w+)?\(|environ\.get\(|environ\[)[\'"]([A-Z_]+)', text))
    assert read == listed
