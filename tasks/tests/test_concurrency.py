"""Writers at the same moment, in threads with connections of their own."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections

from conftest import Actor
from tasks.models import Task

pytestmark = pytest.mark.django_db(transaction=True)


def size(postgresql: int, sqlite: int) -> int:
    return postgresql if connection.vendor == "postgresql" else sqlite


def at_once(*works: Callable[[Actor], Any]) -> list[Any]:
    """What each returns, run as Alice in a thread of its own; all start together."""
    barrier = Barrier(len(works))

    def run(work: Callable[[Actor], Any]) -> Any:
        try:
            barrier.wait()
            return work(Actor("alice"))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def ok(response: Any) -> Any:
    assert response.status_code in {200, 201}, response.content
    return response.json()


def assert_one_after_the_other(answers: Iterable[Any], last: Task) -> list[Any]:
    """Each write saw the one before: no two share an `updated_at`, and the row is as the last one left it."""
    in_order = sorted(answers, key=lambda task: task["updated_at"])
    assert all(one["updated_at"] < other["updated_at"] for one, other in pairwise(in_order))
    assert last.updated_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ") == in_order[-1]["updated_at"]
    return in_order


@pytest.mark.promise("P-17")
def test_every_one_of_many_toggles_counts(milk: Task) -> None:
    threads, each = size(7, 3), size(25, 11)  # Odd in all.

    def toggle(alice: Actor) -> list[Any]:
        return [ok(alice.patch(alice.complete(milk.pk))) for _ in range(each)]

    answers = [task for tasks in at_once(*[toggle] * threads) for task in tasks]
    milk.refresh_from_db()
    in_order = assert_one_after_the_other(answers, milk)
    # In the order of their moments the flag goes true, false, true ...: none was lost, none was seen twice.
    assert [task["completed"] for task in in_order] == [number % 2 == 0 for number in range(threads * each)]
    assert milk.completed is True


@pytest.mark.promise("P-17")
def test_a_put_and_a_toggle_at_the_same_moment_both_survive(milk: Task) -> None:
    for number in range(size(40, 10)):
        was = Task.objects.get()
        title, description = f"title {number}", f"description {number}"
        at_once(
            lambda alice, title=title: ok(alice.put(alice.task(milk.pk), {"title": title})),
            lambda alice: ok(alice.patch(alice.complete(milk.pk))),
        )
        now = Task.objects.get()
        assert (now.title, now.description, now.completed) == (title, was.description, not was.completed)
        at_once(
            lambda alice, body={"title": title, "description": description}: ok(alice.put(alice.task(milk.pk), body)),
            lambda alice, body={"title": title, "completed": was.completed}: ok(alice.put(alice.task(milk.pk), body)),
        )
        now = Task.objects.get()
        assert (now.title, now.description, now.completed) == (title, description, was.completed)


@pytest.mark.promise("P-15")
def test_updated_at_strictly_increases_under_concurrent_writers_of_every_kind(milk: Task) -> None:
    each = size(25, 8)

    def put(alice: Actor) -> list[Any]:
        return [ok(alice.put(alice.task(milk.pk), {"title": f"title {number}"})) for number in range(each)]

    def toggle(alice: Actor) -> list[Any]:
        return [ok(alice.patch(alice.complete(milk.pk))) for _ in range(each)]

    def set_flag(alice: Actor) -> list[Any]:
        return [ok(alice.patch(alice.complete(milk.pk), {"completed": True})) for _ in range(each)]

    def operate(alice: Actor) -> list[Any]:
        for _ in range(each):
            Task.objects.filter(pk=milk.pk).update(description="operator")
        return []

    answers = [task for tasks in at_once(put, toggle, set_flag, operate, put, toggle) for task in tasks]
    answers.append(ok(Actor("alice").put(f"/api/alice/tasks/{milk.pk}", {"title": "last"})))
    milk.refresh_from_db()
    assert_one_after_the_other(answers, milk)


def test_concurrent_creates_are_all_there_with_ids_of_their_own() -> None:
    threads, each = size(6, 3), 10

    def create(alice: Actor) -> list[Any]:
        return [ok(alice.post(alice.tasks, {"title": "Milk"}))["id"] for _ in range(each)]

    ids = [task_id for created in at_once(*[create] * threads) for task_id in created]
    assert len(ids) == len(set(ids)) == threads * each
    assert set(Task.objects.values_list("id", flat=True)) == set(ids)


def test_of_two_deletes_at_the_same_moment_one_is_404() -> None:
    for _ in range(size(20, 5)):
        task = Task.objects.create(user_id="alice", title="Milk")
        answers = at_once(*[lambda alice, pk=task.pk: alice.delete(alice.task(pk)).status_code] * 2)
        assert sorted(answers) == [204, 404]
    assert not Task.objects.exists()
