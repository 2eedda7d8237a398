"""PUT /api/{user_id}/tasks/{task_id}"""

from datetime import timedelta

import pytest
from django.utils import timezone

from conftest import Actor, assert_problem, rows
from tasks.models import Task


@pytest.mark.promise("P-05")
def test_every_member_that_was_sent_is_written(alice: Actor, milk: Task) -> None:
    response = alice.put(alice.task(milk.pk), {"title": " Cream ", "description": " One ", "completed": True})
    assert response.status_code == 200
    task = response.json()
    assert (task["title"], task["description"], task["completed"]) == ("Cream", " One ", True)
    assert response["Content-Location"] == f"http://testserver/api/alice/tasks/{milk.pk}"
    assert alice.get(alice.task(milk.pk)).json() == task


def test_content_location_says_https_behind_a_proxy(alice: Actor, milk: Task) -> None:
    response = alice.put(alice.task(milk.pk), {"title": "Cream"}, X_Forwarded_Proto="https", Host="testserver")
    assert response["Content-Location"] == f"https://testserver/api/alice/tasks/{milk.pk}"


@pytest.mark.promise("P-05")
@pytest.mark.parametrize("completed", [True, False])
def test_members_that_were_not_sent_keep_their_values(alice: Actor, milk: Task, completed: bool) -> None:
    alice.patch(alice.complete(milk.pk), {"completed": completed})
    task = alice.put(alice.task(milk.pk), {"title": "Cream"}).json()
    assert (task["title"], task["description"], task["completed"]) == ("Cream", "Two litres", completed)


@pytest.mark.promise("P-05")
def test_null_clears_the_description(alice: Actor, milk: Task) -> None:
    task = alice.put(alice.task(milk.pk), {"title": "Milk", "description": None}).json()
    assert task["description"] is None
    assert Task.objects.get().description is None


@pytest.mark.promise("P-05")
@pytest.mark.parametrize("body", [None, {}, {"description": "New"}, {"completed": True}])
def test_title_is_required(alice: Actor, milk: Task, body) -> None:
    before = rows()
    problem = assert_problem(alice.put(alice.task(milk.pk), body), 422, "validation_error")
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("/title", "required")]
    assert rows() == before


@pytest.mark.promise("P-14")
def test_members_that_are_not_the_clients_to_set_change_nothing(alice: Actor, milk: Task, bobs: Task) -> None:
    was, bobs_row = alice.get(alice.task(milk.pk)).json(), rows()[1]
    foreign = {
        "id": bobs.pk,
        "user_id": "bob",
        "created_at": "2001-01-01T00:00:00Z",
        "updated_at": "2999-01-01T00:00:00Z",
    }
    task = alice.put(alice.task(milk.pk), {"title": "Milk", **foreign, "priority": 1}).json()
    assert was["updated_at"] < task["updated_at"] < "2999"
    assert task == {**was, "updated_at": task["updated_at"]}
    assert rows()[1] == bobs_row


def test_updated_at_moves_with_every_write_and_created_at_never(alice: Actor, milk: Task) -> None:
    was = alice.get(alice.task(milk.pk)).json()
    for _ in range(20):
        task = alice.put(alice.task(milk.pk), {"title": "Milk"}).json()
        assert task["updated_at"] > was["updated_at"]
        assert task["created_at"] == was["created_at"]
        was = task


def test_updated_at_is_the_time_of_the_write(alice: Actor, milk: Task) -> None:
    Task.objects.filter(pk=milk.pk).update(updated_at=timezone.now() - timedelta(days=1))
    for write in (
        lambda: alice.put(alice.task(milk.pk), {"title": "Milk"}),
        lambda: alice.patch(alice.complete(milk.pk)),
    ):
        assert write().status_code == 200
        assert abs(timezone.now() - Task.objects.get().updated_at) < timedelta(minutes=1)


@pytest.mark.promise("P-15")
@pytest.mark.parametrize("write", ["put", "flip", "set"])
def test_updated_at_moves_on_also_when_the_clock_went_back(alice: Actor, milk: Task, write: str) -> None:
    ahead = timezone.now() + timedelta(hours=1)
    Task.objects.filter(pk=milk.pk).update(updated_at=ahead)
    for step in range(1, 4):
        if write == "put":
            task = alice.put(alice.task(milk.pk), {"title": "Milk"}).json()
        else:
            task = alice.patch(alice.complete(milk.pk), {"completed": True} if write == "set" else None).json()
        expected = ahead + timedelta(microseconds=step)
        assert task["updated_at"] == expected.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        assert Task.objects.get().updated_at == expected


def test_a_body_at_fault_is_told_before_a_missing_task(db, alice: Actor) -> None:
    assert_problem(alice.put(alice.task(1), {"title": 1}), 422, "validation_error")
    assert rows() == []
