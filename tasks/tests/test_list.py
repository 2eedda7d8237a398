"""GET /api/{user_id}/tasks: filter, search, order, limit. Pages have a file of their own."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from model_bakery import baker

from conftest import Actor, assert_problem, rows
from tasks.models import Task

START = datetime(2026, 1, 1, tzinfo=UTC)
TITLES = ["A", "Z", "a", "b", "É", "ｱ", "😀"]  # By code point; in UTF-16 the last two change places.


@pytest.fixture
def titles(alice: Actor):
    """The titles that a query finds."""
    return lambda query="": [task["title"] for task in alice.get(f"{alice.tasks}?{query}").json()]


def test_a_user_without_tasks_has_an_empty_array(bobs: Task, alice: Actor) -> None:
    response = alice.get(alice.tasks)
    assert (response.status_code, response.content) == (200, b"[]")
    assert "Link" not in response


@pytest.mark.promise("P-02")
def test_the_list_is_a_bare_array_of_ones_own_tasks_newest_first(alice: Actor, bobs: Task) -> None:
    created = [alice.post(alice.tasks, {"title": title}).json() for title in ("one", "two", "three")]
    response = alice.get(alice.tasks)
    assert response["Content-Type"] == "application/json"
    assert response.json() == created[::-1]


@pytest.mark.promise("P-08")
def test_head_answers_as_get_without_the_body(alice: Actor, milk: Task) -> None:
    head = alice.request("HEAD", alice.tasks)
    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Length"] == alice.get(alice.tasks)["Content-Length"]


@pytest.mark.promise("P-44")
def test_completed_filters(db, titles) -> None:
    baker.make(Task, user_id="alice", title="open", completed=False)
    baker.make(Task, user_id="alice", title="done", completed=True)
    baker.make(Task, user_id="bob", title="not hers", completed=True)
    assert titles("completed=true") == ["done"]
    assert titles("completed=false") == ["open"]


@pytest.mark.promise("P-44")
def test_search_finds_in_title_and_description_of_ones_own(db, titles) -> None:
    baker.make(Task, user_id="alice", title="Buy milk")
    baker.make(Task, user_id="alice", title="Shop", description="two litres of MILK\nand bread")
    baker.make(Task, user_id="alice", title="Sleep", description=None)
    baker.make(Task, user_id="bob", title="milk", description="milk")
    assert sorted(titles("search=mIlK")) == ["Buy milk", "Shop"]
    assert titles("search=milk&completed=true") == []
    assert titles("search=cream") == []


def test_an_empty_search_is_none(db, titles) -> None:
    baker.make(Task, user_id="alice", title="Milk", description=None)
    assert titles("search=") == ["Milk"]


@pytest.mark.promise("P-44")
@pytest.mark.parametrize("member", ["title", "description"])
@pytest.mark.parametrize("word", ["%", "_", "\\", "100%", "a_b", "\\%", "a\\", "'", '"', "%s", "[a]", "*", "^", "😀"])
def test_every_character_of_a_search_is_plain(db, titles, member: str, word: str) -> None:
    baker.make(Task, **{"user_id": "alice", "title": "other: 100 axb a", member: "other: 100 axb a"})
    baker.make(Task, **{"user_id": "alice", "title": "found", member: f"<{word}>"})
    assert len(titles(f"search={quote(word)}")) == 1


@pytest.mark.promise("P-45")
def test_title_orders_by_code_point(db, titles) -> None:
    for title in ("b", "😀", "É", "Z", "ｱ", "a", "A"):
        baker.make(Task, user_id="alice", title=title)
    assert titles("ordering=title") == TITLES
    assert titles("ordering=-title") == TITLES[::-1]


@pytest.mark.promise("P-45")
@pytest.mark.parametrize("key", ["created_at", "updated_at"])
def test_times_order_also_where_microseconds_are_zero(db, titles, key: str) -> None:
    moments = {"a": 0, "b": 1, "c": 100, "d": 999_999, "e": 1_000_000, "f": 1_000_001}
    for title, microseconds in sorted(moments.items(), key=lambda item: item[1] % 7):
        baker.make(Task, **{"user_id": "alice", "title": title, key: START + timedelta(microseconds=microseconds)})
    assert titles(f"ordering={key}") == list(moments)
    assert titles(f"ordering=-{key}") == list(moments)[::-1]


@pytest.mark.promise("P-45")
@pytest.mark.parametrize("key", ["created_at", "updated_at", "title"])
def test_the_id_breaks_ties(db, alice: Actor, key: str) -> None:
    same = {"user_id": "alice", "title": "same", "created_at": START, "updated_at": START}
    ids = [baker.make(Task, **same).pk for _ in range(5)]
    assert [task["id"] for task in alice.get(f"{alice.tasks}?ordering={key}").json()] == ids
    assert [task["id"] for task in alice.get(f"{alice.tasks}?ordering=-{key}").json()] == ids[::-1]


def test_newest_first_is_the_order_if_none_is_given(db, titles) -> None:
    baker.make(Task, user_id="alice", title="new", created_at=START + timedelta(1), updated_at=START)
    baker.make(Task, user_id="alice", title="old", created_at=START, updated_at=START + timedelta(1))
    assert titles() == titles("ordering=-created_at") == ["new", "old"]
    assert titles("ordering=updated_at") == ["new", "old"]


@pytest.fixture
def many(db) -> None:
    Task.objects.bulk_create(Task(user_id="alice", title=str(number)) for number in range(1001))


@pytest.mark.promise("P-41")
@pytest.mark.parametrize(("query", "length"), [("", 1000), ("limit=1", 1), ("limit=101", 101), ("limit=1000", 1000)])
def test_limit_bounds_the_list(many, titles, query: str, length: int) -> None:
    assert len(titles(query)) == length


def assert_refuses_parameter(alice: Actor, query: str) -> None:
    """The answer is 422, and its one error names the query's parameter."""
    problem = assert_problem(alice.get(f"{alice.tasks}?{query}"), 422, "validation_error")
    name = query.partition("=")[0]
    assert [error["parameter"] for error in problem["errors"]] == [name]
    assert problem["detail"] == problem["errors"][0]["detail"]
    assert problem["detail"].startswith((f"{name} ", f"{name}: "))


@pytest.mark.promise("P-41", "P-46")
@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={limit}" for limit in ["0", "1001", "-1", "", "a", "1.0", "1e2", "%2B5", "%205", "5%0A", "５", "٣"]),
        *(f"limit={limit}" for limit in ["9" * 5000, "0x10", "1_0", "%00"]),
        *(f"completed={value}" for value in ["", "True", "1", "yes", "null", "true%20", "%00"]),
        *(
            f"ordering={value}"
            for value in ["", "id", "-id", "user_id", "--title", "title,id", "TITLE", "%2Btitle", "%00"]
        ),
        *("search=%00", "search=a%00b"),
    ],
)
def test_a_bad_value_is_422(alice: Actor, milk: Task, query: str, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        assert_refuses_parameter(alice, query)


@pytest.mark.promise("P-46")
@pytest.mark.parametrize(
    "query",
    [
        "limit=1&limit=1",
        "completed=true&completed=true",
        "search=a&search=",
        "ordering=title&ordering=title",
        "cursor=&cursor=",
    ],
)
def test_one_parameter_twice_is_422(alice: Actor, milk: Task, query: str) -> None:
    assert_refuses_parameter(alice, query)


@pytest.mark.promise("P-46")
@pytest.mark.parametrize(
    "query", ["q=1", "page=2&page=3", "user_id=bob", "Limit=0", "owner=bob&offset=5", "&&", "%00=%00"]
)
def test_unknown_parameters_are_ignored(alice: Actor, milk: Task, bobs: Task, titles, query: str) -> None:
    assert titles(query) == ["Milk"]


def test_reading_changes_nothing(alice: Actor, milk: Task, bobs: Task) -> None:
    before = rows()
    for query in ("", "search=milk", "completed=false&ordering=title"):
        assert alice.get(f"{alice.tasks}?{query}").status_code == 200
    assert rows() == before


@pytest.mark.promise("P-44")
@pytest.mark.parametrize(("length", "status"), [(200, 200), (201, 422)])
def test_a_search_has_at_most_200_characters(db, alice: Actor, length: int, status: int) -> None:
    assert alice.get(f"{alice.tasks}?search={'x' * length}").status_code == status
