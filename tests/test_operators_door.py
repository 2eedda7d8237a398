"""The admin's sign-in over real HTTP: guessing leads to a lock in every process, after a restart, and for nobody else."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.cookies import SimpleCookie
from statistics import median
from urllib.parse import urlencode

import pytest
import requests

from tests.live import Answer, Live, User, fresh_database, live, manage, serving

OPERATOR, PASSWORD = "operator", "correct horse battery staple"
ACCOUNT = {
    "DJANGO_SUPERUSER_USERNAME": OPERATOR,
    "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    "DJANGO_SUPERUSER_EMAIL": "operator@example.com",
}
LOGIN = "/operators/login/?next=/operators/"
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(scope="module")
def service() -> Iterator[Live]:
    """A service with two processes behind one proxy. The tests play the proxy by sending X-Forwarded-For."""
    with live(ADMIN_PATH="operators", TRUSTED_PROXIES="1") as running:
        manage(running.variables | ACCOUNT, "createsuperuser", "--noinput")
        yield running


@pytest.fixture(autouse=True)
def unlocked(service: Live) -> None:
    manage(service.variables, "axes_reset")


def sign_in(service: Live, password: str, address: str = HERE, name: str = OPERATOR, **headers: str) -> Answer:
    page = service.request("GET", LOGIN)
    token = re.findall(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.body)[0].decode()
    form = {"username": name, "password": password, "csrfmiddlewaretoken": token}
    sent = {"Content_Type": "application/x-www-form-urlencoded", "Cookie": cookies(page), "X_Forwarded_For": address}
    return service.request("POST", LOGIN, urlencode(form).encode(), **sent | headers)


def cookies(answer: Answer) -> str:
    jar = SimpleCookie()
    for value in answer.headers.get_all("Set-Cookie") or []:
        jar.load(value)
    return "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())


@pytest.mark.promise("P-113")
def test_guessing_is_stopped_in_every_process_and_after_a_restart(service: Live) -> None:
    assert [sign_in(service, f"wrong {number}").status for number in range(5)] == [200] * 4 + [429]
    for _ in range(2):
        for _ in range(6):  # Whichever process answers, and also with the right password.
            answer = sign_in(service, PASSWORD)
            assert (answer.status, answer.json()["code"]) == (429, "throttled")
            assert int(answer.headers["Retry-After"]) == 15 * 60
            assert "sessionid" not in cookies(answer) and "todo_session" not in cookies(answer)
        service.stop()
        service.start()
    page = sign_in(service, PASSWORD, Accept="text/html")
    assert page.status == 429 and b"Try again in 15 minutes" in page.body


@pytest.mark.promise("P-113")
def test_who_guesses_locks_out_neither_the_operator_nor_other_operators(service: Live) -> None:
    for number in range(6):
        sign_in(service, f"wrong {number}", ELSEWHERE)
    assert sign_in(service, PASSWORD, ELSEWHERE).status == 429
    assert sign_in(service, PASSWORD, HERE).status == 302
    assert sign_in(service, "x", ELSEWHERE, name="somebody").status == 200
    # What the client writes itself stands before what the proxy appends.
    assert sign_in(service, PASSWORD, f"{HERE}, {ELSEWHERE}").status == 429


def test_another_browser_or_another_address_in_the_same_network_is_the_same_guesser(service: Live) -> None:
    for number in range(5):
        sign_in(service, "x", f"2001:db8::{number}", User_Agent=f"Browser {number}")
    assert sign_in(service, PASSWORD, "2001:db8::77").status == 429


def test_a_success_forgets_the_failures_before_it(service: Live) -> None:
    for _ in range(3):
        assert [sign_in(service, "wrong").status for _ in range(4)] == [200] * 4
        assert sign_in(service, PASSWORD).status == 302


def test_an_operator_unlocks_a_colleague_with_a_command(service: Live) -> None:
    for number in range(5):
        sign_in(service, f"wrong {number}")
    assert sign_in(service, PASSWORD).status == 429
    manage(service.variables, "axes_reset_username", OPERATOR)
    assert sign_in(service, PASSWORD).status == 302


def test_the_log_names_the_address_and_neither_the_name_nor_the_password(service: Live) -> None:
    before = len(service.log)
    for _ in range(5):
        sign_in(service, "Zebrastreifen", name="Kaktusfeige")
    said = service.log[before:]
    assert "Locking out" in said and HERE in said
    assert "Zebra" not in said and "Kaktus" not in said


def test_odd_sign_ins_are_no_errors(service: Live) -> None:
    for odd in ("\0", "a" * 300, "ÿ" * 200, "'; DROP TABLE", "\u2028"):
        assert sign_in(service, odd, name=odd).status == 200
    assert sign_in(service, "x", User_Agent="x" * 2000, Accept="y" * 2000).status == 200


@pytest.mark.parametrize("address", [HERE, "unknown", "", "300.1.1.1, x"])
def test_many_guesses_at_once_are_no_errors_and_end_in_a_lock(service: Live, address: str) -> None:
    def guess(number: int) -> Answer:
        while is_busy(answer := sign_in(service, f"wrong {number}", address)):
            time.sleep(0.1)
        return answer

    with ThreadPoolExecutor(12) as pool:
        statuses = [answer.status for answer in pool.map(guess, range(24))]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) <= 4 + 1  # One process may be hashing while the other counts the fifth.
    assert guess(0).status == 429


def is_busy(answer: Answer) -> bool:
    """Return whether the process was hashing somebody else's password."""
    return answer.status == 429 and answer.headers["Retry-After"] == "1"


@pytest.mark.promise("P-113")
def test_a_flood_of_sign_ins_keeps_no_user_waiting(service: Live) -> None:
    """Each would hash a password, which takes a core for a good part of a second."""
    alice, flooding = User(service), threading.Event()

    def flood(number: int) -> list[Answer]:
        answers = []
        while not flooding.is_set():
            answers.append(sign_in(service, "x", f"198.51.100.{number}", name=f"name {number} {len(answers)}"))
        return answers

    with ThreadPoolExecutor(24) as pool:
        floods = [pool.submit(flood, number) for number in range(24)]
        time.sleep(1)
        waits = []
        for _ in range(20):
            began = time.monotonic()
            assert alice.request("GET", alice.tasks).status == 200
            waits.append(time.monotonic() - began)
        flooding.set()
        answers = [answer for one in floods for answer in one.result()]
    assert {answer.status for answer in answers} == {200, 429}
    assert all(map(is_busy, (answer for answer in answers if answer.status == 429)))
    assert median(waits) < 1


@pytest.mark.promise("P-54", "P-86", "P-114")
def test_the_admin_is_at_its_path_and_nowhere_else(service: Live) -> None:
    there, here = "http://localhost:3000", "/operators/"
    entry = sign_in(service, PASSWORD)
    assert (entry.status, entry.headers["Location"]) == (302, here)
    (session,) = [value for value in entry.headers.get_all("Set-Cookie") if value.startswith("todo_session=")]
    assert f"Path={here};" in session and "HttpOnly" in session and "SameSite=Lax" in session
    signed_in = {"Cookie": cookies(entry)}
    assert service.request("GET", here, **signed_in).status == 200
    assert service.request("GET", "/operators/tasks/task/", **signed_in).status == 200
    assert service.request("GET", "/operators").headers["Location"] == here
    assert service.request("GET", "/").json()["admin"] == here
    for path in (here, "/operators", "/operators/login/", "/operators/x"):
        assert service.request("GET", path, Origin=there).headers["Access-Control-Allow-Origin"] is None
    for path in ("/admin", "/admin/", "/admin/login/", "/operatorsx"):
        answer = service.request("GET", path, Origin=there, **signed_in)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (404, there)
    alice = User(service)
    assert service.request("GET", alice.tasks, **signed_in).status == 401
    assert service.request("GET", here, token=alice.token).status == 302


# --- DJANGO_SECRET_KEY is rotated -------------------------------------------------------------------------------------

OLD, NEW = "old-xW7qLr2Vb9Nc4Tz6Km8Ph3Jd5Fs1Ga0", "new-Zk4mYt8Rw2Xc6Vb9Nq3Lp7Hj5Df1Gs0"


@contextmanager
def two_instances() -> Iterator[tuple[Live, Live]]:
    """Two on one database, with the old secret."""
    own = {"DJANGO_SECRET_KEY": OLD, "WEB_CONCURRENCY": "1"}
    with fresh_database() as database, serving(database, **own) as one, serving(database, **own) as other:
        manage(one.variables | ACCOUNT, "createsuperuser", "--noinput")
        yield one, other


def restart(instance: Live, secret: str, former: str) -> None:
    instance.stop()
    instance.variables |= {"DJANGO_SECRET_KEY": secret, "DJANGO_SECRET_KEY_FALLBACKS": former}
    instance.start()


def send_form(page: Live, to: Live, path: str, **form: str) -> requests.Session:
    """A browser in which the form of one instance was sent to the other."""
    browser = requests.Session()
    browser.headers["Accept"] = "text/html"
    (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(page.url + path).text))
    sent = browser.post(to.url + path, {"csrfmiddlewaretoken": token, **form}, allow_redirects=False)
    assert sent.status_code == 302, sent.text
    return browser


def operator_signs_in(page: Live, to: Live) -> requests.Session:
    return send_form(page, to, "/admin/login/", username=OPERATOR, password=PASSWORD, next="/admin/")


def status(browser: requests.Session, instance: Live, path: str) -> int:
    return browser.get(instance.url + path, allow_redirects=False).status_code


@pytest.mark.promise("P-99")
def test_rotating_the_secret_key_on_two_instances_in_turn_signs_nobody_out() -> None:
    with two_instances() as (one, other):
        ann = User(one)
        for title in ("Milk", "Bread"):
            ann.create(title)
        operator, person = operator_signs_in(one, other), send_form(one, other, "/login", token=ann.token)
        for secret, former in ((OLD, NEW), (NEW, OLD), (NEW, "")):
            for restarted in (one, other):
                restart(restarted, secret, former)
                for first, second in ((one, other), (other, one)):
                    made_here = send_form(first, second, "/login", token=ann.token)
                    link = first.request("GET", f"{ann.tasks}?limit=1", token=ann.token).headers["Link"]
                    next_page = link[1 : link.index(">")].removeprefix(first.url)
                    for instance in (first, second):
                        assert status(operator, instance, "/admin/") == 200
                        assert status(person, instance, ann.tasks) == status(made_here, instance, ann.tasks) == 200
                        assert instance.request("GET", next_page, token=ann.token).status == 200
            person = made_here  # What the old secret signed has ended when that is removed.


def test_a_new_secret_key_that_the_other_instance_does_not_know_signs_out() -> None:
    """SECURITY.md says so; without it the test above would show nothing."""
    with two_instances() as (one, other):
        operator = operator_signs_in(one, other)
        restart(one, NEW, OLD)
        assert [status(operator, instance, "/admin/") for instance in (one, other, one)] == [200, 302, 302]
