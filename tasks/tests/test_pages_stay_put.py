"""The promise of the pages, for every order and filter: what stays is seen exactly once, whoever writes meanwhile."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Actor
from tasks.models import Task
from tasks.pagination import ORDERINGS
from tasks.tests.test_pagination import next_page

START = datetime(2026, 1, 1, tzinfo=UTC)
TITLES = st.sampled_from(["a", "A", "aa", "b", "é", "Z", "😀", "%", "_"])  # Few, so that ids break many ties.
DESCRIPTIONS = st.sampled_from([None, "", "A", "b%"])
MOMENTS = st.integers(0, 3).map(lambda number: START + timedelta(microseconds=500_000 * number))
TASKS = st.fixed_dictionaries(
    {
        "title": TITLES,
        "description": DESCRIPTIONS,
        "completed": st.booleans(),
        "created_at": MOMENTS,
        "updated_at": MOMENTS,
        "user_id": st.sampled_from(["alice", "alice", "alice", "bob"]),
    }
)
WHICH = st.integers(0, 30)
WRITES = st.one_of(
    st.tuples(st.just("create"), st.just(0), TASKS),
    st.tuples(st.just("post"), st.just(0), TITLES),
    st.tuples(st.just("put"), WHICH, st.fixed_dictionaries({"title": TITLES}, optional={"description": DESCRIPTIONS})),
    st.tuples(st.just("complete"), WHICH, st.sampled_from([None, {"completed": True}, {"completed": False}])),
    st.tuples(st.just("delete"), WHICH, st.none()),
)
FILTERS = st.fixed_dictionaries(
    {}, optional={"completed": st.sampled_from(["true", "false"]), "search": st.sampled_from(["a", "%", "B"])}
)


def write(alice: Actor, how: str, which: int, what: Any) -> None:
    """One write by Alice's other app; it may hit a task that is on a page, the cursor's own, or a new one."""
    if how == "create":  # At a place of its own in every order.
        Task.objects.create(**what)
        return
    if how == "post":
        assert alice.post(alice.tasks, {"title": what}).status_code == 201
        return
    ids = list(Task.objects.filter(user_id="alice").order_by("id").values_list("id", flat=True))
    if not ids:
        return
    task_id = ids[which % len(ids)]
    if how == "delete":
        assert alice.delete(alice.task(task_id)).status_code == 204
    elif how == "put":
        assert alice.put(alice.task(task_id), what).status_code == 200
    else:
        assert alice.patch(alice.complete(task_id), what).status_code == 200


def listed(key: str, filters: dict[str, str]) -> dict[int, Any]:
    """The sort key of each task that belongs to the list now, found without the code under test."""

    def belongs(task: Task) -> bool:
        texts = [task.title.lower(), (task.description or "").lower()]
        return (
            task.user_id == "alice"
            and filters.get("completed", str(task.completed).lower()) == str(task.completed).lower()
            and any(filters.get("search", "").lower() in text for text in texts)
        )

    return {task.pk: getattr(task, key) for task in Task.objects.all() if belongs(task)}


@pytest.mark.promise("P-71")
@pytest.mark.parametrize("ordering", ORDERINGS)
@settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    tasks=st.lists(TASKS, min_size=4, max_size=14),
    filters=FILTERS,
    limit=st.integers(1, 4),
    meanwhile=st.lists(st.lists(WRITES, max_size=3), max_size=6),
)
def test_what_stays_is_seen_exactly_once(db, ordering: str, tasks, filters, limit: int, meanwhile) -> None:
    Task.objects.all().delete()
    Task.objects.bulk_create(Task(**task) for task in tasks)
    alice, key = Actor("alice"), ordering.removeprefix("-")
    stays, seen = listed(key, filters), []
    path = f"{alice.tasks}?{urlencode({'limit': limit, 'ordering': ordering, **filters})}"
    batches = iter(meanwhile)
    while path:
        response = alice.get(path)
        assert response.status_code == 200
        page, there = [task["id"] for task in response.json()], listed(key, filters)
        assert set(page) <= set(there)
        in_order = sorted(page, key=lambda task_id: (there[task_id], task_id), reverse=ordering.startswith("-"))
        assert page == in_order
        assert len(page) <= limit
        seen += page
        assert len(seen) < 100  # A walk comes to its end.
        path = next_page(response)
        for one in next(batches, []):
            write(alice, *one)
            now = listed(key, filters)
            stays = {task_id: value for task_id, value in stays.items() if now.get(task_id) == value}
    assert {task_id: seen.count(task_id) for task_id in stays} == dict.fromkeys(stays, 1)
