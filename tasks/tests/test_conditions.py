"""Conditional requests (RFC 9110): ETag, If-None-Match and If-Match."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from model_bakery import baker

from conftest import Actor, assert_problem, rows
from tasks.conditions import list_etag
from tasks.models import Task
from tasks.tests.test_concurrency import at_once, size

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FOREIGN = ['"x"', '""', '"00000000000000000000"', '"20261305000000000000"', '"20260230000000000000"']
FOREIGN += ['"20260101250000000000"', '"20260101000060000000"', '"99999999999999999999"', '"00010101000000000000"']
FOREIGN += [
    '"99991231235959999999"',
    '"202601010000000000000"',
    '"a,b"',
    '"é"',
    '"\\"',
    '"\' OR 1=1 --"'.replace(" ", "+"),
]
MALFORMED = ["", " ", ",", "x", '"', '"x', 'x"', 'w/"x"', 'W/ "x"', '"a" "b"', '"a";"b"', '"a"b', '*, "a"', '"a", *']
MALFORMED += ["**", '"a b"', '"a\x7f"', "20261123052541000000", "'a'", "W/*", "\xa0*"]
EARLIER = '"20200101000000000000"'  # A tag as tasks have it, of none of theirs.
WRITES = ["put", "flip", "set", "delete"]


def tag_of(actor: Actor, task: Task) -> str:
    tag: str = actor.get(actor.task(task.pk))["ETag"]
    return tag


def write(actor: Actor, task_id: int, how: str, **headers: str) -> Any:
    if how == "put":
        return actor.put(actor.task(task_id), {"title": "Cream", "description": None}, **headers)
    if how == "delete":
        return actor.delete(actor.task(task_id), **headers)
    return actor.patch(actor.complete(task_id), {"completed": True} if how == "set" else None, **headers)


def assert_written(how: str, response: Any, before: list[Any]) -> None:
    assert response.status_code == (204 if how == "delete" else 200), response.content
    assert rows() != before


def assert_refused(alice: Actor, task: Task, response: Any, before: list[Any]) -> None:
    """412 with the tag of the task as it is, and it is as it was."""
    assert_problem(response, 412, "precondition_failed")
    assert response["ETag"] == tag_of(alice, task)
    assert rows() == before


# --- Tags ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-61")
def test_a_state_has_one_tag_whatever_the_answer_it_comes_with(db, alice: Actor) -> None:
    created = alice.post(alice.tasks, {"title": "Milk"}, Idempotency_Key="k")
    path = alice.task(created.json()["id"])
    for answer in (
        lambda: created,
        lambda: alice.put(path, {"title": "Cream"}),
        lambda: alice.patch(path + "/complete"),
        lambda: alice.patch(path + "/complete", {"completed": True}),
    ):
        tag = answer()["ETag"]
        assert re.fullmatch(r'"[\x21\x23-\x7e]+"', tag)  # Strong.
        assert alice.get(path)["ETag"] == alice.request("HEAD", path)["ETag"] == tag
        replayed = alice.post(alice.tasks, {"title": "Milk"}, Idempotency_Key="k")
        assert (replayed.status_code, replayed["ETag"], replayed.content) == (201, tag, alice.get(path).content)


@pytest.mark.promise("P-61")
@pytest.mark.parametrize("ahead", [timedelta(), timedelta(hours=1)])
def test_every_write_makes_another_tag_also_when_the_clock_went_back(alice: Actor, milk: Task, ahead) -> None:
    Task.objects.filter(pk=milk.pk).update(updated_at=timezone.now() + ahead)

    def save() -> None:
        task = Task.objects.get(pk=milk.pk)
        task.save(update_fields=["title"])

    writes: list[Callable[[], Any]] = [
        lambda: alice.put(alice.task(milk.pk), {"title": "Milk"}),
        lambda: alice.put(alice.task(milk.pk), {"title": "Milk"}),
        lambda: alice.patch(alice.complete(milk.pk)),
        lambda: alice.patch(alice.complete(milk.pk), {"completed": True}),
        lambda: alice.patch(alice.complete(milk.pk), {"completed": True}),
        lambda: Task.objects.get(pk=milk.pk).save(),
        save,
        lambda: Task.objects.update(completed=False),
        lambda: Task.objects.bulk_update([Task(pk=milk.pk, title="Oat milk")], ["title"]),
        lambda: Task.objects.update_or_create(user_id="alice", pk=milk.pk, defaults={"title": "Milk"}),
    ]
    tags = [tag_of(alice, milk)]
    for one in writes:
        one()
        tags.append(tag_of(alice, milk))
    # Each later than the one before, so that no state of the past or the future can have it again.
    assert tags == sorted(set(tags))


@pytest.mark.promise("P-97")
def test_a_tag_is_the_digits_of_updated_at_in_every_answer(db, alice: Actor) -> None:
    def tag(task: Any) -> str:
        digits = re.sub("[^0-9]", "", task["updated_at"])
        assert len(digits) == 20
        return f'"{digits}"'

    def create() -> Any:
        return alice.post(alice.tasks, {"title": "Milk"}, Idempotency_Key="k")

    path = alice.task(create().json()["id"])
    complete = path + "/complete"
    for answer in (
        create(),
        alice.put(path, {"title": "Cream"}),
        create(),
        alice.patch(complete),
        alice.patch(complete, {"completed": True}),
        create(),
        alice.get(path),
    ):
        assert answer["ETag"] == tag(answer.json())
    for refused in (
        alice.put(path, {"title": "Butter"}, If_Match='"x"'),
        alice.patch(complete, If_Match='"x"'),
        alice.delete(path, If_Match='"x"'),
    ):
        assert refused.status_code == 412
        assert refused["ETag"] == tag(alice.get(path).json())


@pytest.mark.promise("P-97")
@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("microsecond", [0, 1, 120_000, 999_999])
def test_a_task_from_a_list_is_written_without_another_request(
    alice: Actor, milk: Task, how: str, microsecond: int
) -> None:
    Task.objects.filter(pk=milk.pk).update(updated_at=datetime(2026, 1, 30, 5, 1, 2, microsecond, UTC))
    (listed,) = alice.get(alice.tasks).json()
    tag = '"' + re.sub("[^0-9]", "", listed["updated_at"]) + '"'
    before = rows()
    assert_written(how, write(alice, milk.pk, how, If_Match=tag), before)


@pytest.mark.parametrize("microsecond", [0, 1, 120_000, 999_999])
def test_any_moment_makes_a_tag_that_matches(alice: Actor, milk: Task, microsecond: int) -> None:
    moment = datetime(2026, 1, 30, 5, 1, 2, microsecond, UTC)
    Task.objects.filter(pk=milk.pk).update(updated_at=moment)
    tag = tag_of(alice, milk)
    assert alice.get(alice.task(milk.pk), If_None_Match=tag).status_code == 304
    assert alice.put(alice.task(milk.pk), {"title": "Cream"}, If_Match=tag).status_code == 200


def test_neighbouring_moments_have_tags_that_do_not_match(alice: Actor, milk: Task) -> None:
    moment = datetime(2026, 1, 30, 5, 1, 2, 0, UTC)
    for off in (timedelta(microseconds=1), timedelta(microseconds=-1), timedelta(hours=1), timedelta(days=1)):
        Task.objects.filter(pk=milk.pk).update(updated_at=moment + off)
        tag = tag_of(alice, milk)
        Task.objects.filter(pk=milk.pk).update(updated_at=moment)
        assert_refused(alice, milk, write(alice, milk.pk, "put", If_Match=tag), rows())


@pytest.mark.promise("P-61")
def test_pages_problems_and_deletes_carry_no_tag(alice: Actor, milk: Task) -> None:
    task = alice.task(milk.pk)
    answers = [
        alice.get(task, Accept=HTML),
        alice.get(alice.tasks, Accept=HTML),
        alice.get(task, Accept=HTML, If_None_Match=tag_of(alice, milk)),
        alice.get(alice.tasks, Accept=HTML, If_None_Match="*"),
        alice.post(alice.tasks, {"title": "Milk"}, Accept=HTML),
        alice.put(task, {"title": "Milk"}, Accept=HTML),
        alice.get(alice.task(10**9)),
        alice.post(alice.tasks, {}),
        alice.request("OPTIONS", task),
        alice.delete(task),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 201, 200, 404, 422, 200, 204]
    assert [answer.headers.get("ETag") for answer in answers] == [None] * len(answers)


# --- If-None-Match on reads -----------------------------------------------------------------------------------------


def assert_not_modified(response: Any, current: Any) -> None:
    """304 with the headers that RFC 9110, section 15.4.5, asks for, and nothing of a body."""
    assert (response.status_code, response.content) == (304, b"")
    for name in ("ETag", "Vary", "Cache-Control"):
        assert response[name] == current[name]
    assert response["Cache-Control"] == "private, no-cache"
    assert {name.strip().lower() for name in response["Vary"].split(",")} >= {"accept", "authorization"}
    assert response["X-Request-ID"]
    assert response.headers.get("Link") == current.headers.get("Link")
    # A length of zero would be a lie: the state has one (section 8.6).
    assert "Content-Length" not in response
    assert "Content-Type" not in response


@pytest.mark.promise("P-62", "P-73")
@pytest.mark.parametrize("what", ["task", "list", "page"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_reader_who_has_the_state_is_told_so(alice: Actor, milk: Task, method: str, what: str) -> None:
    baker.make(Task, user_id="alice", title="Bread")
    path = {"task": alice.task(milk.pk), "list": alice.tasks, "page": alice.tasks + "?limit=1"}[what]
    current = alice.get(path)
    tag = current["ETag"]
    for header in (tag, f"W/{tag}", f'"x", {tag}', f'{tag},"x"', f' ,, W/"x" ,\t{tag} , ', '"a,b",' + tag, "*", " *\t"):
        with CaptureQueriesContext(connection) as queries:
            response = alice.request(method, path, If_None_Match=header)
        assert_not_modified(response, current)
        assert len(queries) == 1


@pytest.mark.promise("P-62")
@pytest.mark.parametrize("header", [*FOREIGN, *MALFORMED])
def test_other_and_malformed_tags_read_the_state(alice: Actor, milk: Task, header: str) -> None:
    for path in (alice.task(milk.pk), alice.tasks):
        response = alice.get(path, If_None_Match=header)
        assert (response.status_code, response.content) == (200, alice.get(path).content)


def test_a_malformed_list_is_not_searched_for_a_tag_that_would_match(alice: Actor, milk: Task) -> None:
    tag = tag_of(alice, milk)
    for header in (f"{tag} {tag}", f"x{tag}", f"{tag}x", f"*, {tag}", tag.strip('"')):
        assert alice.get(alice.task(milk.pk), If_None_Match=header).status_code == 200


def test_there_is_nothing_to_have_of_a_task_that_is_not_there(alice: Actor, bobs: Task) -> None:
    for task_id in (bobs.pk, 10**9):
        for header in ("*", tag_of(Actor("bob"), bobs)):
            assert_problem(alice.get(alice.task(task_id), If_None_Match=header), 404, "not_found")
    assert_problem(alice.get(alice.tasks + "?limit=0", If_None_Match="*"), 422, "validation_error")


def test_if_match_is_for_writes(alice: Actor, milk: Task) -> None:
    assert alice.get(alice.task(milk.pk), If_Match='"x"').status_code == 200


@pytest.mark.promise("P-61")
def test_the_tag_of_a_list_covers_its_tasks_its_order_and_its_link(alice: Actor, milk: Task, bobs: Task) -> None:
    bread = baker.make(Task, user_id="alice", title="Bread", completed=True)
    baker.make(Task, user_id="alice", title="Cheese")
    paths = [alice.tasks + query for query in ("", "?limit=2", "?limit=1", "?completed=true", "?ordering=title")]

    def state(path: str) -> tuple[Any, ...]:
        response = alice.get(path)
        return response["ETag"], response.content, response.headers.get("Link")

    def changed() -> list[bool]:
        """Which paths have another tag than they had, and that it is those whose body or Link is another."""
        nonlocal was
        now = [state(path) for path in paths]
        different = [old[0] != new[0] for old, new in zip(was, now, strict=True)]
        assert different == [old[1:] != new[1:] for old, new in zip(was, now, strict=True)]
        was = now
        return different

    was = [state(path) for path in paths]
    assert len({tag for tag, *_ in was}) == len(paths)
    assert changed() == [False] * 5
    alice.put(alice.task(milk.pk), {"title": "Milk"})  # The oldest, written as it was.
    assert changed() == [True, False, False, False, True]
    alice.patch(alice.complete(bread.pk), {"completed": True})
    assert changed() == [True, True, False, True, True]
    Task.objects.filter(pk=bread.pk).update(title="Brown bread")
    assert changed() == [True, True, False, True, True]
    alice.patch(alice.complete(milk.pk))
    assert changed() == [True, False, False, True, True]
    Task.objects.filter(pk=bobs.pk).update(title="Bob's other secret")
    assert changed() == [False] * 5
    alice.delete(alice.task(milk.pk))  # The page of two is the same, but nothing comes behind it.
    assert changed() == [True, True, False, True, True]
    alice.post(alice.tasks, {"title": "Eggs"})
    assert changed() == [True, True, True, False, True]


def test_an_empty_list_has_a_tag_too(db, alice: Actor) -> None:
    tag = alice.get(alice.tasks)["ETag"]
    assert alice.get(alice.tasks, If_None_Match=tag).status_code == 304
    alice.post(alice.tasks, {"title": "Milk"})
    assert alice.get(alice.tasks, If_None_Match=tag).status_code == 200


# --- If-Match ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-63", "P-73")
@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "W/{}",
        '"x", {}',
        '"x",W/{}',
        '{},W/"x"',
        " ,, {} ,\t",
        '"a,b",{},"20261305000000000000"',
        f"{{}}, {EARLIER}",
        f"{EARLIER}, , {{}}",
        "*",
        " * ",
    ],
)
def test_a_write_of_the_state_that_was_read_happens_in_one_query(alice: Actor, milk: Task, how: str, form: str) -> None:
    before, header = rows(), form.replace("{}", tag_of(alice, milk))
    with CaptureQueriesContext(connection) as queries:
        response = write(alice, milk.pk, how, If_Match=header)
    assert_written(how, response, before)
    assert len(queries) == 1
    if how != "delete":
        assert response["ETag"] == tag_of(alice, milk) != header


@pytest.mark.promise("P-63", "P-73")
@pytest.mark.parametrize("how", WRITES)
def test_a_write_of_a_state_that_has_changed_is_refused_in_two_queries(alice: Actor, milk: Task, how: str) -> None:
    tag = tag_of(alice, milk)
    alice.put(alice.task(milk.pk), {"title": "Milk"})
    before = rows()
    with CaptureQueriesContext(connection) as queries:
        response = write(alice, milk.pk, how, If_Match=tag)
    assert len(queries) == 2
    assert_refused(alice, milk, response, before)
    assert_written(how, write(alice, milk.pk, how, If_Match=response["ETag"]), before)


@pytest.mark.promise("P-63")
@pytest.mark.parametrize("how", WRITES)
def test_foreign_and_malformed_tags_never_match_weak_or_strong(alice: Actor, milk: Task, how: str) -> None:
    """A proxy weakens our own tag, which then still names the state; it makes none of another's into ours."""
    stale = tag_of(alice, milk)
    alice.put(alice.task(milk.pk), {"title": "Milk"})
    before, tag = rows(), tag_of(alice, milk)
    never = [f"{tag} {tag}", f"{tag}x", f"*, {tag}", f"{tag}, *", tag.strip('"'), f"w/{tag}", f"W/ {tag}", f"W/W/{tag}"]
    never += [stale, "W/" + tag.strip('"'), tag.replace('"', '"W/', 1), f'{tag[:-1]}-gzip"']
    for header in [*never, *FOREIGN, *MALFORMED]:
        assert_refused(alice, milk, write(alice, milk.pk, how, If_Match=header), before)
    for header in [stale, *FOREIGN]:
        assert_refused(alice, milk, write(alice, milk.pk, how, If_Match=f"W/{header}"), before)


@pytest.mark.parametrize("name", ["If_Match", "If_None_Match"])
def test_eight_kilobytes_of_tags_are_read_at_once(alice: Actor, milk: Task, name: str) -> None:
    tag = tag_of(alice, milk)
    many = ",".join(f'"2026{number:016}"' for number in range(340))
    started = time.monotonic()
    for header, found in (
        (many, False),
        (f"{many},{tag}", True),
        ('"",' * 2000 + tag, True),
        (tag + ", " * 4000, True),
        # Each is no list of tags, which must not take long to find out.
        ('"a"' + ", " * 4000 + "x", None),
        ('"a"' + "\t" * 8000 + "x", None),
        ('"a",' * 2000 + "x", None),
        ('"a ' * 2600, None),
    ):
        written = bool(found) if name == "If_Match" else found is False
        response = write(alice, milk.pk, "set", **{name: header})
        assert response.status_code == (200 if written else 412)
        if written:
            Task.objects.filter(pk=milk.pk).update(updated_at=milk.updated_at)
    assert time.monotonic() - started < 5


# --- If-None-Match on writes ------------------------------------------------------------------------------------------


@pytest.mark.promise("P-64")
@pytest.mark.parametrize("how", WRITES)
def test_if_none_match_refuses_to_write_a_state_that_is_named(alice: Actor, milk: Task, how: str) -> None:
    before, tag = rows(), tag_of(alice, milk)
    lists = [f'"x", {tag}', f"{tag}, {EARLIER}", f"{EARLIER}, {tag}"]
    for header in (tag, f"W/{tag}", *lists, "*", " * ", *MALFORMED):
        with CaptureQueriesContext(connection) as queries:
            response = write(alice, milk.pk, how, If_None_Match=header)
        assert len(queries) <= 2
        assert_refused(alice, milk, response, before)


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("header", ['"x"', 'W/"x", "y"', '"!\xe9"', '"20260101000000000000"', '"20261305000000000000"'])
def test_if_none_match_of_other_states_lets_the_write_happen(alice: Actor, milk: Task, how: str, header: str) -> None:
    before = rows()
    with CaptureQueriesContext(connection) as queries:
        response = write(alice, milk.pk, how, If_None_Match=header)
    assert_written(how, response, before)
    assert len(queries) == 1


@pytest.mark.promise("P-64")
@pytest.mark.parametrize("how", WRITES)
def test_of_two_conditions_both_must_hold(alice: Actor, milk: Task, how: str) -> None:
    before, tag = rows(), tag_of(alice, milk)
    for if_match, if_none_match in (
        (tag, tag),
        (tag, "*"),
        ("*", tag),
        ("*", "*"),
        ('"x"', '"x"'),
        (tag, ""),
        ("", '"x"'),
    ):
        response = write(alice, milk.pk, how, If_Match=if_match, If_None_Match=if_none_match)
        assert_refused(alice, milk, response, before)
    assert_written(how, write(alice, milk.pk, how, If_Match=tag, If_None_Match='"x"'), before)


# --- Tasks that are not there, and the order of checks ----------------------------------------------------------------


@pytest.mark.promise("P-66")
@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("name", ["If_Match", "If_None_Match"])
def test_a_task_of_somebody_else_or_of_nobody_is_404_as_without_a_condition(
    alice: Actor, milk: Task, bobs: Task, how: str, name: str
) -> None:
    before, tag = rows(), tag_of(Actor("bob"), bobs)
    for task_id in (bobs.pk, 10**9, 2**63 - 1):
        with CaptureQueriesContext(connection) as queries:
            plain = write(alice, task_id, how, X_Request_ID="same")
        assert len(queries) == 1
        for header in (tag, f"W/{tag}", "*", '"x"', "", "x"):
            with CaptureQueriesContext(connection) as queries:
                response = write(alice, task_id, how, X_Request_ID="same", **{name: header})
            assert_problem(response, 404, "not_found")
            assert len(queries) <= 2
            assert (response.content, dict(response.headers)) == (plain.content, dict(plain.headers))
    assert rows() == before


@pytest.mark.promise("P-66")
@pytest.mark.parametrize("name", ["If_Match", "If_None_Match"])
def test_the_body_comes_first_then_the_task_then_the_condition(alice: Actor, milk: Task, name: str) -> None:
    before = rows()
    wrong = {name: "x"}
    for task_id in (milk.pk, 10**9):
        task, complete = alice.task(task_id), alice.complete(task_id)
        assert_problem(alice.put(task, {"title": ""}, **wrong), 422, "validation_error")
        assert_problem(alice.patch(complete, {"completed": 1}, **wrong), 422, "validation_error")
        assert_problem(alice.put(task, b"{", **wrong), 400, "parse_error")
        assert_problem(alice.put(task, {"title": "x"}, Authorization="", **wrong), 401, "not_authenticated")
    assert_problem(alice.put(alice.task(10**9), {"title": "x"}, **wrong), 404, "not_found")
    assert_problem(alice.put(alice.task(milk.pk), {"title": "x"}, **wrong), 412, "precondition_failed")
    assert rows() == before


def test_a_refused_replacement_of_another_field_loses_nothing(alice: Actor, milk: Task) -> None:
    """Two apps read, both write: the second is told, reads again, and both writes are there."""
    tag = tag_of(alice, milk)
    assert alice.put(alice.task(milk.pk), {"title": "Cream"}, If_Match=tag).status_code == 200
    refused = alice.put(alice.task(milk.pk), {"title": "Milk", "description": "One litre"}, If_Match=tag)
    current = alice.get(alice.task(milk.pk))
    assert refused["ETag"] == current["ETag"]
    body = {"title": current.json()["title"], "description": "One litre"}
    assert alice.put(alice.task(milk.pk), body, If_Match=refused["ETag"]).status_code == 200
    assert Task.objects.values_list("title", "description").get() == ("Cream", "One litre")


# --- At the same moment -----------------------------------------------------------------------------------------------


@pytest.mark.promise("P-65")
@pytest.mark.django_db(transaction=True)
def test_of_fifty_writers_with_one_tag_exactly_one_wins_each_round(milk: Task) -> None:
    writers = size(50, 12)
    for number in range(4):
        tag = tag_of(Actor("alice"), milk)

        def put(alice: Actor, name: str, tag: str = tag) -> Any:
            return alice.put(alice.task(milk.pk), {"title": name}, If_Match=tag)

        names = [f"{number} {writer}" for writer in range(writers)]
        answers = at_once(*[lambda alice, name=name: put(alice, name) for name in names])
        assert sorted(answer.status_code for answer in answers) == [200] + [412] * (writers - 1)
        winner = next(answer for answer in answers if answer.status_code == 200)
        # Each refusal names the state that won: there was no other.
        assert {answer["ETag"] for answer in answers} == {winner["ETag"]} != {tag}
        assert Task.objects.get().title == names[answers.index(winner)] == winner.json()["title"]


@pytest.mark.promise("P-65")
@pytest.mark.django_db(transaction=True)
def test_a_delete_and_a_write_with_one_tag_do_not_both_happen() -> None:
    for _ in range(size(20, 6)):
        task = Task.objects.create(user_id="alice", title="Milk")
        tag = tag_of(Actor("alice"), task)
        deleted, written = at_once(
            lambda alice, pk=task.pk, tag=tag: alice.delete(alice.task(pk), If_Match=tag).status_code,
            lambda alice, pk=task.pk, tag=tag: alice.patch(alice.complete(pk), If_Match=tag).status_code,
        )
        assert (deleted, written) in {(204, 404), (412, 200)}
        assert Task.objects.filter(pk=task.pk).exists() == (written == 200)


@pytest.mark.promise("P-61")
def test_tasks_of_one_moment_have_lists_with_tags_of_their_own(db) -> None:
    milk, bread = ({"id": number, "updated_at": "2026-11-25T09:00:00.000000Z"} for number in (1, 2))
    assert len({list_etag(tasks, None) for tasks in ([milk], [bread], [milk, bread], [bread, milk])}) == 4
