"""The table: what the database itself enforces, and what operators may do to it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.signals import post_save, pre_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from model_bakery import baker

from conftest import Actor, rows
from tasks.models import Task

COLUMNS = ["id", "user_id", "title", "description", "completed", "created_at", "updated_at"]
MOMENT = "2026-01-02 03:04:05.5+00:00"


def insert(**values) -> None:
    """A plain INSERT, as an operator would write it."""
    values = {
        "user_id": "alice", "title": "Milk", "description": None, "completed": False,
        "created_at": MOMENT, "updated_at": MOMENT, **values,
    }  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        marks = ", ".join(["%s"] * len(values))
        cursor.execute(f"INSERT INTO tasks_task ({', '.join(values)}) VALUES ({marks})", list(values.values()))


def test_the_table_has_the_seven_columns_and_defaults_for_any_other(db) -> None:
    assert Task._meta.db_table == "tasks_task"
    with connection.cursor() as cursor:
        columns = [column.name for column in connection.introspection.get_table_description(cursor, "tasks_task")]
    assert set(COLUMNS) <= set(columns)


def test_a_plain_insert_of_the_contracts_columns_works(db, alice: Actor) -> None:
    insert(id=2**40)
    insert(description="Two litres", completed=True)
    first, second = sorted(alice.get(alice.tasks).json(), key=lambda task: task["completed"])
    assert first == {
        "id": 2**40,
        "title": "Milk",
        "description": None,
        "completed": False,
        "user_id": "alice",
        "created_at": "2026-01-02T03:04:05.500000Z",
        "updated_at": "2026-01-02T03:04:05.500000Z",
    }
    assert (second["description"], second["completed"]) == ("Two litres", True)
    for task in (first, second):
        assert alice.patch(alice.complete(task["id"])).json()["completed"] is not task["completed"]


def test_the_id_is_an_identity_column(db) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT attidentity FROM pg_attribute WHERE attrelid = 'tasks_task'::regclass AND attname = 'id'"
            )
            assert cursor.fetchone()[0] in {"a", "d", b"a", b"d"}
    insert()
    insert()
    first, second = Task.objects.order_by("id").values_list("id", flat=True)
    assert second > first


@pytest.mark.promise("P-16")
@pytest.mark.parametrize(
    "values",
    [
        {"user_id": ""},
        {"user_id": "a" * 256},
        {"user_id": None},
        {"title": ""},
        {"title": "a" * 201},
        {"title": "😀" * 201},
        {"title": None},
        {"description": "a" * 5001},
        {"description": "😀" * 5001},
        {"completed": None},
        {"created_at": None},
        {"updated_at": None},
    ],
    ids=lambda values: "-".join(f"{name}-{value and len(value)}" for name, value in values.items()),
)
def test_the_database_refuses_what_the_serializer_would(db, values) -> None:
    with pytest.raises(DatabaseError):
        insert(**values)
    assert rows() == []


@pytest.mark.promise("P-16")
@pytest.mark.parametrize("name", ["tasks_user_id_length", "tasks_title_length", "tasks_description_length"])
def test_the_lengths_are_check_constraints(db, name: str) -> None:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "tasks_task")
    assert constraints[name]["check"]


def test_the_database_takes_all_that_the_contract_allows(db) -> None:
    insert(user_id="😀" * 255, title="😀" * 200, description="😀" * 5000)
    insert(user_id="a", title="a", description="")
    assert len(rows()) == 2


@pytest.mark.promise("P-15")
@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=1)])
def test_every_write_through_the_model_moves_updated_at_on(milk: Task, ahead: timedelta) -> None:
    moment = timezone.now() + ahead
    Task.objects.filter(pk=milk.pk).update(updated_at=moment)
    milk.refresh_from_db()

    def save() -> None:
        milk.title = "saved"
        milk.save()
        assert milk.updated_at == Task.objects.get().updated_at

    def save_some() -> None:
        milk.completed = True
        milk.save(update_fields=["completed"])

    def bulk() -> None:
        milk.title = "bulk"
        Task.objects.bulk_update([milk], ["title"])

    for write in (save, save_some, bulk, lambda: Task.objects.update(completed=False)):
        write()
        now = Task.objects.get().updated_at
        assert now > moment
        moment = now
    assert Task.objects.get().title == "bulk"
    assert Task.objects.get().created_at == milk.created_at


@pytest.fixture
def told() -> Iterator[list[tuple[str, object]]]:
    """What receivers of a save's signals are handed as `updated_at`."""
    heard: list[tuple[str, object]] = []

    def before(sender, instance, **kwargs) -> None:
        heard.append(("pre_save", instance.updated_at))

    def after(sender, instance, **kwargs) -> None:
        heard.append(("post_save", instance.updated_at))

    pre_save.connect(before, Task)
    post_save.connect(after, Task)
    yield heard
    pre_save.disconnect(before, Task)
    post_save.disconnect(after, Task)


def test_receivers_are_handed_the_time_that_is_written(milk: Task, told) -> None:
    milk.title = "Oat milk"
    milk.save()
    written = Task.objects.get().updated_at
    assert told == [("pre_save", written), ("post_save", written)]


def test_a_save_that_fails_leaves_the_task_as_it_was(milk: Task) -> None:
    before, moment = rows(), milk.updated_at
    milk.title = ""
    with pytest.raises(DatabaseError), transaction.atomic():
        milk.save()
    assert (milk.updated_at, rows()) == (moment, before)
    milk.title = "Oat milk"
    milk.save()
    assert Task.objects.get().title == "Oat milk"


def test_a_save_of_no_field_does_nothing(milk: Task, told) -> None:
    before = rows()
    with CaptureQueriesContext(connection) as queries:
        milk.title = "new"
        milk.save(update_fields=[])
    assert (len(queries), told, rows()) == (0, [], before)


@pytest.mark.parametrize("fields", [None, ["user_id", "title"]])
def test_a_task_does_not_change_hands(milk: Task, fields) -> None:
    before = rows()
    milk.user_id = "bob"
    with pytest.raises(ValueError, match="change hands"):
        milk.save(update_fields=fields)
    assert rows() == before


@pytest.mark.parametrize("fields", [None, ["title"], ["user_id", "title"]])
def test_a_save_never_writes_the_owner(milk: Task, fields) -> None:
    with CaptureQueriesContext(connection) as queries:
        milk.title = "new"
        milk.save(update_fields=fields)
    (update,) = [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert '"title"' in update.partition(" WHERE ")[0]
    assert "user_id" not in update.partition(" WHERE ")[0]


def test_a_task_that_was_loaded_in_part_writes_that_part(milk: Task) -> None:
    part = Task.objects.only("title").get()
    Task.objects.update(description="meanwhile")
    part.title = "new"
    part.save()
    task = Task.objects.get()
    assert (task.title, task.description) == ("new", "meanwhile")
    assert task.updated_at > milk.updated_at


def test_a_deleted_task_is_not_saved_back(milk: Task) -> None:
    Task.objects.all().delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        milk.save()
    assert rows() == []


def test_a_new_task_may_be_given_its_times(db) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    task = baker.make(Task, user_id="alice", created_at=moment, updated_at=moment)
    assert Task.objects.get().updated_at == task.updated_at == moment


def test_the_models_are_as_migrated(db) -> None:
    from django.core.management import call_command

    call_command("makemigrations", "tasks", check=True, dry_run=True, verbosity=0)
