"""GET /api/{user_id}/tasks/{task_id}"""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from model_bakery import baker

from conftest import Actor, assert_problem, rows
from tasks.models import Task

MOMENTS = {
    datetime(2026, 1, 2, 3, 4, 5, 0, UTC): "2026-01-02T03:04:05.000000Z",
    datetime(2026, 1, 2, 3, 4, 5, 120, UTC): "2026-01-02T03:04:05.000120Z",
    datetime(2026, 1, 2, 1, 4, 5, 600_000, timezone(timedelta(hours=5))): "2026-01-01T20:04:05.600000Z",
    datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC): "1999-12-31T23:59:59.999999Z",
}


@pytest.mark.promise("P-04")
def test_a_task_is_returned_as_it_is_stored(alice: Actor, milk: Task) -> None:
    response = alice.get(alice.task(milk.pk))
    assert response.status_code == 200
    task = response.json()
    assert list(task) == ["id", "title", "description", "completed", "user_id", "created_at", "updated_at"]
    assert (task["id"], task["title"], task["description"]) == (milk.pk, "Milk", "Two litres")
    assert (task["completed"], task["user_id"]) == (False, "alice")
    assert type(task["completed"]) is bool


@pytest.mark.promise("P-15")
@pytest.mark.parametrize("moment", MOMENTS)
def test_times_are_utc_with_six_digits_of_microseconds(db, alice: Actor, moment: datetime) -> None:
    task = baker.make(Task, user_id="alice", title="Milk", created_at=moment, updated_at=moment)
    for seen in (alice.get(alice.task(task.pk)).json(), alice.get(alice.tasks).json()[0]):
        assert (seen["created_at"], seen["updated_at"]) == (MOMENTS[moment], MOMENTS[moment])


def test_times_of_a_new_task_have_that_form_too(db, alice: Actor) -> None:
    task = alice.post(alice.tasks, {"title": "Milk"}).json()
    for name in ("created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", task[name])
        assert abs(datetime.fromisoformat(task[name]) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.promise("P-08")
def test_head_answers_as_get_without_the_body(alice: Actor, milk: Task) -> None:
    get, head = alice.get(alice.task(milk.pk)), alice.request("HEAD", alice.task(milk.pk))
    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Length"] == get["Content-Length"] == str(len(get.content))


@pytest.mark.promise("P-04")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "task_id",
    [
        "0",
        "999999999",
        2**63 - 1,
        2**63,
        2**64,
        2**64 + 1,
        "9" * 5000,
        "01",
        "-1",
        "+1",
        "1.0",
        "1e0",
        "0x1",
        "١",
        "x",
        "%20",
    ],
)
def test_an_id_of_no_task_is_404(alice: Actor, milk: Task, method: str, task_id) -> None:
    path = alice.complete(task_id) if method == "PATCH" else alice.task(task_id)
    before = rows()
    assert_problem(alice.request(method, path, {"title": "New"} if method == "PUT" else None), 404, "not_found")
    assert rows() == before


def test_an_id_with_leading_zeros_is_not_that_task(alice: Actor, milk: Task) -> None:
    assert_problem(alice.get(f"{alice.tasks}/0{milk.pk}"), 404, "not_found")
    assert_problem(alice.patch(f"{alice.tasks}/00{milk.pk}/complete"), 404, "not_found")
    assert rows()[0][4] is False


def test_the_last_id_of_64_bits_is_a_task_like_any_other(db, alice: Actor) -> None:
    baker.make(Task, id=2**63 - 1, user_id="alice", title="Last")
    assert alice.get(alice.task(2**63 - 1)).json()["id"] == 2**63 - 1
    assert alice.patch(alice.complete(2**63 - 1)).json()["completed"] is True
