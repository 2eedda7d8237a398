"""Operators' sessions end, staff who may only view tasks can only view them, and a failed sign-in leaves no text behind."""

import re
import time
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conftest import Actor, rows
from tasks.models import Task

pytestmark = pytest.mark.django_db
LIST = "/admin/tasks/task/"
PASSWORD = "correct horse battery staple"


def sign_in(name: str) -> Client:
    client = Client()
    answer = client.post("/admin/login/?next=/admin/", {"username": name, "password": PASSWORD})
    assert answer.status_code == 302
    return client


@pytest.fixture
def operator() -> Client:
    User.objects.create_superuser("operator", password=PASSWORD)
    return sign_in("operator")


def expires_in() -> float:
    return (Session.objects.get().expire_date - timezone.now()).total_seconds()


@pytest.mark.promise("P-114")
def test_a_session_ends_after_an_hour_without_a_request(operator: Client) -> None:
    assert operator.get(LIST).status_code == 200
    assert 3590 < expires_in() <= 3600
    Session.objects.update(expire_date=timezone.now() + timedelta(seconds=5))
    assert operator.get(LIST).status_code == 200
    assert 3590 < expires_in() <= 3600  # A request begins the hour anew.
    Session.objects.update(expire_date=timezone.now())
    assert operator.get(LIST).status_code == 302


@pytest.mark.promise("P-114")
def test_a_session_ends_after_a_working_day_and_another_can_begin(operator: Client, monkeypatch, milk: Task) -> None:
    before, now, clock = rows(), time.time(), time.time
    assert operator.get(LIST).status_code == 200
    monkeypatch.setattr(time, "time", lambda: clock() + settings.SESSION_MOST_SECONDS - 60)
    assert operator.get(LIST).status_code == 200
    monkeypatch.setattr(time, "time", lambda: clock() + settings.SESSION_MOST_SECONDS + 60)
    refused = operator.post(LIST, {"action": "complete", "_selected_action": milk.pk})
    assert (refused.status_code, refused["Location"].partition("?")[0]) == (302, "/admin/login/")
    assert rows() == before and not Session.objects.exists()
    operator.post("/admin/login/?next=/admin/", {"username": "operator", "password": PASSWORD})
    assert operator.get(LIST).status_code == 200
    assert clock() - now < 60


@pytest.mark.promise("P-114")
def test_staff_who_may_only_view_tasks_see_them_and_change_nothing(milk: Task, bobs: Task) -> None:
    viewer = User.objects.create_user("viewer", password=PASSWORD, is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_task"))
    client, before = sign_in("viewer"), rows()
    page = client.get(LIST).content.decode()
    assert "Milk" in page and "Bob&#x27;s secret" in page
    assert 'name="action"' not in page and "add/" not in re.sub("/static/.*", "", page)
    task = client.get(f"{LIST}{milk.pk}/change/").content.decode()
    assert "Two litres" in task and 'name="_save"' not in task and 'name="title"' not in task
    change = {"title": "Mine", "description": "", "completed": "on", "_save": "Save"}
    refusals = [
        client.post(f"{LIST}{milk.pk}/change/", change),
        client.post(f"{LIST}add/", {**change, "user_id": "viewer"}),
        client.post(f"{LIST}{milk.pk}/delete/", {"post": "yes"}),
        client.get(f"{LIST}add/"),
        client.get(f"{LIST}{milk.pk}/delete/"),
    ]
    assert {refusal.status_code for refusal in refusals} == {403}
    for action in ("complete", "reopen", "delete_selected"):
        client.post(LIST, {"action": action, "_selected_action": [milk.pk, bobs.pk], "select_across": "1"})
    for other in ("/admin/auth/user/", "/admin/auth/group/"):
        assert client.get(other).status_code == 403
    assert rows() == before and not LogEntry.objects.exists()


@pytest.mark.promise("P-114")
def test_staff_without_any_permission_see_no_task(milk: Task) -> None:
    User.objects.create_user("nobody", password=PASSWORD, is_staff=True)
    assert sign_in("nobody").get(LIST).status_code == 403


@pytest.mark.promise("P-119")
def test_a_failed_sign_in_leaves_nothing_of_what_it_sent() -> None:
    """Its page is where an operator without a session is led, with the address of a search in `next`."""
    client = Client()
    page = client.get(f"{LIST}?q=Zebra", follow=True)
    (path, _), *_ = page.redirect_chain
    for _ in range(2):  # django-axes adds what the second sends to what the first sent.
        answer = client.post(
            path, {"username": "operatr", "password": PASSWORD, "next": f"{LIST}?q=Zebra", "note": "Zebra"}
        )
        assert answer.status_code == 200
        assert f'value="{LIST}?q=Zebra"' in answer.content.decode()
    (attempt,) = AccessAttempt.objects.values()
    assert attempt["failures_since_start"] == 2
    assert "Zebra" not in str(attempt) and PASSWORD not in str(attempt)


@pytest.mark.promise("P-114")
def test_locks_cost_the_api_nothing(alice: Actor) -> None:
    alice.post(alice.tasks, {"title": "Milk"})
    with CaptureQueriesContext(connection) as asked:
        assert alice.get(alice.tasks).status_code == 200
    assert [query["sql"].count("tasks_task") > 0 for query in asked] == [True]
