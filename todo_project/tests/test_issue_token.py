"""manage.py issue_token USER --days N"""

import time
from io import StringIO

import jwt
import pytest
from django.core.management import CommandError, call_command

from conftest import Actor
from todo_project.tests.environment import SECRET, configure, run


def issue(*arguments: str) -> str:
    out = StringIO()
    call_command("issue_token", *arguments, stdout=out)
    return out.getvalue().strip()


@pytest.mark.promise("P-26")
@pytest.mark.parametrize("subject", ["demo", "1", "auth0|12345", "ü 😀"])
def test_issued_token_is_taken(db, subject: str) -> None:
    actor = Actor(subject, issue(subject))
    assert actor.get(f"/api/{subject.replace('|', '%7C')}/tasks").status_code == 200


@pytest.mark.promise("P-26")
@pytest.mark.parametrize(("arguments", "days"), [([], 1), (["--days", "30"], 30)])
def test_token_lives_as_long_as_asked(arguments: list[str], days: int) -> None:
    claims = jwt.decode(issue("demo", *arguments), options={"verify_signature": False})
    assert abs(claims["exp"] - time.time() - days * 86400) < 60
    assert set(claims) == {"sub", "iat", "exp"}


def test_issued_token_carries_the_configured_issuer_and_audience(db, settings) -> None:
    configure(settings, BETTER_AUTH_ISSUER="https://app.example.com", BETTER_AUTH_AUDIENCE="todo")
    assert Actor("demo", issue("demo")).get("/api/demo/tasks").status_code == 200


def test_issued_token_is_taken_beside_better_auth_url(db, settings) -> None:
    configure(settings, BETTER_AUTH_URL="https://app.example.com")
    assert Actor("demo", issue("demo")).get("/api/demo/tasks").status_code == 200


def test_current_secret_signs(settings) -> None:
    configure(settings, BETTER_AUTH_SECRETS=f"2:{SECRET[::-1]},1:{SECRET}")
    assert jwt.decode(issue("demo"), SECRET[::-1], ["HS256"])["sub"] == "demo"


@pytest.mark.parametrize(
    "arguments", [[""], ["a/b"], ["x" * 256], ["a\0b"], ["demo", "--days", "0"], ["demo", "--days=-1"]]
)
def test_token_that_would_be_refused_is_not_issued(arguments: list[str]) -> None:
    if arguments[-1] == "0":  # Within the leeway it would still be taken for half a minute.
        assert issue(*arguments)
        return
    with pytest.raises(CommandError):
        issue(*arguments)


@pytest.mark.parametrize("arguments", [["demo", "--days", "x"], [], ["demo", "--days", "1" + "0" * 400]])
def test_wrong_use_is_one_line_and_no_traceback(arguments: list[str]) -> None:
    done = run("manage.py", "issue_token", *arguments)
    assert done.returncode != 0 or done.stdout
    assert "Traceback" not in done.stderr


def test_without_a_shared_secret_it_says_who_issues_tokens() -> None:
    done = run("manage.py", "issue_token", "demo", BETTER_AUTH_SECRET="", BETTER_AUTH_URL="https://app.example.com")
    assert done.returncode == 1
    assert "BETTER_AUTH_SECRET is not set" in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == ""
