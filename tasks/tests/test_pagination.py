"""Keyset pages: complete, without duplicates, and their cursors good for nothing else."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from model_bakery import baker

from conftest import Actor, assert_problem, rows
from tasks.models import Task
from tasks.pagination import ORDERINGS

START = datetime(2026, 1, 1, tzinfo=UTC)
FILTERS = ["", "completed=true", "completed=false", "search=a", "search=a&completed=true"]


@pytest.fixture
def tasks(db) -> None:
    """Of each sort key a few values only, among them whole seconds; half of the tasks are Bob's."""
    Task.objects.bulk_create(
        Task(
            user_id=user_id,
            title="aZÉ😀"[number % 4],
            description=[None, "A", ""][number % 3],
            completed=number % 5 < 2,
            created_at=START + timedelta(milliseconds=500 * (number % 3)),
            updated_at=START + timedelta(microseconds=number % 2),
        )
        for number in range(31)
        for user_id in ("alice", "bob")
    )


def next_page(response: Any) -> str | None:
    if "Link" not in response:
        return None
    match = re.fullmatch(r'<(https?://testserver(/[^>]*))>; rel="next"', response["Link"])
    assert match, response["Link"]
    return match[2]


def pages(actor: Actor, path: str | None) -> Iterator[list[Any]]:
    while path:
        response = actor.get(path)
        assert response.status_code == 200
        yield response.json()
        path = next_page(response)


def cursor_of(actor: Actor, query: str = "limit=1") -> str:
    return parse_qs(urlsplit(next_page(actor.get(f"{actor.tasks}?{query}"))).query)["cursor"][0]


@pytest.mark.promise("P-42")
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("filters", FILTERS)
def test_every_walk_sees_each_task_once_and_in_order(alice: Actor, tasks, ordering: str, filters: str) -> None:
    key = ordering.removeprefix("-")
    expected = [
        task["id"]
        for task in sorted(
            alice.get(f"{alice.tasks}?{filters}").json(),
            key=lambda task: (task[key], task["id"]),
            reverse=ordering.startswith("-"),
        )
    ]
    assert len(expected) > 5
    for limit in (1, 4, len(expected) - 1):
        walk = list(pages(alice, f"{alice.tasks}?limit={limit}&ordering={ordering}&{filters}"))
        assert [task["id"] for page in walk for task in page] == expected
        assert {len(page) for page in walk[:-1]} == {limit}


@pytest.mark.promise("P-42")
def test_a_full_last_page_has_no_next(alice: Actor, tasks) -> None:
    assert next_page(alice.get(f"{alice.tasks}?limit=31")) is None
    assert next_page(alice.get(f"{alice.tasks}?limit=30")) is not None
    assert next_page(alice.get(alice.tasks)) is None


def test_link_is_absolute_and_keeps_the_query(alice: Actor, tasks) -> None:
    query = f"limit=2&search={quote('A')}&completed=false&ordering=title&other=%26%3D+%E2%82%AC"
    link = alice.get(f"{alice.tasks}?{query}")["Link"]
    address = urlsplit(link.removeprefix("<").removesuffix('>; rel="next"'))
    assert (address.scheme, address.netloc, address.path) == ("http", "testserver", alice.tasks)
    kept = {name: values for name, values in parse_qs(address.query).items() if name != "cursor"}
    assert kept == parse_qs(query)
    again = alice.get(f"{address.path}?{address.query}")["Link"]
    assert again.count("cursor=") == 1
    assert again != link


@pytest.mark.promise("P-59")
def test_link_says_https_behind_a_proxy(alice: Actor, tasks) -> None:
    response = alice.get(f"{alice.tasks}?limit=1", X_Forwarded_Proto="https", Host="testserver")
    assert response["Link"].startswith(f"<https://testserver{alice.tasks}?")


@pytest.mark.promise("P-42")
def test_a_walk_is_complete_while_others_write(alice: Actor, tasks) -> None:
    stay = {task["id"] for task in alice.get(alice.tasks).json() if task["id"] % 3}
    seen: list[int] = []
    for page in pages(alice, f"{alice.tasks}?limit=4&ordering=created_at"):
        seen += [task["id"] for task in page]
        # The task that the cursor names may go too; new ones come before and behind it; others are written.
        Task.objects.filter(user_id="alice", id__in=[task["id"] for task in page if task["id"] not in stay]).delete()
        baker.make(Task, user_id="alice", title="before", created_at=START - timedelta(days=1))
        if len(seen) < 20:
            baker.make(Task, user_id="alice", title="behind", created_at=START + timedelta(days=1))
        alice.patch(alice.complete(min(stay)))
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)


@pytest.mark.promise("P-71")
def test_a_cursor_whose_task_is_deleted_goes_on(alice: Actor, tasks) -> None:
    first, second = next(pages(alice, f"{alice.tasks}?limit=2"))
    cursor = cursor_of(alice)
    alice.delete(alice.task(first["id"]))
    assert alice.get(f"{alice.tasks}?limit=1&cursor={cursor}").json() == [second]


@pytest.mark.promise("P-43")
def test_a_cursor_is_not_bound_to_limit(alice: Actor, tasks) -> None:
    everything = alice.get(alice.tasks).json()
    assert alice.get(f"{alice.tasks}?limit=7&cursor={cursor_of(alice)}").json() == everything[1:8]
    assert alice.get(f"{alice.tasks}?cursor={cursor_of(alice)}").json() == everything[1:]


def test_a_default_that_is_written_out_is_the_same_query(alice: Actor, tasks) -> None:
    cursor = cursor_of(alice)
    assert alice.get(f"{alice.tasks}?search=&ordering=-created_at&cursor={cursor}").status_code == 200


@pytest.mark.promise("P-43")
@pytest.mark.parametrize(
    ("made_for", "used_for"),
    [
        ("", "completed=true"),
        ("completed=true", ""),
        ("completed=true", "completed=false"),
        ("", "search=a"),
        ("search=a", ""),
        ("search=a", "search=A"),
        ("search=a", "search=a&completed=true"),
        ("", "ordering=created_at"),
        ("", "ordering=-updated_at"),
        ("ordering=title", "ordering=-title"),
        ("ordering=created_at", "ordering=updated_at"),
        ("search=None", ""),
    ],
)
def test_a_cursor_of_another_filter_or_order_is_422(alice: Actor, tasks, made_for: str, used_for: str) -> None:
    baker.make(Task, user_id="alice", title="None", description="None", _quantity=2)
    cursor = cursor_of(alice, f"limit=1&{made_for}")
    problem = assert_problem(alice.get(f"{alice.tasks}?{used_for}&cursor={cursor}"), 422, "invalid_cursor")
    assert [error["parameter"] for error in problem["errors"]] == ["cursor"]


@pytest.mark.promise("P-43")
def test_a_cursor_of_another_user_is_422(alice: Actor, bob: Actor, tasks) -> None:
    assert_problem(bob.get(f"{bob.tasks}?cursor={cursor_of(alice)}"), 422, "invalid_cursor")


@pytest.mark.promise("P-43")
def test_a_cursor_that_was_tampered_with_is_422(alice: Actor, tasks) -> None:
    cursor = cursor_of(alice)
    before = rows()
    for place in range(0, len(cursor), 3):
        other = "A" if cursor[place] != "A" else "B"
        forged = cursor[:place] + other + cursor[place + 1 :]
        assert_problem(alice.get(f"{alice.tasks}?cursor={quote(forged)}"), 422, "invalid_cursor")
    assert rows() == before


@pytest.mark.promise("P-99")
def test_a_cursor_of_a_former_secret_is_taken_until_that_is_listed_no_more(alice: Actor, tasks, settings) -> None:
    cursor = cursor_of(alice)
    page = alice.get(f"{alice.tasks}?cursor={cursor}").json()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-secret-9Xw3Kq7Lz2Mn8Rt4Vb"
    assert alice.get(f"{alice.tasks}?cursor={cursor}").json() == page
    assert cursor_of(alice) != cursor
    settings.SECRET_KEY_FALLBACKS = []
    assert_problem(alice.get(f"{alice.tasks}?cursor={cursor}"), 422, "invalid_cursor")


@pytest.mark.parametrize("cursor", ["", ":", "a", "a:b", "a:b:c", "é", "😀:😀", "0", "%FF%FE", "WzEsMV0:x", "x" * 5000])
def test_a_cursor_nobody_made_is_422(alice: Actor, milk: Task, cursor: str, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        assert_problem(alice.get(f"{alice.tasks}?cursor={cursor}"), 422, "invalid_cursor")
