"""DELETE /api/{user_id}/tasks/{task_id}"""

import pytest
from model_bakery import baker

from conftest import Actor, assert_problem, rows
from tasks.models import Task


@pytest.mark.promise("P-06")
def test_a_deleted_task_is_gone_and_the_others_stay(alice: Actor, milk: Task, bobs: Task) -> None:
    other = baker.make(Task, user_id="alice", title="Bread")
    response = alice.delete(alice.task(milk.pk))
    assert (response.status_code, response.content) == (204, b"")
    assert [row[0] for row in rows()] == [bobs.pk, other.pk]
    assert_problem(alice.get(alice.task(milk.pk)), 404, "not_found")
    assert [task["id"] for task in alice.get(alice.tasks).json()] == [other.pk]


@pytest.mark.promise("P-06")
def test_a_second_delete_is_404(alice: Actor, milk: Task, bobs: Task) -> None:
    alice.delete(alice.task(milk.pk))
    assert_problem(alice.delete(alice.task(milk.pk)), 404, "not_found")
    assert [row[0] for row in rows()] == [bobs.pk]


def test_an_id_is_not_used_again(alice: Actor, milk: Task) -> None:
    alice.delete(alice.task(milk.pk))
    assert alice.post(alice.tasks, {"title": "Bread"}).json()["id"] > milk.pk
