"""PATCH /api/{user_id}/tasks/{task_id}/complete"""

import pytest

from conftest import Actor, assert_problem, rows
from tasks.models import Task


@pytest.mark.promise("P-07")
@pytest.mark.parametrize("body", [None, {}, b"null"])
def test_without_a_flag_it_flips(alice: Actor, milk: Task, body) -> None:
    for completed in (True, False, True):
        response = alice.patch(alice.complete(milk.pk), body)
        assert response.status_code == 200
        assert response.json()["completed"] is completed
        assert Task.objects.get().completed is completed


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_nothing_flips_whatever_its_content_type(alice: Actor, milk: Task, content_type: str) -> None:
    response = alice.client.generic(
        "PATCH",
        alice.complete(milk.pk),
        headers={"Authorization": f"Bearer {alice.token}"},
        CONTENT_TYPE=content_type,
        CONTENT_LENGTH="0",
    )
    assert response.json()["completed"] is True


@pytest.mark.promise("P-07")
@pytest.mark.parametrize("completed", [True, False])
def test_with_a_flag_it_sets_so_that_a_client_can_retry(alice: Actor, milk: Task, completed: bool) -> None:
    for _ in range(3):
        assert alice.patch(alice.complete(milk.pk), {"completed": completed}).json()["completed"] is completed
    assert Task.objects.get().completed is completed


def test_nothing_else_of_the_task_changes_but_updated_at(alice: Actor, milk: Task, bobs: Task) -> None:
    was, bobs_row = alice.get(alice.task(milk.pk)).json(), rows()[1]
    task = alice.patch(alice.complete(milk.pk)).json()
    assert task == {**was, "completed": True, "updated_at": task["updated_at"]}
    assert rows()[1] == bobs_row


@pytest.mark.parametrize("body", [None, {"completed": True}])
def test_updated_at_moves_also_when_the_flag_does_not(alice: Actor, milk: Task, body) -> None:
    moments = [alice.patch(alice.complete(milk.pk), body).json()["updated_at"] for _ in range(10)]
    assert moments == sorted(set(moments))


@pytest.mark.promise("P-07")
@pytest.mark.parametrize(
    "body",
    [
        *({"completed": value} for value in ["true", "", 1, 0, 1.0, None, [], {}]),
        *({"completed": True, name: 1} for name in ["id", "title", "done", "", "a/b~c", "😀", "\0", "\ud800"]),
        {"title": "New"},
        *([], [True], [{"completed": True}], "", "true", "null", 0, 1, True, False, [None], {"completed": {}}),
    ],
)
def test_anything_else_is_422(alice: Actor, milk: Task, body) -> None:
    before = rows()
    assert_problem(alice.patch(alice.complete(milk.pk), body), 422, "validation_error")
    assert rows() == before


def test_an_unknown_member_is_pointed_at(alice: Actor, milk: Task) -> None:
    problem = assert_problem(alice.patch(alice.complete(milk.pk), {"a/b~c": 1}), 422, "validation_error")
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("/a~1b~0c", "unknown")]
    assert rows()[0][4] is False


@pytest.mark.promise("P-37")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"completed": "yes"}, "completed: must be true or false."),
        ({"completed": None}, "completed: this field may not be null."),
        ({"complete": True}, "complete: only completed may be sent here."),
        ({"a/b~c": 1}, "a/b~c: only completed may be sent here."),
        ({"é" * 50: 1}, "é" * 50 + ": only completed may be sent here."),
        ({"é" * 51: 1}, "é" * 50 + "…: only completed may be sent here."),
        ({"x" * 200_000: 1}, "x" * 50 + "…: only completed may be sent here."),
        ([], "The body is not a JSON object."),
    ],
)
def test_detail_says_the_first_fault_and_its_member(alice: Actor, milk: Task, body, said: str) -> None:
    assert assert_problem(alice.patch(alice.complete(milk.pk), body), 422, "validation_error")["detail"] == said
