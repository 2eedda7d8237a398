"""POST /api/{user_id}/tasks"""

from conftest import Actor, assert_problem, rows
from tasks.models import Task


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
    assert task.created_at == task.updated_at
    assert response["Location"] == f"http://testserver/api/alice/tasks/{task.pk}"


def test_title_is_required(db, alice: Actor) -> None:
    problem = assert_problem(alice.post(alice.tasks, {}), 422, "validation_error")
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("/title", "required")]
    assert rows() == []
