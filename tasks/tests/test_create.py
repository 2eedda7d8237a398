"""POST /api/{user_id}/tasks"""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from conftest import Actor, assert_problem, rows, sign
from tasks.models import Task


@pytest.mark.promise("P-03")
def test_created_task_is_stored_and_returned(db, alice: Actor) -> None:
    response = alice.post(alice.tasks, {"title": "  Milk ", "description": " two ", "completed": True})
    assert response.status_code == 201
    task = Task.objects.get()
    assert response.json() == {
        "id": task.pk,
        "title": "Milk",
        "description": " two ",
        "completed": True,
        "user_id": "alice",
        "created_at": task.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "updated_at": task.updated_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    assert response["Location"] == f"http://testserver/api/alice/tasks/{task.pk}"
    assert rows() == [(task.pk, "alice", "Milk", " two ", True, task.created_at, task.updated_at, None, None)]


@pytest.mark.promise("P-03")
def test_a_title_is_enough(db, alice: Actor) -> None:
    task = alice.post(alice.tasks, {"title": "Milk"}).json()
    assert (task["description"], task["completed"]) == (None, False)


def test_title_is_required(db, alice: Actor) -> None:
    problem = assert_problem(alice.post(alice.tasks, {}), 422, "validation_error")
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("/title", "required")]
    assert rows() == []


def test_nothing_sent_is_a_missing_title(db, alice: Actor) -> None:
    assert_problem(alice.post(alice.tasks), 422, "validation_error")
    assert rows() == []


@pytest.mark.promise("P-37")
def test_every_fault_is_told_at_once(db, alice: Actor) -> None:
    body = {"title": "", "description": 1, "completed": "yes"}
    problem = assert_problem(alice.post(alice.tasks, body), 422, "validation_error")
    assert {error["pointer"] for error in problem["errors"]} == {"/title", "/description", "/completed"}
    assert rows() == []


def test_a_new_task_was_created_and_updated_at_the_same_moment(transactional_db, alice: Actor) -> None:
    for _ in range(20):
        task = alice.post(alice.tasks, {"title": "Milk"}).json()
        assert task["created_at"] == task["updated_at"]
    moments = set(Task.objects.values_list("created_at", flat=True))
    assert len(moments) == 20
    assert any(moment.microsecond % 1000 for moment in moments)
    assert all(abs(timezone.now() - moment) < timedelta(minutes=1) for moment in moments)


@pytest.mark.promise("P-14")
def test_members_that_are_not_the_clients_to_set_change_nothing(db, alice: Actor, bobs: Task) -> None:
    foreign = {"id": bobs.pk, "user_id": "bob", "created_at": "2001-01-01T00:00:00Z", "updated_at": 7}
    task = alice.post(alice.tasks, {"title": "Milk", **foreign, "priority": {"high": 1}, "\ud800": "\ud800"}).json()
    assert (task["user_id"], task["title"]) == ("alice", "Milk")
    assert task["id"] != bobs.pk and task["created_at"] > "2020"
    assert rows()[0][1:3] == ("bob", "Bob's secret")
    assert len(rows()) == 2


@pytest.mark.promise("P-03")
@pytest.mark.parametrize(
    "subject", ["50%", "a%2Fb", "a?b", "a#b", "a b", "a+b&c", "Ünï", "😀", "auth0|1", "a\nb", "a" * 255]
)
def test_location_leads_to_the_task_whatever_the_user_is_called(db, subject: str) -> None:
    client = Client(headers={"Authorization": f"Bearer {sign(subject)}"})
    path = "/api/" + "".join(f"%{byte:02X}" for byte in subject.encode()) + "/tasks"
    created = client.post(path, {"title": "Milk"}, "application/json")
    assert created.status_code == 201
    location = created["Location"].removeprefix("http://testserver")
    assert client.get(location).json() == created.json()
    written = client.put(location, {"title": "Cream"}, "application/json")
    assert written["Content-Location"] == created["Location"]
    client.post(path, {"title": "Bread"}, "application/json")
    link = client.get(path + "?limit=1")["Link"].removeprefix("<http://testserver").removesuffix('>; rel="next"')
    assert [task["title"] for task in client.get(link).json()] == ["Cream"]


def test_location_says_https_behind_a_proxy(db, alice: Actor) -> None:
    response = alice.post(alice.tasks, {"title": "Milk"}, X_Forwarded_Proto="https", Host="testserver")
    assert response["Location"] == f"https://testserver/api/alice/tasks/{response.json()['id']}"
