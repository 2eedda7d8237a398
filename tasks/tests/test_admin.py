"""The operators' pages: every user's tasks, usable at a million rows, and open to staff alone."""

import html
import json
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.formats import date_format
from model_bakery import baker

from conftest import Actor, assert_problem, rows
from tasks import admin as tasks_admin
from tasks.models import Task

LIST = "/admin/tasks/task/"
PASSWORD = "correct horse battery staple"


def sign_in(name: str) -> Client:
    client = Client()
    answer = client.post("/admin/login/?next=/admin/", {"username": name, "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    return client


@pytest.fixture(autouse=True)
def quick_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def operator(db) -> Client:
    """Signed in at the admin's own page."""
    User.objects.create_superuser("operator", password=PASSWORD)
    return sign_in("operator")


def listed(client: Client, query: str = "") -> list[str]:
    """The titles on the list's page."""
    response = client.get(LIST + query)
    assert response.status_code == 200
    return [
        html.unescape(title)
        for title in re.findall(r'class="field-title"><a [^>]*>(.*?)</a></th>', response.content.decode())
    ]


class Form(HTMLParser):
    """What a browser finds in a page's form that is sent with POST, and would send as it stands."""

    def __init__(self, page: str, script: bool) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self.script, self.skipping, self.inside, self.textarea = script, False, False, ""
        # A parser of HTML takes every line break for LF before it looks at anything else.
        self.feed(re.sub("\r\n?", "\n", page))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value")
        if tag == "form":
            self.inside = given.get("method") == "post" and given.get("id") != "logout-form"
        elif tag == "noscript":
            self.skipping = self.script
        elif self.skipping or not self.inside:
            return
        elif tag == "textarea":
            self.textarea = name
            self.sent.append((name, ""))
        elif tag == "input" and given["type"] == "checkbox":
            if "checked" in given:
                self.sent.append((name, value or "on"))
        elif tag == "input" and given["type"] == "text":
            self.sent.append((name, re.sub("\n|\r", "", value or "")))
        elif tag == "input" and given["type"] == "hidden":
            self.sent.append((name, value or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.sent[-1] = (self.textarea, self.sent[-1][1].removeprefix("\n"))
            self.textarea = ""
        elif tag == "noscript":
            self.skipping = False
        elif tag == "form":
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.textarea:
            self.sent[-1] = (self.textarea, self.sent[-1][1] + data)


@dataclass
class Opened:
    """A page that an operator has before them; what they change is sent with what the page showed."""

    client: Client
    path: str
    script: bool = True
    response: Any = None

    def __post_init__(self) -> None:
        self.response = self.response or self.client.get(self.path)
        assert self.response.status_code == 200

    @property
    def text(self) -> str:
        return html.unescape(self.response.content.decode())

    @property
    def fields(self) -> list[tuple[str, str]]:
        return Form(self.response.content.decode(), self.script).sent

    def submit(self, **changes: Any) -> Any:
        """Send it as a browser does: line breaks as CRLF, an unticked box not at all."""
        data = {}
        for name, value in self.fields:
            data.setdefault(name, []).append(value)
        for name, value in changes.items():
            data[name] = list(value) if isinstance(value, list) else {True: ["on"], False: []}.get(value, [value])
        assert sum(map(len, data.values())) <= settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
        encoded = {name: [re.sub("\r\n?|\n", "\r\n", str(value)) for value in values] for name, values in data.items()}
        return self.client.post(self.path, encoded)

    def again(self, **changes: Any) -> "Opened":
        """Send it, and look at the page that comes in answer."""
        return Opened(self.client, self.path, self.script, self.submit(**changes))


def opened(client: Client, task: Task) -> Opened:
    return Opened(client, f"{LIST}{task.pk}/change/")


def updates(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries if query["sql"].startswith('UPDATE "tasks_task"')]


@pytest.mark.promise("P-51")
def test_the_list_shows_every_users_tasks_and_says_so(operator: Client, milk: Task, bobs: Task) -> None:
    assert listed(operator) == ["Bob's secret", "Milk"]
    assert "not scoped by owner" in operator.get(LIST).content.decode()
    assert "every user" in operator.get("/admin/").content.decode()


def test_completed_filters_the_list(operator: Client, milk: Task) -> None:
    baker.make(Task, user_id="bob", title="Done", completed=True)
    assert listed(operator, "?completed__exact=1") == ["Done"]
    assert listed(operator, "?completed__exact=0") == ["Milk"]


@pytest.mark.promise("P-51")
def test_search_takes_a_whole_user_id_or_a_part_of_a_title(operator: Client, milk: Task, bobs: Task) -> None:
    baker.make(Task, user_id="malice", title="about bob and ice")
    assert listed(operator, "?q=alice") == ["Milk"]
    assert listed(operator, "?q=bob") == ["Bob's secret"]
    assert listed(operator, "?q=ICE") == ["about bob and ice"]
    assert listed(operator, "?q=100%25") == []
    assert listed(operator, "?q=") == ["about bob and ice", "Bob's secret", "Milk"]


def test_search_takes_the_beginning_of_a_user_id_in_either_case(operator: Client, milk: Task, bobs: Task) -> None:
    baker.make(Task, user_id="Alice2", title="Two")
    assert listed(operator, "?q=alice") == ["Milk"]
    assert listed(operator, "?q=ALICE") == ["Two", "Milk"]
    assert listed(operator, "?q=ali") == ["Two", "Milk"]
    assert listed(operator, "?q=lice") == []


@pytest.mark.parametrize(("query", "filters"), [("?q=ALICEX", False), ("?q=bob&completed__exact=1", True)])
def test_a_search_that_finds_nothing_says_what_it_looked_for(
    operator: Client, milk: Task, bobs: Task, query: str, filters: bool
) -> None:
    page = Opened(operator, LIST + query).text
    assert listed(operator, query) == []
    term = query.removeprefix("?q=").partition("&")[0]
    assert f"no user id is “{term}” or begins with it, and no title has it in it" in page
    assert ("Nothing found with these filters" in page) is filters
    assert "Nothing found" not in Opened(operator, LIST + "?q=alice").text
    assert "Nothing found" not in Opened(operator, LIST + "?completed__exact=1").text


def test_a_search_reads_the_table_once(operator: Client, milk: Task) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert listed(operator, "?q=MIL") == ["Milk"]
    searches = [query["sql"] for query in queries if "[Mm]" in query["sql"]]
    assert len(searches) == 1 and searches[0].endswith("LIMIT 10001")


@pytest.mark.parametrize("user_id", ["alice", " alice ", "auth0|1 ü?#%&", "a/b", '"><script>', "a" * 255])
def test_a_user_id_leads_to_that_user_s_tasks_and_page(operator: Client, bobs: Task, user_id: str) -> None:
    first, last = timezone.now() - timedelta(days=3), timezone.now() + timedelta(days=3)
    baker.make(Task, user_id=user_id, title="One", completed=True, created_at=first, updated_at=first)
    baker.make(Task, user_id=user_id, title="Two", completed=False, created_at=timezone.now(), updated_at=last)
    page = operator.get(LIST).content.decode()
    (link,) = {
        html.unescape(link) for link in re.findall(r'<a href="([^"]*)">', page) if "user=" in link and "bob" not in link
    }
    assert listed(operator, link) == ["Two", "One"]
    (link,) = re.findall(r'<a href="(/admin/tasks/task/user/[^"]*)">', operator.get(LIST + link).content.decode())
    with CaptureQueriesContext(connection) as queries:
        page = Opened(operator, html.unescape(link)).text
    assert len([query for query in queries if "tasks_task" in query["sql"]]) == 1
    assert f"User {user_id}" in page
    assert "2 tasks" in page and "1 of them completed" in page
    assert date_format(first, "DATETIME_FORMAT") in page and date_format(last, "DATETIME_FORMAT") in page
    assert operator.get(LIST).content.count(b"user/?user=") == 0


def test_the_page_of_a_user_without_tasks_says_so_and_takes_a_right_to_look(operator: Client, milk: Task) -> None:
    assert "No task has the user id “nobody”." in Opened(operator, f"{LIST}user/?user=nobody").text
    User.objects.create_user("clerk", password=PASSWORD, is_staff=True)
    assert sign_in("clerk").get(f"{LIST}user/?user=alice").status_code == 403
    assert Client().get(f"{LIST}user/?user=alice").status_code == 302


def test_a_users_page_exports_their_tasks(operator: Client, alice: Actor, milk: Task, bobs: Task) -> None:
    page = operator.get(f"{LIST}user/?user=alice").content.decode()
    (link,) = re.findall(r'<a href="([^"]*)">Export', page)
    export = operator.get(link)
    lines = b"".join(export.streaming_content).splitlines()
    assert [json.loads(line) for line in lines] == [*alice.get(alice.tasks).json(), {"tasks": 1}]
    assert export["Content-Disposition"] == 'attachment; filename="tasks.jsonl"'
    (line,) = LogEntry.objects.values("user__username", "object_repr", "object_id", "change_message")
    assert list(line.values()) == ["operator", "A user's tasks exported.", None, ""]
    User.objects.create_user("clerk", password=PASSWORD, is_staff=True)
    assert sign_in("clerk").get(link).status_code == 403
    assert LogEntry.objects.count() == 1


def test_an_export_that_cannot_begin_is_refused_and_is_no_empty_file(
    operator: Client, milk: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor == "postgresql":  # Which takes no NUL.
        assert operator.get(f"{LIST}user/export/?user=a%00").status_code == 400

    def away(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("the database is away")

    monkeypatch.setattr("tasks.statements.page", away)
    operator.raise_request_exception = False
    assert_problem(operator.get(f"{LIST}user/export/?user=alice"), 503, "service_unavailable")


def test_a_users_tasks_are_erased_where_the_id_is_typed(operator: Client, milk: Task, bobs: Task) -> None:
    before = rows()
    for typed in ("", "bob", "ALICE", "alice "):
        refused = operator.post(f"{LIST}user/?user=alice", {"user_id": typed})
        assert refused.status_code == 200
        assert "Nothing was erased: the id that was typed is another one." in refused.content.decode()
    assert rows() == before
    done = Opened(operator, f"{LIST}user/?user=alice").submit(user_id="alice")
    assert "1 task erased." in operator.get(done["Location"]).content.decode()
    assert [row for row in before if row[1] == "bob"] == rows()
    (line,) = LogEntry.objects.all()
    assert (line.object_repr, line.action_flag, line.object_id) == ("1 task erased.", DELETION, None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite alone keeps what is deleted in its file.")
def test_a_reader_who_keeps_the_text_in_the_files_is_told(operator: Client, milk: Task) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 100")  # As long as the page waits for the reader.
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as backup:
        backup.execute("BEGIN")
        backup.execute("SELECT count(*) FROM tasks_task").fetchone()
        done = operator.post(f"{LIST}user/?user=alice", {"user_id": "alice"}, follow=True).content.decode()
    assert '<li class="warning">1 task erased, but the database&#x27;s files still hold the text' in done
    connection.close()  # The next one has its own timeout.


def test_erasing_takes_the_right_to_delete_and_few_tasks(operator: Client, milk: Task, monkeypatch) -> None:
    before = rows()
    clerk = User.objects.create_user("clerk", password=PASSWORD, is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_task"))
    assert b"Erase" not in sign_in("clerk").get(f"{LIST}user/?user=alice").content
    assert sign_in("clerk").post(f"{LIST}user/?user=alice", {"user_id": "alice"}).status_code == 403
    monkeypatch.setattr("tasks.admin.COUNT_BOUND", 0)
    page = operator.post(f"{LIST}user/?user=alice", {"user_id": "alice"})
    assert b"manage.py erase_user" in page.content
    assert rows() == before


def test_a_title_leads_to_its_task(operator: Client, milk: Task) -> None:
    assert f'<a href="{LIST}{milk.pk}/change/">Milk</a>' in operator.get(LIST).content.decode()


def test_search_finds_a_title_in_every_case_of_its_letters(operator: Client, milk: Task) -> None:
    baker.make(Task, user_id="bob", title="οδος (ερμου)")
    assert listed(operator, "?q=ΟΔΟΣ+(Ε") == ["οδος (ερμου)"]
    assert listed(operator, "?q=(.)") == []


@pytest.mark.promise("P-51")
@pytest.mark.parametrize("query", ["", "?q=alice", "?q=milk", "?completed__exact=0", "?_facets=True", "?p=2", "?all="])
def test_no_page_counts_the_whole_table(operator: Client, milk: Task, query: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        operator.get(LIST + query)
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and "tasks_task" in query["sql"]]
    assert counts
    assert all("LIMIT 10001" in sql for sql in counts), counts


def test_numbers_stop_at_the_bound_and_say_so(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_admin, "COUNT_BOUND", 60)
    baker.make(Task, user_id="alice", title="Milk", _quantity=60, _bulk_create=True)
    text = Opened(operator, LIST).text
    assert "Select all 60 tasks" in text and "All 60 selected" in text
    baker.make(Task, user_id="alice", title="Milk", _quantity=10, _bulk_create=True)
    text = Opened(operator, LIST).text
    assert "Select all 60+ tasks" in text and "All 60+ selected" in text and "60+ tasks" in text
    assert "Select all 60 tasks" not in text
    assert len(listed(operator)) == 50
    assert len(listed(operator, "?p=2")) == 10


def test_a_page_is_a_few_queries_however_many_tasks_it_shows(operator: Client) -> None:
    lengths = []
    for _ in range(2):
        baker.make(Task, user_id="alice", title="Milk", _quantity=20, _bulk_create=True)
        with CaptureQueriesContext(connection) as queries:
            operator.get(LIST)
        lengths.append(len(queries))
    assert lengths[0] == lengths[1] < 10


@pytest.mark.promise("P-51")
@pytest.mark.parametrize(("action", "completed"), [("complete", True), ("reopen", False)])
def test_bulk_actions_set_the_flag_and_move_updated_at(operator: Client, action: str, completed: bool) -> None:
    ahead = timezone.now() + timedelta(hours=1)
    make = {"title": "Milk", "updated_at": ahead}
    chosen = [baker.make(Task, user_id=user_id, completed=not completed, **make) for user_id in ("alice", "bob")]
    there_already = baker.make(Task, user_id="alice", completed=completed, **make)
    not_chosen = baker.make(Task, user_id="alice", completed=not completed, **make)
    data = {"action": action, "_selected_action": [task.pk for task in (*chosen, there_already)]}
    answer = operator.post(LIST, data, follow=True)
    assert f"2 tasks {'completed' if completed else 'reopened'}." in answer.content.decode()
    for task in chosen:
        now = Task.objects.get(pk=task.pk)
        assert (now.completed, now.updated_at) == (completed, ahead + timedelta(microseconds=1))
    for task in (there_already, not_chosen):
        assert Task.objects.filter(pk=task.pk, completed=task.completed, updated_at=ahead).exists()


def test_who_may_only_look_cannot_complete(operator: Client, milk: Task) -> None:
    viewer = User.objects.create_user("viewer", password=PASSWORD, is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_task"))
    client = sign_in("viewer")
    before = rows()
    assert listed(client) == ["Milk"]
    client.post(LIST, {"action": "complete", "_selected_action": [milk.pk]})
    assert client.post(f"{LIST}{milk.pk}/change/", {"title": "Taken"}).status_code == 403
    assert rows() == before


CHANGES = [("title", "Cream"), ("description", "One\ntwo"), ("completed", True)]
TEXTS = [
    *(
        None,
        "",
        "Two litres",
        "  two\nlines \n",
        "three\r\nlines",
        "four\rlines",
        "\nfirst",
        "\r\n\r\nfirst",
        "\r",
        "\n",
    ),
    *(
        "tab\t\x0b\x0c\x01 ",
        "\u0085\u2028\u00a0",
        '</textarea>&amp;"',
        "\n" * 5000,
        "\r" * 5000,
        "😀" * 5000,
        "a\r\n" * 1666,
    ),
]


@pytest.mark.promise("P-91")
@pytest.mark.parametrize(("column", "value"), CHANGES)
@pytest.mark.parametrize("description", TEXTS)
def test_saving_a_form_writes_only_what_was_changed(operator: Client, column: str, value, description) -> None:
    task = baker.make(Task, user_id="alice", title="Milk", description=description, completed=False)
    page = opened(operator, task)
    with CaptureQueriesContext(connection) as queries:
        answer = page.submit(**{column: value})
    assert answer.status_code == 302
    (sql,) = updates(queries)
    written = re.findall(r'"(\w+)" = ', sql.partition(" SET ")[2].partition(" WHERE ")[0])
    assert set(written) == {column, "updated_at"}
    now = Task.objects.get()
    assert now.updated_at > task.updated_at
    expected = {"title": "Milk", "description": description, "completed": False, column: value}
    assert (now.title, now.description, now.completed) == tuple(expected.values())


@pytest.mark.parametrize(
    "title", [" Milk ", "Milk\nBread", "Milk\r\nBread", "a\rb", "\nMilk\t", "\u00a0Milk", "😀" * 200]
)
def test_a_title_that_was_not_changed_stays_as_it_is(operator: Client, title: str) -> None:
    task = baker.make(Task, user_id="alice", title=title, description=None, completed=False)
    assert opened(operator, task).submit(completed=True).status_code == 302
    assert Task.objects.values_list("title", "description", "completed").get() == (title, None, True)


def test_a_typed_title_is_trimmed(operator: Client, milk: Task) -> None:
    opened(operator, milk).submit(title="  Oat milk\t")
    assert Task.objects.get().title == "Oat milk"


@pytest.mark.parametrize("description", TEXTS)
def test_saving_an_unchanged_form_moves_no_tag(operator: Client, description) -> None:
    task = baker.make(Task, user_id="alice", title="Milk\nBread", description=description, completed=True)
    before = rows()
    assert opened(operator, task).submit().status_code == 302
    assert rows() == before


@pytest.mark.promise("P-91")
@pytest.mark.parametrize(
    ("column", "value", "users", "users_value"),
    [
        (*mine, *theirs)
        for mine in CHANGES
        for theirs in [("title", "Theirs"), ("description", "a\rb"), ("completed", True)]
        if mine[0] != theirs[0]
    ],
)
def test_a_users_write_since_the_form_was_opened_survives(
    operator: Client, alice: Actor, milk: Task, column: str, value, users: str, users_value
) -> None:
    page = opened(operator, milk)
    assert alice.put(alice.task(milk.pk), {"title": "Milk", users: users_value}).status_code == 200
    assert page.submit(**{column: value}).status_code == 302
    expected = {"title": "Milk", "description": "Two litres", "completed": False, users: users_value, column: value}
    assert Task.objects.values_list("title", "description", "completed").get() == tuple(expected.values())


@pytest.mark.promise("P-91")
@pytest.mark.parametrize(
    ("column", "theirs", "mine"),
    [
        ("title", "Theirs & <b>", "Mine"),
        ("description", "Theirs & <b>", "Mine"),
        ("description", None, "Mine"),
        ("description", "two\nLitres", ""),
        ("description", "Two litres\n", "Mine"),
    ],
)
def test_what_a_user_changed_too_is_shown_and_not_written(
    operator: Client, alice: Actor, milk: Task, column: str, theirs, mine: str
) -> None:
    page = opened(operator, milk)
    alice.put(alice.task(milk.pk), {"title": "Milk", column: theirs})
    before = rows()
    page = page.again(**{column: mine}, completed=True)
    assert rows() == before
    assert "This was changed in the meantime" in page.text
    assert html.escape(theirs or "(empty)").replace("\n", "<br>") in page.response.content.decode()
    assert dict(page.fields)[column] == mine
    assert dict(page.fields)["completed"] == "on"

    # Once more, and it is shown once more.
    alice.put(alice.task(milk.pk), {"title": "Milk", column: "Again"})
    before = rows()
    page = page.again()
    assert rows() == before
    assert "Again" in page.text

    # Now the operator knows, and saves.
    assert page.submit().status_code == 302
    now = Task.objects.get()
    assert (getattr(now, column), now.completed) == (mine, True)


def test_a_conflict_does_not_take_along_what_else_the_user_wrote(operator: Client, alice: Actor, milk: Task) -> None:
    page = opened(operator, milk)
    alice.put(alice.task(milk.pk), {"title": "Theirs", "description": "Theirs"})
    assert page.again(description="Mine").submit().status_code == 302
    assert Task.objects.values_list("title", "description").get() == ("Theirs", "Mine")


def test_the_same_change_by_both_is_no_conflict_and_no_write(operator: Client, alice: Actor, milk: Task) -> None:
    page = opened(operator, milk)
    alice.put(alice.task(milk.pk), {"title": "Cream", "completed": True})
    before = rows()
    assert page.submit(title="Cream", completed=True).status_code == 302
    assert rows() == before


@pytest.mark.promise("P-91")
@pytest.mark.parametrize("shown", [[], "", "x", "[" * 50_000, "null", "9" * 5000, '"\\u0000"', "{}", "1e999"])
def test_a_form_that_does_not_say_what_it_showed_overwrites_nothing(
    operator: Client, alice: Actor, milk: Task, shown
) -> None:
    page = opened(operator, milk)
    alice.put(alice.task(milk.pk), {"title": "Theirs", "description": "Theirs", "completed": True})
    before = rows()
    hidden = {f"initial-{name}": shown for name in ("title", "description", "completed")}
    assert page.submit(title="Mine", description="Mine", **hidden).status_code == 200
    assert rows() == before


@pytest.mark.promise("P-91")
@pytest.mark.django_db(transaction=True)
def test_a_users_write_between_the_check_of_a_form_and_its_write_is_not_lost(
    operator: Client, alice: Actor, milk: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(operator, milk)
    save_model = tasks_admin.TaskAdmin.save_model

    def put() -> int:
        try:
            return alice.put(alice.task(milk.pk), {"title": "Theirs"}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        users = []

        def save_slowly(*arguments: Any) -> None:
            users.append(pool.submit(put))
            wait(users, timeout=0.5)
            save_model(*arguments)

        monkeypatch.setattr(tasks_admin.TaskAdmin, "save_model", save_slowly)
        assert page.submit(title="Mine").status_code == 302
        assert users[0].result() == 200
    assert Task.objects.get().title == "Theirs"  # It waited, and so it came last.


def test_a_task_that_is_gone_is_said_to_be(operator: Client, milk: Task) -> None:
    page = opened(operator, milk)
    milk.delete()
    answer = page.submit(title="Cream")
    assert "Perhaps it was deleted?" in html.unescape(operator.get(answer["Location"]).content.decode())
    assert rows() == []


def test_a_task_does_not_change_hands(operator: Client, milk: Task) -> None:
    opened(operator, milk).submit(user_id="bob", title="Cream")
    assert Task.objects.values_list("user_id", "title").get() == ("alice", "Cream")


@pytest.mark.parametrize(
    "changes", [{"title": ""}, {"title": " "}, {"title": "a" * 201}, {"title": "a\0"}, {"description": "a" * 5001}]
)
def test_a_form_with_a_fault_is_shown_again_and_changes_nothing(operator: Client, milk: Task, changes) -> None:
    before = rows()
    assert opened(operator, milk).submit(**changes).status_code == 200
    assert rows() == before


def test_an_operator_can_add_and_delete_a_task(operator: Client, alice: Actor) -> None:
    Opened(operator, f"{LIST}add/").submit(user_id="alice", title="Milk", description="\ntwo\nlines")
    (task,) = alice.get(alice.tasks).json()
    assert (task["title"], task["description"], task["completed"]) == ("Milk", "\ntwo\nlines", False)
    page = Opened(operator, f"{LIST}{task['id']}/delete/")
    assert "1 task will be deleted." in page.text
    assert "Milk (alice)" in page.text
    assert page.submit()["Location"] == LIST
    assert rows() == []


@pytest.mark.promise("P-92")
def test_a_task_that_changed_since_the_question_is_not_deleted(operator: Client, alice: Actor, milk: Task) -> None:
    page = Opened(operator, f"{LIST}{milk.pk}/delete/")
    alice.put(alice.task(milk.pk), {"title": "Do not lose this"})
    before = rows()
    page.submit()
    assert rows() == before
    assert "0 tasks deleted. 1 changed or gone in the meantime" in operator.get(LIST).content.decode()


# --- Many at once -----------------------------------------------------------------------------------------------


def acts(page: Opened, action: str, **fields: Any) -> Opened:
    """Press Go, and look at the question that comes in answer."""
    return page.again(action=action, index="0", **fields)


def make_many(number: int, user_id: str = "alice", **values: Any) -> None:
    baker.make(Task, **{"user_id": user_id, "title": "Milk", "_quantity": number, "_bulk_create": True, **values})


ACTIONS = [("complete", "completed"), ("reopen", "reopened"), ("delete_selected", "deleted")]


def undone(action: str) -> Any:
    """The tasks that the action still has something to do to."""
    return Task.objects.filter(**{"complete": {"completed": False}, "reopen": {"completed": True}}.get(action, {}))


@pytest.mark.promise("P-92")
@pytest.mark.parametrize(("action", "done"), ACTIONS)
@pytest.mark.parametrize("script", [True, False])
def test_select_all_asks_with_the_exact_number_and_writes_it(
    operator: Client, monkeypatch: pytest.MonkeyPatch, action: str, done: str, script: bool
) -> None:
    monkeypatch.setattr(tasks_admin, "COUNT_BOUND", 60)
    monkeypatch.setattr(tasks_admin, "BATCH_SIZE", 7)
    make_many(70, completed=action == "reopen", title="Their secret")
    make_many(3, "bob", completed=action == "reopen")
    before = rows()
    page = Opened(operator, f"{LIST}?q=alice", script)
    if script:  # The script sets a field of the form, once every row is ticked.
        page = acts(page, action, select_across="1", _selected_action=[str(row[0]) for row in before[-50:]])
    else:
        assert "Select all 60+ tasks" in page.text
        page = acts(page, action, select_across=["0", "1"])
    assert f"70 tasks will be {done}." in page.text
    assert "and 60 more" in page.text
    assert rows() == before
    answer = page.submit()
    assert answer["Location"] == f"{LIST}?q=alice"
    assert f"70 tasks {done}." in operator.get(LIST).content.decode()
    assert set(undone(action).values_list("user_id", flat=True)) == {"bob"}
    assert undone(action).count() == 3
    # Pressed once more, it finds nothing to do.
    after = rows()
    page.submit()
    assert rows() == after


def test_a_form_without_a_row_that_is_ticked_acts_on_none(operator: Client) -> None:
    make_many(60)
    for script in (True, False):
        before = rows()
        assert Opened(operator, LIST, script).submit(action="complete", index="0").status_code == 302
        assert rows() == before


@pytest.mark.promise("P-92")
@pytest.mark.parametrize(("action", "done"), ACTIONS)
def test_what_was_written_since_the_question_is_left_alone(
    operator: Client, alice: Actor, action: str, done: str
) -> None:
    make_many(60, completed=action == "reopen")
    page = acts(Opened(operator, f"{LIST}?q=alice"), action, select_across="1", _selected_action="0")
    changed, gone = Task.objects.order_by("pk")[10], Task.objects.order_by("pk")[20]
    alice.put(alice.task(changed.pk), {"title": "Do not lose this"})
    alice.delete(alice.task(gone.pk))
    new = alice.post(alice.tasks, {"title": "New", "completed": action == "reopen"}).json()["id"]
    page.submit()
    assert f"58 tasks {done}. 2 changed or gone in the meantime" in operator.get(LIST).content.decode()
    assert set(undone(action).values_list("pk", flat=True)) == {changed.pk, new}


@pytest.mark.promise("P-92")
@pytest.mark.parametrize(("action", "done"), ACTIONS)
def test_no_more_are_written_than_the_question_said(operator: Client, action: str, done: str) -> None:
    make_many(60, completed=action == "reopen", updated_at=timezone.now() + timedelta(hours=1))
    page = acts(Opened(operator, f"{LIST}?q=alice"), action, select_across="1", _selected_action="0")
    # By the clock of another machine it was there before.
    make_many(1, completed=action == "reopen", title="New")
    page.submit()
    assert list(undone(action).values_list("title", flat=True)) == ["New"]


def test_a_search_that_has_come_to_mean_other_tasks_is_asked_about_again(operator: Client) -> None:
    make_many(60)
    bobs = baker.make(Task, user_id="bob", title="Write to alice")
    page = acts(Opened(operator, f"{LIST}?q=alice"), "delete_selected", select_across="1", _selected_action="0")
    assert "60 tasks will be deleted." in page.text
    Task.objects.filter(user_id="alice").delete()
    page = page.again()
    assert "1 task will be deleted." in page.text
    assert "Write to alice (bob)" in page.text
    assert Task.objects.get() == bobs


@pytest.mark.parametrize("answer", ["", "x", "a:b:c", "\0", "é"])
def test_a_forged_answer_is_asked_again(operator: Client, milk: Task, answer: str) -> None:
    page = acts(Opened(operator, LIST), "delete_selected", _selected_action=str(milk.pk))
    before = rows()
    assert "1 task will be deleted." in page.again(asked=answer).text
    assert rows() == before


def test_an_answer_to_one_question_is_none_to_another(operator: Client) -> None:
    make_many(60, completed=True)
    page = acts(Opened(operator, LIST), "reopen", select_across="1", _selected_action="0")
    before = rows()
    assert "60 tasks will be deleted." in page.again(action="delete_selected").text
    assert rows() == before


def test_deleting_a_thousand_and_one_tasks_reads_no_text_and_few_rows_at_a_time(operator: Client) -> None:
    make_many(1001, description="Two litres")
    page = acts(Opened(operator, f"{LIST}?q=alice"), "delete_selected", select_across="1", _selected_action="0")
    with CaptureQueriesContext(connection) as queries:
        page.submit()
    assert rows() == []
    assert not [query["sql"] for query in queries if '"description"' in query["sql"]]
    assert len([query for query in queries if query["sql"].startswith('DELETE FROM "tasks_task"')]) == 3


def test_who_may_not_delete_is_not_asked(operator: Client, milk: Task) -> None:
    changer = User.objects.create_user("changer", password=PASSWORD, is_staff=True)
    changer.user_permissions.add(*Permission.objects.filter(codename__in=["view_task", "change_task"]))
    client, before = sign_in("changer"), rows()
    assert client.get(f"{LIST}{milk.pk}/delete/").status_code == 403
    assert client.post(f"{LIST}{milk.pk}/delete/").status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": [milk.pk]})
    assert rows() == before


@pytest.mark.promise("P-114")
@pytest.mark.parametrize("path", ["user/add/", "user/{}/change/", "user/{}/password/", "user/{}/delete/", "group/add/"])
def test_only_superusers_change_accounts(operator: Client, path: str) -> None:
    """Whoever may change accounts could give themselves every right, or set a superuser's password."""
    staff = User.objects.create_user("staff", password=PASSWORD, is_staff=True)
    staff.user_permissions.add(*Permission.objects.filter(content_type__app_label="auth"))
    root = User.objects.get(username="operator")
    client, before = sign_in("staff"), list(User.objects.values())
    form = {
        "username": "operator",
        "is_superuser": "on",
        "is_staff": "on",
        "password1": "x" * 20,
        "password2": "x" * 20,
    }
    for pk in (root.pk, staff.pk):
        assert client.post(f"/admin/auth/{path.format(pk)}", form).status_code == 403
        assert operator.get(f"/admin/auth/{path.format(pk)}").status_code == 200
    assert client.get(f"/admin/auth/user/{root.pk}/change/").status_code == 200  # To read.
    assert [row | {"last_login": None} for row in User.objects.values()] == [
        row | {"last_login": None} for row in before
    ]


# --- What is kept of it -----------------------------------------------------------------------------------------


@pytest.mark.promise("P-93")
def test_the_log_names_each_task_by_its_id_and_no_text(operator: Client, alice: Actor) -> None:
    kept = []

    def keep(answer: Any) -> None:
        """What this left in the operator's session, until the next page shows it."""
        kept.append(operator.session["_messages"])
        operator.get("/admin/")  # Shows it, and takes it away.

    keep(Opened(operator, f"{LIST}add/").submit(user_id="alice", title="Secret one"))
    task = Task.objects.get()
    keep(opened(operator, task).submit(title="Secret two", description="Secret three"))
    page = opened(operator, task)
    alice.put(alice.task(task.pk), {"title": "Secret four"})
    page.submit(title="Secret five")
    other = baker.make(Task, user_id="alice", title="Secret six")
    for action in ("complete", "reopen"):
        keep(operator.post(LIST, {"action": action, "_selected_action": [task.pk, other.pk]}))
    keep(acts(Opened(operator, LIST), "delete_selected", _selected_action=str(other.pk)).submit())
    keep(Opened(operator, f"{LIST}{task.pk}/delete/").submit())
    assert len(kept) == 6
    kept += [str(row) for row in LogEntry.objects.values_list()]
    kept += [str(session.get_decoded()) for session in Session.objects.all()]
    assert not [line for line in kept if "Secret" in line]
    flags = {other.pk: [CHANGE, CHANGE, DELETION], task.pk: [ADDITION, CHANGE, CHANGE, CHANGE, DELETION]}
    for pk, expected in flags.items():
        entries = LogEntry.objects.filter(object_id=pk).order_by("pk")
        assert [entry.action_flag for entry in entries] == expected
        assert {entry.object_repr for entry in entries} == {f"#{pk}"}


def test_the_history_of_a_task_names_the_fields_that_were_changed(operator: Client, milk: Task) -> None:
    opened(operator, milk).submit(title="Cream")
    operator.post(LIST, {"action": "complete", "_selected_action": [milk.pk]})
    history = Opened(operator, f"{LIST}{milk.pk}/history/").text
    assert "Changed Title." in history and "Changed Completed." in history


@pytest.mark.promise("P-93")
@pytest.mark.parametrize(("action", "done"), ACTIONS)
def test_an_action_on_many_tasks_has_a_line_of_its_own_with_their_number(
    operator: Client, monkeypatch: pytest.MonkeyPatch, action: str, done: str
) -> None:
    monkeypatch.setattr(tasks_admin, "BATCH_SIZE", 7)
    make_many(60, completed=action == "reopen", title="Their secret")
    make_many(3, completed=action == "complete")
    page = acts(Opened(operator, f"{LIST}?q=alice"), action, select_across="1", _selected_action="0")
    number = 63 if action == "delete_selected" else 60
    page.submit()
    (line,) = LogEntry.objects.filter(object_id=None)
    assert (line.object_repr, line.change_message) == (f"{number} tasks {done}.", "")
    assert line.action_flag == (DELETION if done == "deleted" else CHANGE)
    assert LogEntry.objects.exclude(object_id=None).count() == number
    index = Opened(operator, "/admin/").text
    assert f"{number} tasks {done}." in index and "secret" not in index
    one = baker.make(Task, user_id="alice", title="Milk", completed=action == "reopen")
    if done == "deleted":
        Opened(operator, f"{LIST}{one.pk}/delete/").submit()
    else:
        operator.post(LIST, {"action": action, "_selected_action": one.pk})
    assert LogEntry.objects.filter(object_id=one.pk).exists()
    assert LogEntry.objects.filter(object_id=None).count() == 1  # The task's own line says it all.


def test_titles_are_escaped_on_every_page(operator: Client) -> None:
    evil = "<script>alert(1)</script>"
    task = baker.make(Task, user_id=evil, title=evil, description=evil)
    opened(operator, task).submit(completed=True)
    user = f"user={quote(evil)}"
    for path in [
        *(LIST, f"{LIST}{task.pk}/change/", f"{LIST}{task.pk}/delete/", f"{LIST}?q={evil}"),
        *(f"{LIST}?{user}", f"{LIST}?{user}&q=none", f"{LIST}?q=<script>alert(1)</script>", f"{LIST}user/?{user}"),
    ]:
        page = operator.get(path)
        assert page.status_code == 200
        assert evil.encode() not in page.content
        assert html.escape(evil).encode() in page.content


# --- Two doors, two keys ----------------------------------------------------------------------------------------


@pytest.mark.promise("P-32")
@pytest.mark.parametrize("path", ["/admin/", LIST, f"{LIST}add/", f"{LIST}1/change/"])
def test_a_users_token_does_not_open_the_admin(alice: Actor, milk: Task, path: str) -> None:
    User.objects.create_superuser("alice", password=PASSWORD)
    before = rows()
    for method in ("GET", "POST"):
        response = alice.request(method, path, Content_Type="application/x-www-form-urlencoded")
        assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/admin/login/")
    assert rows() == before


def test_a_token_in_the_sign_in_cookie_does_not_open_the_admin(alice: Actor, milk: Task) -> None:
    client = Client()
    assert client.post("/login", {"token": alice.token}).status_code == 302
    assert client.get(alice.tasks).status_code == 200
    assert client.get(LIST)["Location"].startswith("/admin/login/")


@pytest.mark.promise("P-32")
def test_a_staff_cookie_does_not_open_anybodys_tasks(operator: Client, alice: Actor, milk: Task) -> None:
    before = rows()
    for user_id in ("alice", "operator", str(User.objects.get().pk)):
        assert_problem(operator.get(f"/api/{user_id}/tasks"), 401, "not_authenticated")
        assert_problem(operator.patch(f"/api/{user_id}/tasks/{milk.pk}/complete"), 401, "not_authenticated")
    assert rows() == before


def test_a_token_beside_a_staff_cookie_opens_its_own_tasks_alone(operator: Client, bob: Actor, milk: Task) -> None:
    bob.client = operator
    assert bob.get(bob.tasks).json() == []
    assert_problem(bob.get("/api/alice/tasks"), 403, "permission_denied")


def test_who_is_no_staff_cannot_sign_in(db) -> None:
    User.objects.create_user("somebody", password=PASSWORD)
    client = Client()
    answer = client.post("/admin/login/", {"username": "somebody", "password": PASSWORD})
    assert answer.status_code == 200
    assert client.get(LIST)["Location"].startswith("/admin/login/")


def test_after_signing_out_the_cookie_opens_nothing(operator: Client, settings) -> None:
    cookie = operator.cookies[settings.SESSION_COOKIE_NAME].value
    operator.post("/admin/logout/")
    operator.cookies[settings.SESSION_COOKIE_NAME] = cookie
    assert operator.get(LIST)["Location"].startswith("/admin/login/")
