"""The statements: each names its owner, and finds its rows by an index."""

import inspect
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conftest import rows
from tasks import pages, pagination, permissions, serializers, statements, views
from tasks.models import Task
from tasks.pagination import ORDERINGS
from tasks.statements import Condition
from tests import citus

AFTER = {"title": "b"}
CALLS: dict[str, Callable[[str, int], Any]] = {
    "read": lambda owner, task_id: statements.read(owner, task_id),
    "create": lambda owner, task_id: statements.create(owner, {"title": "new"}),
    "update": lambda owner, task_id: statements.update(owner, task_id, {"title": "new"}),
    "toggle": lambda owner, task_id: statements.toggle(owner, task_id),
    "delete": lambda owner, task_id: statements.delete(owner, task_id),
    "page": lambda owner, task_id: statements.page(owner, limit=11),
}
PAGES = {
    f"page by {ordering}{' from the middle' if middle else ''}{' searched' if search else ''}": (
        lambda owner, task_id, ordering=ordering, middle=middle, search=search: statements.page(
            owner,
            limit=11,
            search=search,
            completed=None if search is None else False,
            ordering=ordering,
            after=(AFTER.get(ordering.removeprefix("-"), "2026-01-01T01:00:00.000000Z"), task_id) if middle else None,
        )
    )
    for ordering in ORDERINGS
    for middle in (False, True)
    for search in (None, "7")
}
EVERY_CALL = CALLS | PAGES


def sql_of(call: Callable[[str, int], Any], owner: str, task_id: int) -> str:
    with CaptureQueriesContext(connection) as queries:
        call(owner, task_id)
    assert len(queries) == 1
    return str(queries[0]["sql"])


@pytest.mark.promise("P-72")
def test_every_function_that_names_the_table_takes_the_owner_first() -> None:
    touching = {
        name: function
        for name, function in inspect.getmembers(statements, inspect.isfunction)
        if function.__module__ == statements.__name__
        and function.__name__ == name  # What is made of COLUMNS has no name, no source and no SQL.
        and "tasks_task" in inspect.getsource(function)
    }
    assert set(touching) == set(CALLS) - {"update", "toggle"} | {"_write"}
    for function in touching.values():
        owner = next(iter(inspect.signature(function).parameters.values()))
        assert (owner.name, owner.default) == ("owner", inspect.Parameter.empty)


@pytest.mark.promise("P-72")
@pytest.mark.parametrize("module", [pagination, pages, permissions, serializers, views])
def test_no_other_module_of_the_api_touches_rows(module) -> None:
    source = inspect.getsource(module)
    assert not re.search(r"tasks_task|\.objects\b|\b_\w+_manager|cursor\(\)|import connection", source)
    # The serializers read their fields off the model, and can write none of its rows.
    assert "tasks.models" not in source or module is serializers


@pytest.mark.parametrize("serializer", [serializers.TaskInputSerializer, serializers.TaskSerializer])
def test_no_serializer_saves(db, milk: Task, serializer) -> None:
    before = rows()
    for instance in (None, milk):
        form = serializer(instance, data={"title": "new"}, partial=True)
        form.is_valid()
        with pytest.raises(NotImplementedError):
            form.save(user_id="bob")
    assert rows() == before


@pytest.mark.promise("P-72")
@pytest.mark.parametrize("call", EVERY_CALL)
def test_every_statement_has_the_owner_in_an_equality(milk: Task, call: str) -> None:
    sql = sql_of(EVERY_CALL[call], "alice", milk.pk)
    if call == "create":
        assert re.fullmatch(r"INSERT INTO tasks_task \(user_id, .*\) VALUES \('alice', .*", sql)
    else:
        condition = sql.partition(" WHERE ")[2]
        assert re.match(r"user_id = 'alice'( AND | ORDER BY )", condition)
        # Whatever else is asked is asked on top: an OR stands in brackets.
        assert not re.search(r"\bOR\b", re.sub(r"\([^()]*\)", "", condition))


@pytest.mark.promise("SC-005")
@pytest.mark.parametrize("call", EVERY_CALL)
@pytest.mark.parametrize("owner", ["alice", "' OR '1'='1", "bob' --", "%", "_ob", "BOB", ""])
def test_no_statement_reaches_a_row_of_another_owner(bobs: Task, call: str, owner: str) -> None:
    before = rows()
    if call == "create":
        if owner:
            assert statements.create(owner, {"title": "new"})["user_id"] == owner
        Task.objects.exclude(pk=bobs.pk).delete()
    else:
        assert not EVERY_CALL[call](owner, bobs.pk)
    assert rows() == before


# --- How the databases find the rows ------------------------------------------------------------------------------


@pytest.fixture
def many(db) -> int:
    """20,000 tasks of 100 users; returns the id of one of user7's."""
    moment = {
        "postgresql": "timestamptz '2026-01-01' + i * interval '1 second'",
        "sqlite": "datetime('2026-01-01', '+' || i || ' seconds')",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
            "INSERT INTO tasks_task (user_id, title, description, completed, created_at, updated_at) "
            f"SELECT 'user' || (i % 100), 'title ' || i, 'words', false, {moment}, {moment} FROM n"
        )
        cursor.execute("ANALYZE tasks_task")
    return Task.objects.filter(user_id="user7").order_by("id")[100].pk


def plan(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (FORMAT JSON) {sql}" if connection.vendor == "postgresql" else f"EXPLAIN QUERY PLAN {sql}"
        )
        found = cursor.fetchall()
    return json.dumps(found)


@pytest.mark.skipif(bool(citus.URL), reason="A shard has so few of the rows that it may sort them")
@pytest.mark.promise("P-47")
def test_no_statement_scans_the_table_and_created_at_comes_straight_from_the_index(many: int) -> None:
    whole_table, sorting = {
        "postgresql": (r'"Seq Scan"', r'"Sort"'),
        "sqlite": (r"SCAN tasks_task", r"USE TEMP B-TREE"),
    }[connection.vendor]
    for name, call in EVERY_CALL.items():
        found = plan(sql_of(call, "user7", many))
        assert not re.search(whole_table, found), (name, found)
        if "created_at" in name or name == "page":
            assert "tasks_owner_created" in found
            assert not re.search(sorting, found), (name, found)
    # The patterns would find what they look for.
    control = plan("SELECT id FROM tasks_task WHERE description = 'x' ORDER BY title")
    assert re.search(whole_table, control)
    assert re.search(sorting, control)


@pytest.mark.promise("P-47")
@pytest.mark.parametrize("ordering", ["created_at", "-created_at"])
def test_a_page_from_the_middle_starts_at_its_place_in_the_index(many: int, ordering: str) -> None:
    found = plan(sql_of(PAGES[f"page by {ordering} from the middle"], "user7", many))
    if connection.vendor == "postgresql":
        assert re.search(r'"Index Cond": ".*ROW\(created_at, id\)', found), found
    else:
        assert re.search(r"tasks_owner_created \(user_id=\? AND created_at[<>]\?\)", found), found


def test_a_title_has_the_text_of_the_client_and_not_of_the_statement(db) -> None:
    for title in ("%s", "%", "%(x)s", "' || (SELECT 1) || '", "$1", ":x", "?"):
        assert statements.create("alice", {"title": title, "description": title})["title"] == title


ELSEWHERE = ["2026-01-01 00:00:00+00:00", "2026-01-01T00:00:00Z", "2026-01-01 00:00", "2026-01-01 00:00:00.5"]


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="Times are text on SQLite alone.")
@pytest.mark.parametrize("ordering", [ordering for ordering in ORDERINGS if "title" not in ordering])
def test_a_walk_sees_each_task_once_however_another_program_stored_its_time(db, ordering: str) -> None:
    key = ordering.removeprefix("-")
    ids = [Task.objects.create(user_id="alice", title=text).pk for text in [*ELSEWHERE, "2026-01-01 00:00:00"] * 2]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE tasks_task SET {key} = title")
    seen: list[int] = []
    after = None
    while found := statements.page("alice", limit=1, ordering=ordering, after=after):
        seen.append(found[0]["id"])
        after = found[0][key], found[0]["id"]
        assert len(seen) <= len(ids)
    assert sorted(seen) == ids


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="Times are text on SQLite alone.")
@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("2026-11-23 09:00:00.120345", "2026-11-23T09:00:00.120345Z"),
        ("2026-11-23 09:00:00", "2026-11-23T09:00:00.000000Z"),
        ("2026-11-23 09:00:00.12345", "2026-11-23T09:00:00.123450Z"),
        ("2026-11-23 09:00:00.12345Z", "2026-11-23T09:00:00.123450Z"),
        ("2026-11-23T09:00:00.120345", "2026-11-23T09:00:00.120345Z"),
        ("2026-11-23T09:00:00.12345Z", "2026-11-23T09:00:00.123450Z"),
        ("0999-01-01 00:00:00", "0999-01-01T00:00:00.000000Z"),
        ("2026-11-23 11:00:00.120345+02:00", "2026-11-23T09:00:00.120345Z"),
    ],
)
def test_a_time_reads_the_same_in_whatever_way_its_text_was_stored(milk: Task, stored: str, shown: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tasks_task SET updated_at = %s", [stored])
    task = statements.read("alice", milk.pk)
    assert task is not None
    assert task["updated_at"] == shown
    assert statements.toggle("alice", milk.pk, condition=Condition(among=(shown,)))
