"""Creates that can be retried: the Idempotency-Key header, and the command that clears old keys."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conftest import Actor, assert_problem, rows
from tasks import statements
from tasks.management.commands import clear_idempotency_keys
from tasks.models import Task
from tasks.tests.test_concurrency import at_once, size

MILK = {"title": "Milk", "description": "Two litres"}


def post(actor: Actor, key: str, body: Any = MILK, **headers: str) -> Any:
    return actor.post(actor.tasks, body, Idempotency_Key=key, **headers)


def created(response: Any) -> int:
    assert response.status_code == 201, response.content
    task_id: int = response.json()["id"]
    return task_id


def refused(response: Any, code: str) -> None:
    problem = assert_problem(response, 422, code)
    assert [sorted(error) for error in problem["errors"]] == [["code", "detail", "header"]]
    assert problem["errors"][0]["header"] == "Idempotency-Key"
    assert "Idempotency-Key" in problem["detail"] == problem["errors"][0]["detail"]
    assert "ETag" not in response
    assert "Location" not in response


# --- The same create again --------------------------------------------------------------------------------------------


@pytest.mark.promise("P-67")
def test_the_same_create_again_answers_the_same_and_makes_nothing(db, alice: Actor) -> None:
    first = post(alice, "k")
    before = rows()
    for _ in range(3):
        again = post(alice, "k")
        assert (again.status_code, again.content) == (201, first.content)
        for name in ("ETag", "Location", "Content-Type"):
            assert again[name] == first[name]
    assert first["Location"].endswith(alice.task(created(first)))
    assert rows() == before


@pytest.mark.promise("P-67")
def test_a_retry_shows_the_task_as_it_is_now(db, alice: Actor) -> None:
    task_id = created(post(alice, "k"))
    for change in (
        lambda: alice.patch(alice.complete(task_id)),
        lambda: alice.put(alice.task(task_id), {"title": "Cream", "description": None}),
        lambda: Task.objects.update(title="By an operator"),
    ):
        change()
        now = alice.get(alice.task(task_id))
        again = post(alice, "k")
        assert (again.status_code, again.content, again["ETag"]) == (201, now.content, now["ETag"])
    assert Task.objects.count() == 1


def test_other_keys_and_none_make_tasks_of_their_own(db, alice: Actor) -> None:
    answers = [
        post(alice, "k"),
        post(alice, "K"),
        post(alice, "k2"),
        *(alice.post(alice.tasks, MILK) for _ in range(2)),
    ]
    assert len({created(answer) for answer in answers}) == Task.objects.count() == 5


@pytest.mark.promise("P-67")
def test_keys_are_per_user(db, alice: Actor, bob: Actor) -> None:
    alices, bobs = created(post(alice, "k")), created(post(bob, "k", {"title": "Bob's"}))
    assert alices != bobs
    assert created(post(alice, "k")) == alices
    assert post(bob, "k", {"title": "Bob's"}).json()["user_id"] == "bob"
    assert Task.objects.count() == 2


@pytest.mark.promise("P-67")
@pytest.mark.parametrize(
    "key, quoted",
    [
        ("k", '"k"'),
        ("k", ' "k"\t'),
        ('a"b', r'"a\"b"'),
        ("a\\b", r'"a\\b"'),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", '"8e03978e-40d5-43dd-bc93-6894a57f9324"'),
        ("!#$%&'()*+,-./:;<=>?@[]^_`{|}~", '"!#$%&\'()*+,-./:;<=>?@[]^_`{|}~"'),
        ("x" * 255, f'"{"x" * 255}"'),
    ],
)
def test_a_quoted_key_is_the_key(db, alice: Actor, key: str, quoted: str) -> None:
    assert created(post(alice, key)) == created(post(alice, quoted))
    assert Task.objects.values_list("idempotency_key", flat=True).get() == key


def test_a_backslash_in_a_bare_key_is_a_backslash(db, alice: Actor) -> None:
    assert created(post(alice, r"a\\b")) != created(post(alice, r'"a\\b"'))


# --- Which values are the same ------------------------------------------------------------------------------------------


@pytest.mark.promise("P-69")
@pytest.mark.parametrize(
    "one, other",
    [
        ({"title": "Milk"}, {"title": "Milk", "completed": False}),
        ({"title": "Milk"}, {"title": "Milk", "description": None}),
        ({"title": "Milk"}, {"title": " \u3000Milk\n"}),
        ({"title": "Milk"}, {"completed": False, "title": "Milk", "id": 7, "user_id": "bob", "priority": 1}),
        ({"title": "é"}, b'{"title":"\\u00e9"}'),
    ],
)
def test_values_that_make_the_same_task_are_the_same(db, alice: Actor, one, other) -> None:
    assert created(post(alice, "k", one)) == created(post(alice, "k", other)) == created(post(alice, "k", one))
    assert Task.objects.count() == 1


@pytest.mark.promise("P-69")
@pytest.mark.parametrize(
    "one, other",
    [
        ({"title": "Milk"}, {"title": "milk"}),
        ({"title": "Milk"}, {"title": "Milk", "completed": True}),
        ({"title": "Milk"}, {"title": "Milk", "description": ""}),
        ({"title": "Milk", "description": "a"}, {"title": "Milk", "description": "a "}),
        ({"title": "Milk", "description": "null"}, {"title": "Milk"}),
        ({"title": "é"}, {"title": "e\u0301"}),
    ],
)
def test_other_values_are_refused(db, alice: Actor, one, other) -> None:
    task_id = created(post(alice, "k", one))
    before = rows()
    with CaptureQueriesContext(connection) as queries:
        refused(post(alice, "k", other), "idempotency_key_reused")
    assert len(queries) == 1
    assert rows() == before
    assert created(post(alice, "k", one)) == task_id


def test_what_counts_is_what_was_asked_for_and_not_what_the_task_became(db, alice: Actor) -> None:
    task_id = created(post(alice, "k"))
    alice.put(alice.task(task_id), {"title": "Cream"})
    refused(post(alice, "k", {**MILK, "title": "Cream"}), "idempotency_key_reused")
    assert created(post(alice, "k")) == task_id


# --- Keys that are none -------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-69")
@pytest.mark.parametrize(
    "key",
    [
        "", " ", "\t", '""', '" "', "x" * 256, f'"{"x" * 256}"', "a b", '"a b"', "é", '"é"', "ключ", "a\x7f", "a\x01",
        "a\tb", '"', '"k', '"k"k', '"k" "k"', '"k"x"', '"k\\"', '"k\\x"', '"k";a=1', "\x80", "a\xa0", "\xa0a", "\x85",
    ],
)  # fmt: skip
def test_an_invalid_key_is_refused(db, alice: Actor, key: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        refused(post(alice, key), "invalid_idempotency_key")
    assert len(queries) == 0
    assert rows() == []


def test_the_body_is_looked_at_first(db, alice: Actor) -> None:
    assert_problem(post(alice, "", {}), 422, "validation_error")
    assert_problem(post(alice, "", b"{"), 400, "parse_error")
    assert_problem(post(alice, "", Authorization=""), 401, "not_authenticated")


@pytest.mark.promise("P-70")
@pytest.mark.parametrize("body", [{}, {"title": ""}, {"title": 1}, b"{", b" " * (256 * 1024 + 1)])
def test_a_refused_create_binds_nothing(db, alice: Actor, body) -> None:
    assert post(alice, "k", body).status_code in {400, 413, 422}
    created(post(alice, "k"))
    refused(post(alice, "k", {"title": "Other"}), "idempotency_key_reused")


@pytest.mark.promise("P-70")
def test_a_deleted_task_takes_its_key_along(db, alice: Actor) -> None:
    first = created(post(alice, "k"))
    alice.delete(alice.task(first))
    second = created(post(alice, "k", {"title": "Other"}))
    assert second != first
    assert Task.objects.get().title == "Other"


def test_other_methods_do_not_look_at_it(db, alice: Actor) -> None:
    task_id = created(post(alice, "k"))
    for key in ("k", "", "a b", "x" * 300):
        for response in (
            alice.get(alice.tasks, Idempotency_Key=key),
            alice.get(alice.task(task_id), Idempotency_Key=key),
            alice.put(alice.task(task_id), {"title": "Cream"}, Idempotency_Key=key),
            alice.patch(alice.complete(task_id), Idempotency_Key=key),
        ):
            assert response.status_code == 200
    assert Task.objects.values_list("idempotency_key", flat=True).get() == "k"
    assert alice.delete(alice.task(task_id), Idempotency_Key="").status_code == 204


@pytest.mark.promise("P-73")
def test_a_create_is_one_query_with_and_without_a_key(db, alice: Actor) -> None:
    for create in (lambda: alice.post(alice.tasks, MILK), lambda: post(alice, "k"), lambda: post(alice, "k")):
        with CaptureQueriesContext(connection) as queries:
            created(create())
        assert len(queries) == 1


def test_a_task_shows_neither_key_nor_fingerprint(db, alice: Actor) -> None:
    fields = {"id", "title", "description", "completed", "user_id", "created_at", "updated_at"}
    assert set(post(alice, "k").json()) == set(alice.post(alice.tasks, MILK).json()) == fields


# --- At the same moment, and after a crash --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_three_hundred_retries_at_once_make_one_task() -> None:
    threads = size(60, 10)
    each = 300 // threads
    answers = at_once(*[lambda alice: [post(alice, "k") for _ in range(each)]] * threads)
    bodies = {(created(answer), answer["ETag"], answer.content) for some in answers for answer in some}
    assert len(bodies) == 1
    assert Task.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_creates_with_one_key_at_once_one_wins_and_the_other_is_refused() -> None:
    threads = size(60, 10)
    each = 300 // threads
    bodies = [{"title": "Milk"}, {"title": "Bread"}]

    def creates(body: dict[str, str]) -> Callable[[Actor], list[Any]]:
        return lambda alice: [post(alice, "k", body) for _ in range(each)]

    answers = at_once(*[creates(bodies[number % 2]) for number in range(threads)])
    task = Task.objects.get()
    for number, some in enumerate(answers):
        for answer in some:
            if bodies[number % 2]["title"] == task.title:
                assert created(answer) == task.pk
            else:
                refused(answer, "idempotency_key_reused")


@pytest.mark.django_db(transaction=True)
def test_many_keys_at_once_make_a_task_each() -> None:
    keys = [f"k{number}" for number in range(10)]
    answers = at_once(*[lambda alice: [created(post(alice, key)) for key in keys]] * size(20, 5))
    assert {tuple(ids) for ids in answers} == {
        tuple(Task.objects.order_by("idempotency_key").values_list("id", flat=True))
    }
    assert Task.objects.count() == len(keys)


@pytest.mark.django_db(transaction=True)
def test_a_retry_after_a_crash_between_commit_and_answer_finds_the_task(alice: Actor, monkeypatch) -> None:
    create = statements.create

    def crashing(*arguments: Any, **named: Any) -> Any:
        create(*arguments, **named)
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(statements, "create", crashing)
        assert post(alice, "k").status_code == 500
    task = Task.objects.get()
    assert created(post(alice, "k")) == task.pk
    assert Task.objects.count() == 1


@pytest.mark.promise("P-68")
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite lets one transaction write at a time")
def test_a_twin_waits_for_its_twin_and_takes_its_place_if_that_fails() -> None:
    """The first create is held open before its commit, then rolled back."""
    from threading import Event, Thread

    from django.db import connections, transaction

    inserted, twins = Event(), []

    def first() -> None:
        try:
            with transaction.atomic():
                post(Actor("alice"), "k")
                inserted.set()
                twin.join(0.5)
                assert twin.is_alive()
                transaction.set_rollback(True)
        finally:
            connections.close_all()

    def second() -> None:
        try:
            inserted.wait(10)
            twins.append(created(post(Actor("alice"), "k")))
        finally:
            connections.close_all()

    twin = Thread(target=second)
    twin.start()
    at_once(lambda _: first())
    twin.join(10)
    assert twins == list(Task.objects.values_list("id", flat=True))


# --- manage.py clear_idempotency_keys ---------------------------------------------------------------------------------------


def clear(*arguments: str) -> str:
    out = StringIO()
    call_command("clear_idempotency_keys", *arguments, stdout=out)
    return out.getvalue()


def aged(actor: Actor, key: str, **age: float) -> int:
    """A task with a key, made that long ago."""
    task_id = created(post(actor, key))
    made = Task.objects.filter(pk=task_id)
    made.update(created_at=timezone.now() - timedelta(**age), updated_at=timezone.now() + timedelta(hours=1))
    return task_id


@pytest.mark.promise("P-70")
@pytest.mark.parametrize(("batch_size", "updates"), [(1, 3), (2, 2), (1000, 1)])
def test_old_keys_are_cleared_in_batches_and_nothing_else_is_touched(
    db, alice: Actor, bob: Actor, monkeypatch, batch_size: int, updates: int
) -> None:
    monkeypatch.setattr(clear_idempotency_keys, "BATCH_SIZE", batch_size)
    old, bobs = aged(alice, "old", hours=24, seconds=5), aged(bob, "old", days=100)
    older = aged(alice, "older", hours=25)
    young, new = aged(alice, "young", hours=23, minutes=59), created(post(alice, "new"))
    keyless = created(alice.post(alice.tasks, MILK))
    Task.objects.filter(pk=keyless).update(created_at=timezone.now() - timedelta(days=100))
    seen = {path: alice.get(path) for path in (alice.tasks, alice.task(old), alice.task(young), alice.task(new))}

    with CaptureQueriesContext(connection) as queries:
        assert clear() == "Cleared 3 keys.\n"
    assert len([query for query in queries if query["sql"].startswith('UPDATE "tasks_task"')]) == updates
    for path, response in seen.items():
        assert (alice.get(path).content, alice.get(path)["ETag"]) == (response.content, response["ETag"])
    assert dict(Task.objects.values_list("id", "idempotency_key")) == {
        old: None, older: None, bobs: None, young: "young", new: "new", keyless: None,
    }  # fmt: skip
    assert set(Task.objects.filter(idempotency_key=None).values_list("idempotency_fingerprint", flat=True)) == {None}

    assert clear() == "Cleared 0 keys.\n"
    assert created(post(alice, "young")) == young
    assert created(post(alice, "old")) not in {old, older, bobs}


def test_keys_are_held_as_long_as_asked(db, alice: Actor) -> None:
    aged(alice, "k", hours=47)
    assert clear("--hours", "48") == "Cleared 0 keys.\n"
    assert clear("--hours", "47") == "Cleared 1 key.\n"


@pytest.mark.promise("P-70")
@pytest.mark.parametrize("hours", ["23", "0", "-1", "23.9", "x", "", "1e3", "99999999999"])
def test_less_than_the_promised_day_is_refused(db, alice: Actor, hours: str) -> None:
    aged(alice, "k", days=100)
    before = rows()
    with pytest.raises(CommandError):
        clear(f"--hours={hours}")
    assert rows() == before
