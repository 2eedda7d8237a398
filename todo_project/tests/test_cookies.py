"""Another Django on the same host, whose cookies for `/` a browser sends here too."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from conftest import Actor, sign
from tasks.models import Task

pytestmark = pytest.mark.django_db
FOREIGN = {"sessionid": "0" * 32, "csrftoken": "A" * 32, "messages": "W10:1abcde:foreign"}
PASSWORD = "correct horse battery staple"


class Browser(Client):
    """A browser that sends, after our cookies, those of the other Django."""

    def request(self, **request):
        cookies = {name: morsel.coded_value for name, morsel in self.cookies.items()}
        sent = "; ".join(f"{name}={value}" for name, value in [*cookies.items(), *FOREIGN.items()])
        kept, self.cookies = self.cookies, type(self.cookies)()
        try:
            response = super().request(**{**request, "HTTP_COOKIE": sent})
        finally:
            kept.update(self.cookies)
            self.cookies = kept
        assert not FOREIGN.keys() & response.cookies.keys(), "A cookie of the other Django was written or deleted."
        return response


@pytest.fixture
def browser() -> Browser:
    return Browser(enforce_csrf_checks=True, headers={"Accept": "text/html"})


def csrf(browser: Browser, page: str) -> str:
    (token, *_) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(page).content.decode())
    return token


@pytest.mark.promise("P-86")
def test_operator_signs_in_and_acts_beside_another_django(browser: Browser, milk: Task) -> None:
    User.objects.create_superuser("operator", password=PASSWORD)
    sign_in = "/admin/login/?next=/admin/"
    form = {"username": "operator", "password": PASSWORD, "csrfmiddlewaretoken": csrf(browser, sign_in)}
    assert browser.post(sign_in, form).status_code == 302
    tasks = "/admin/tasks/task/"
    token = csrf(browser, tasks)
    form = {"action": "complete", "_selected_action": milk.pk, "csrfmiddlewaretoken": token}
    done = browser.post(tasks, form, follow=True)
    assert "1 task completed" in done.content.decode()
    question = browser.get(f"{tasks}{milk.pk}/delete/").content.decode()
    asked = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', question))
    assert browser.post(f"{tasks}{milk.pk}/delete/", asked).status_code == 302
    assert not Task.objects.exists()
    assert browser.post("/admin/logout/", {"csrfmiddlewaretoken": csrf(browser, tasks)}).status_code == 200
    assert browser.get(tasks).status_code == 302


@pytest.mark.promise("P-86")
def test_person_signs_in_and_writes_beside_another_django(browser: Browser, alice: Actor) -> None:
    form = {"token": sign(alice.subject), "csrfmiddlewaretoken": csrf(browser, "/login")}
    assert browser.post("/login", form)["Location"] == alice.tasks
    sent = {"X-CSRFToken": csrf(browser, alice.tasks)}
    answer = browser.post(alice.tasks, {"title": "Milk"}, "application/json", headers=sent)
    assert answer.status_code == 303
    assert browser.post("/logout", {"csrfmiddlewaretoken": csrf(browser, alice.tasks)}).status_code == 302
    assert browser.get(alice.tasks).status_code == 302


@pytest.mark.promise("P-86")
def test_cookies_of_another_django_are_no_sign_in_and_no_csrf_token(browser: Browser, alice: Actor) -> None:
    assert browser.get("/admin/").status_code == 302
    form = {"token": sign(alice.subject), "csrfmiddlewaretoken": FOREIGN["csrftoken"]}
    assert browser.post("/login", form).status_code == 403
    assert "todo_sign_in" not in browser.cookies
