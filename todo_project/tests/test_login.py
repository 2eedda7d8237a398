"""Signing in to the pages: a pasted token in a signed cookie, with CSRF enforced."""

import re
import sys
import time
from html import unescape
from http.cookies import Morsel
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conftest import Actor, assert_problem, rows, sign
from tasks.models import Task
from todo_project.authentication import MAX_COOKIE_TOKEN, SIGN_IN_COOKIE
from todo_project.tests.environment import BASE_DIR, configure, load

pytestmark = pytest.mark.django_db
HTML = {"Accept": "text/html"}
FORM = "application/x-www-form-urlencoded"
TASKS = "/api/alice/tasks"


@pytest.fixture
def browser() -> Client:
    """A browser: asks for HTML, keeps cookies, and gets no pardon for a missing CSRF token."""
    return Client(enforce_csrf_checks=True, raise_request_exception=False, headers=HTML)


def csrf(browser: Client) -> str:
    """The token that a page of ours carries."""
    page = browser.get("/login").content.decode()
    return page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]


def sign_in(browser: Client, token: str | None = None, **form: str):
    token = sign("alice") if token is None else token
    return browser.post("/login", {"token": token, "csrfmiddlewaretoken": csrf(browser), **form})


def cookie(browser: Client) -> Morsel:
    return browser.cookies[SIGN_IN_COOKIE]


def not_signed_in(browser: Client) -> None:
    """A page leads to /login, and a write is 401 and changes nothing; no query is run."""
    before = rows()
    with CaptureQueriesContext(connection) as queries:
        assert browser.get(TASKS).status_code == 302
        assert browser.post(TASKS, {"title": "Milk"}, headers={"X-CSRFToken": csrf(browser)}).status_code in {401, 415}
    assert len(queries) == 0
    assert rows() == before


# --- Where a token comes from ---------------------------------------------------------------------------------


def hint(browser: Client) -> str:
    page = browser.get("/login").content.decode()
    return unescape(re.sub(r"\s+", " ", page.rpartition("</form>")[2]))


@pytest.mark.parametrize(
    ("interpreter", "python"),
    [
        (str(BASE_DIR / ".venv" / "bin" / "python"), ".venv/bin/python"),
        ("/usr/local/bin/python3.13", "python"),
        (str(BASE_DIR) + "-other/.venv/bin/python", "python"),
    ],
)
def test_with_the_shared_secret_the_page_names_the_command_that_prints_a_token(
    browser: Client, monkeypatch, interpreter: str, python: str
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)
    assert f"<code>{python} manage.py issue_token demo</code> prints one" in hint(browser)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"BETTER_AUTH_URL": "https://app.example.com"}, "https://app.example.com/api/auth/token"),
        ({"BETTER_AUTH_URL": "https://app.example.com/auth/"}, "https://app.example.com/auth/token"),
        ({"BETTER_AUTH_JWKS_URL": "https://app.example.com/keys"}, "/api/auth/token"),
    ],
)
def test_without_a_shared_secret_the_page_says_where_the_frontend_shows_a_token(
    browser: Client, settings, given: dict[str, str], shown: str
) -> None:
    configure(settings, BETTER_AUTH_SECRET="", **given)
    assert f"Sign in to your frontend; <code>{shown}</code> then shows it there" in hint(browser)
    assert "issue_token" not in hint(browser)


# --- Signing in -----------------------------------------------------------------------------------------------


@pytest.mark.promise("P-48")
def test_pasted_token_signs_in_for_as_long_as_it_lives(browser: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = sign_in(browser, f"  {sign('alice')}\n")
    assert len(queries) == 0  # No session row.
    assert (response.status_code, response["Location"]) == (302, TASKS)
    morsel = cookie(browser)
    assert morsel["httponly"] is True
    assert morsel["samesite"] == "Lax"
    assert morsel["path"] == "/"
    assert morsel["secure"] == ""
    assert 890 <= int(morsel["max-age"]) <= 900
    page = browser.get(TASKS)
    assert page.status_code == 200
    assert page["Content-Type"].startswith("text/html")


def test_cookie_is_secure_with_https(settings, browser: Client) -> None:
    for name in ("HTTPS", "CSRF_COOKIE_SECURE", "SESSION_COOKIE_SECURE"):
        setattr(settings, name, load(DJANGO_HTTPS="true")[name])
    sign_in(browser)
    assert cookie(browser)["secure"] is True
    assert browser.cookies[settings.CSRF_COOKIE_NAME]["secure"] is True


@pytest.mark.parametrize(
    "exp", [10**10, 1_800_000_000_000, 10**20, 10**400], ids=["seconds", "milliseconds", "more", "endless"]
)
def test_token_of_a_very_long_life_signs_in(browser: Client, exp: int) -> None:
    """Milliseconds in place of seconds is a usual slip."""
    assert sign_in(browser, sign("alice", exp=exp)).status_code == 302
    assert cookie(browser)["max-age"] == 400 * 24 * 3600
    page = browser.get(TASKS)
    assert page.status_code == 200
    assert (">20 Nov 2286, 17:46 UTC<" if exp == 10**10 else ">31 Dec 9999, 00:00 UTC<") in page.content.decode()


def test_word_bearer_may_be_pasted_along(browser: Client) -> None:
    assert sign_in(browser, f"Bearer {sign('alice')}").status_code == 302


def test_user_id_with_odd_characters_finds_its_own_tasks(browser: Client) -> None:
    response = sign_in(browser, sign("auth0|1 ü?#%"))
    assert response["Location"] == "/api/" + quote("auth0|1 ü?#%", safe="") + "/tasks"
    assert browser.get(response["Location"]).status_code == 200


@pytest.mark.parametrize(
    "token",
    ["", " ", "x", "ü", "\ud800".encode("utf-8", "surrogatepass"), "a.b.c", "x" * (MAX_COOKIE_TOKEN + 1)],
    ids=repr,
)
def test_bad_token_is_shown_as_an_error(browser: Client, token: str) -> None:
    response = sign_in(browser, token)
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith('Bearer realm="todo"')
    assert 'role="alert"' in response.content.decode()
    assert SIGN_IN_COOKIE not in browser.cookies


def test_expired_token_and_one_without_sub_do_not_sign_in(browser: Client) -> None:
    for token in (sign("alice", exp=int(time.time()) - 60), sign(None, userId="alice"), sign("alice")[:-3] + "abc"):
        response = sign_in(browser, token)
        assert response.status_code == 401
        assert token not in response.content.decode()
    assert SIGN_IN_COOKIE not in browser.cookies


def test_token_that_a_cookie_cannot_hold_is_refused_with_the_reason(browser: Client) -> None:
    assert "too long" in sign_in(browser, sign("alice", picture="x" * 4000)).content.decode()
    assert SIGN_IN_COOKIE not in browser.cookies


def test_largest_token_gives_a_cookie_that_browsers_keep(browser: Client) -> None:
    tokens = {len(token): token for token in (sign("alice", picture="x" * size) for size in range(2400, 2600))}
    assert "too long" in sign_in(browser, tokens[3501]).content.decode()
    assert sign_in(browser, tokens[3500]).status_code == 302
    assert len(cookie(browser).OutputString()) <= 4096


def test_login_needs_the_csrf_token(browser: Client) -> None:
    browser.get("/login")
    for form in ({"token": sign("alice")}, {"token": sign("alice"), "csrfmiddlewaretoken": "x" * 64}):
        response = browser.post("/login", form)
        assert response.status_code == 403
        assert "permission_denied" in response.content.decode()
    assert_problem(browser.post("/login", {}, headers={"Accept": "*/*"}), 403, "permission_denied")
    assert SIGN_IN_COOKIE not in browser.cookies


@pytest.mark.parametrize("path", ["/login", "/login?next=/docs"])
def test_login_page_is_never_cached(browser: Client, path: str) -> None:
    response = browser.get(path)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert response["X-Frame-Options"] == "DENY"


# --- Back to where it was ---------------------------------------------------------------------------------------


@pytest.mark.promise("P-48")
@pytest.mark.parametrize("path", [TASKS, TASKS + "/7", TASKS + "?search=a%26b&limit=5", "/api/%C3%BC/tasks"])
def test_page_without_sign_in_leads_to_login_and_back(browser: Client, path: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = browser.get(path)
    assert len(queries) == 0
    assert response.status_code == 302
    assert response["Location"] == "/login?next=" + quote(path, safe="")
    assert response["Cache-Control"] == "private, no-cache"
    page = browser.get(response["Location"]).content.decode()
    asked = page.partition('name="next" value="')[2].partition('"')[0].replace("&amp;", "&")
    assert sign_in(browser, next=asked)["Location"] == path


@pytest.mark.parametrize(
    "next_",
    [
        "https://evil.example", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example",
        "javascript:alert(1)", "data:text/html,x", " //evil.example", "\t//evil.example", "/\t/evil.example", "http:///evil.example",
        "http://testserver@evil.example", "https://testserver/x", "\x08//evil.example", "/" * 3000,
    ],
)  # fmt: skip
def test_open_redirects_are_refused(browser: Client, next_: str) -> None:
    assert sign_in(browser, next=next_)["Location"] == TASKS
    browser.cookies.clear()
    response = browser.post(
        f"/login?next={quote(next_)}", {"token": sign("alice"), "csrfmiddlewaretoken": csrf(browser)}
    )
    assert response["Location"] == TASKS


def test_next_cannot_write_a_header(browser: Client) -> None:
    response = sign_in(browser, next="/x\r\nSet-Cookie: a=b")
    assert response.status_code == 302
    assert "\n" not in response["Location"]
    assert "a" not in browser.cookies


def test_very_long_address_without_sign_in_is_no_bug(browser: Client) -> None:
    assert browser.get(f"{TASKS}?search={'x' * 6000}").status_code < 500


def test_next_is_escaped_on_the_page(browser: Client) -> None:
    assert "<script>alert" not in browser.get('/login?next="><script>alert(1)</script>').content.decode()


def test_write_without_sign_in_is_401_and_no_redirect(browser: Client) -> None:
    response = browser.post(TASKS, {"title": "Milk"}, "application/json")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="todo"'
    assert rows() == []


# --- The cookie -----------------------------------------------------------------------------------------------


def test_tampered_cookies_are_refused(browser: Client) -> None:
    sign_in(browser)
    good = cookie(browser).value
    token, _, signature = good.rpartition(":")
    for bad in (
        sign("alice"),
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        f"{sign('bob')}:{signature}",
        token,
        "",
        ":",
        "é",
        "x" * 4000,
    ):
        browser.cookies[SIGN_IN_COOKIE] = bad
        not_signed_in(browser)


@pytest.mark.promise("P-99")
def test_cookie_of_a_former_secret_is_taken_until_that_is_listed_no_more(settings, browser: Client) -> None:
    sign_in(browser)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-secret-9Xw3Kq7Lz2Mn8Rt4Vb"
    assert browser.get(TASKS).status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    not_signed_in(browser)


def test_token_that_has_ended_in_the_cookie_is_not_signed_in(settings, browser: Client) -> None:
    sign_in(browser)
    settings.BETTER_AUTH_SECRETS = ["another-secret-9Xw3Kq7Lz2Mn8Rt4Vb"]
    not_signed_in(browser)


@pytest.mark.promise("P-48")
def test_expired_token_in_the_cookie_is_not_signed_in(browser: Client) -> None:
    sign_in(browser, sign("alice", exp=int(time.time()) - 28))
    assert int(cookie(browser)["max-age"]) == 0
    sign_in(browser, sign("alice", exp=int(time.time()) - 29))
    value = cookie(browser).value
    time.sleep(2)
    browser.cookies[SIGN_IN_COOKIE] = value
    not_signed_in(browser)


def test_cookie_opens_no_path_of_another_user(browser: Client, bobs: Task) -> None:
    sign_in(browser)
    before = rows()
    for path in ("/api/bob/tasks", f"/api/bob/tasks/{bobs.pk}"):
        assert browser.get(path).status_code == 403
    assert browser.post("/api/bob/tasks", {"title": "x", "csrfmiddlewaretoken": csrf(browser)}).status_code == 403
    assert browser.get(f"{TASKS}/{bobs.pk}").status_code == 404
    assert rows() == before


def test_signing_out_forgets_the_token_and_needs_csrf(browser: Client) -> None:
    sign_in(browser)
    assert browser.post("/logout").status_code == 403
    assert browser.get(TASKS).status_code == 200
    assert browser.get("/logout").status_code == 405
    assert browser.post("/logout", {"csrfmiddlewaretoken": csrf(browser)})["Location"] == "/"
    assert cookie(browser).value == ""
    not_signed_in(browser)


@pytest.mark.promise("P-50")
def test_start_page_knows_who_is_signed_in(browser: Client) -> None:
    assert "Sign in" in browser.get("/").content.decode()
    sign_in(browser)
    assert TASKS in browser.get("/").content.decode()


# --- Writing with the cookie ------------------------------------------------------------------------------------


@pytest.mark.promise("P-49")
def test_forms_and_json_are_taken_with_cookie_and_csrf_token(browser: Client) -> None:
    sign_in(browser)
    token = csrf(browser)
    form = {"title": "One", "csrfmiddlewaretoken": token}
    # A page leads on to the task's page.
    assert browser.post(TASKS, f"title=One&csrfmiddlewaretoken={token}", FORM).status_code == 303
    assert browser.post(TASKS, form).status_code == 303  # multipart
    assert browser.post(TASKS, {"title": "One"}, "application/json", headers={"X-CSRFToken": token}).status_code == 303
    assert list(Task.objects.values_list("user_id", "title")) == [("alice", "One")] * 3


@pytest.mark.promise("P-49")
def test_writes_with_the_cookie_need_the_csrf_token(browser: Client, milk: Task) -> None:
    sign_in(browser)
    before = rows()
    one = f"{TASKS}/{milk.pk}"
    for data, kind in (
        (b"title=x", FORM),
        (b'{"title": "x"}', "application/json"),
        (b"", FORM),
        (b"{", "application/json"),
    ):
        for headers in (HTML, {"Accept": "*/*"}, HTML | {"X-CSRFToken": "x" * 64}):
            for method, path in (("POST", TASKS), ("PUT", one), ("DELETE", one), ("PATCH", one + "/complete")):
                response = browser.generic(method, path, data, kind, headers=headers)
                assert response.status_code == 403, (method, data, headers)
                assert "permission_denied" in response.content.decode()
    assert rows() == before


def test_oversized_and_foreign_forms_are_refused_with_the_cookie_too(browser: Client) -> None:
    sign_in(browser)
    headers = HTML | {"X-CSRFToken": csrf(browser)}
    big = b"title=" + b"x" * 256 * 1024
    multipart = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + big + b"\r\n--b--\r\n"
    assert browser.generic("POST", TASKS, big, FORM, headers=headers).status_code == 413
    assert (
        browser.generic("POST", TASKS, multipart, "multipart/form-data; boundary=b", headers=headers).status_code == 413
    )
    assert browser.generic("POST", TASKS, b"title=x", "text/plain", headers=headers).status_code == 415
    assert browser.generic("POST", TASKS, b"x", "multipart/form-data", headers=headers).status_code == 400
    assert rows() == []


# --- Bearer and cookie ------------------------------------------------------------------------------------------


@pytest.mark.promise("P-25")
@pytest.mark.parametrize("header", ["Bearer x", "Bearer", "bearer "])
def test_bad_token_decides_also_beside_a_good_cookie(browser: Client, header: str) -> None:
    sign_in(browser)
    headers = {"Authorization": header, "X-CSRFToken": csrf(browser)}
    for accept in ("text/html", "*/*"):
        for method in ("GET", "POST"):
            response = browser.generic(
                method, TASKS, b'{"title": "x"}', "application/json", headers=headers | {"Accept": accept}
            )
            assert response.status_code == 401
            assert response["WWW-Authenticate"].startswith('Bearer realm="todo"')
    assert rows() == []


@pytest.mark.promise("P-25")
def test_good_token_decides_beside_the_cookie_of_another(browser: Client) -> None:
    sign_in(browser)
    headers = {"Authorization": f"Bearer {sign('bob')}"}
    assert browser.get("/api/bob/tasks", headers=headers).status_code == 200
    assert browser.get(TASKS, headers=headers).status_code == 403
    # It needs no CSRF token: no other site can send that header.
    assert browser.post("/api/bob/tasks", {"title": "x"}, "application/json", headers=headers).status_code == 201


@pytest.mark.promise("P-49")
def test_forms_are_never_taken_with_a_bearer_token(browser: Client, alice: Actor) -> None:
    sign_in(browser)
    token = csrf(browser)
    headers = {"Authorization": f"Bearer {alice.token}", "X-CSRFToken": token, "Accept": "*/*"}
    form = f"title=x&csrfmiddlewaretoken={token}"
    assert_problem(browser.post(TASKS, form, FORM, headers=headers), 415, "unsupported_media_type")
    assert_problem(browser.post(TASKS, {"title": "x"}, headers=headers), 415, "unsupported_media_type")
    assert rows() == []


# --- The admin's own sign-in ------------------------------------------------------------------------------------


def test_user_token_never_opens_the_admin_and_staff_never_the_tasks(
    browser: Client, django_user_model, milk: Task
) -> None:
    sign_in(browser, sign("1"))
    for headers in (HTML, {"Authorization": f"Bearer {sign('1')}"}):
        assert browser.get("/admin/tasks/task/", headers=headers).status_code == 302
    staff = Client(headers={"Accept": "*/*"})
    staff.force_login(django_user_model.objects.create_superuser("root", password="x"))
    assert staff.get("/admin/tasks/task/").status_code == 200
    pk = django_user_model.objects.get().pk
    with CaptureQueriesContext(connection) as queries:
        for user in ("alice", "root", str(pk)):
            assert_problem(staff.get(f"/api/{user}/tasks"), 401, "not_authenticated")
    assert len(queries) == 0


# --- Sign-in by Better Auth's session ---------------------------------------------------------------------------

PAGES = ["/", "/docs", "/docs/deploy", "/nothing", TASKS]


@pytest.fixture
def by_session(settings) -> None:
    configured = load(BETTER_AUTH_URL="https://app.example.com", BETTER_AUTH_SIGN_IN="true")
    for name in ("BETTER_AUTH_URL", "BETTER_AUTH_TOKEN_URL", "CONTENT_SECURITY_POLICY"):
        setattr(settings, name, configured[name])


@pytest.mark.promise("P-105")
def test_without_the_setting_no_page_asks_better_auth(settings, browser: Client) -> None:
    settings.BETTER_AUTH_URL = "https://app.example.com"
    assert browser.get("/login").content.count(b"<script") == 0
    sign_in(browser)
    for path in [*PAGES, "/login"]:
        page = browser.get(path)
        assert b"todo/renew" not in page.content and b"token-url" not in page.content
        assert "app.example.com" not in page["Content-Security-Policy"]


@pytest.mark.promise("P-105")
def test_with_the_setting_pages_of_who_is_signed_in_renew_the_sign_in(by_session: None, browser: Client) -> None:
    login = browser.get("/login")
    assert 'data-token-url="https://app.example.com/api/auth/token"' in login.content.decode()
    assert "connect-src 'self' https://app.example.com;" in login["Content-Security-Policy"]
    for path in PAGES:
        assert b"todo/renew" not in browser.get(path).content
    sign_in(browser, sign('a"<b>', exp=2_000_000_000))
    for path in PAGES:
        page = browser.get(path).content.decode()
        assert 'data-subject="a&quot;&lt;b&gt;"' in page
        assert 'data-expires="2000000000"' in page
        csrf_token = page.partition('data-csrf="')[2].partition('"')[0]
        token = sign('a"<b>', exp=2_000_000_000)
        renewed = browser.post("/login", {"token": token, "renew": "", "csrfmiddlewaretoken": csrf_token})
        assert renewed.status_code == 302, path
        assert renewed.cookies[SIGN_IN_COOKIE].value


@pytest.mark.promise("P-105")
@pytest.mark.parametrize("meanwhile", ["nobody", "bob"])
def test_a_page_left_open_does_not_sign_in_again_who_has_signed_out(
    by_session: None, browser: Client, meanwhile: str
) -> None:
    sign_in(browser)
    csrf_token = browser.get("/").content.decode().partition('data-csrf="')[2].partition('"')[0]
    browser.post("/logout", {"csrfmiddlewaretoken": csrf_token})
    if meanwhile == "bob":
        sign_in(browser, sign("bob"))
    renewed = browser.post("/login", {"token": sign("alice"), "renew": "", "csrfmiddlewaretoken": csrf_token})
    assert renewed.status_code == 401
    assert SIGN_IN_COOKIE not in renewed.cookies


def test_an_ended_sign_in_is_not_renewed_and_breaks_no_page(by_session: None, settings, browser: Client) -> None:
    sign_in(browser)
    settings.BETTER_AUTH_SECRETS = ["another-secret-9Xw3Kq7Lz2Mn8Rt4Vb"]
    for path in PAGES:
        page = browser.get(path)
        assert page.status_code in {200, 302, 404}
        assert b"todo/renew" not in page.content


def test_the_error_is_told_of_the_field_and_the_token_is_not_repeated(browser: Client) -> None:
    page = sign_in(browser, "a-secret-token", next="/docs").content.decode()
    assert 'aria-invalid="true" aria-describedby="error"' in page
    assert 'id="error" role="alert"' in page
    assert 'name="next" value="/docs"' in page
    assert "a-secret-token" not in page
