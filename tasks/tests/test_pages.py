"""The browsable API's pages: what their forms carry, what they write, and where they lead.

`tests/test_browser.py` has a real browser fill them in; here the forms are read and sent as a browser does that.
"""

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import clear_script_prefix, set_script_prefix

from conftest import Actor, rows, sign
from tasks.models import Task
from tasks.pages import ORDERING_LABELS
from tasks.pagination import ORDERINGS

pytestmark = pytest.mark.django_db

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
# What an HTML form changes on its way: line breaks of every kind, a first one, and blanks.
TEXTS = [
    "a\rb",
    "a\r\nb",
    "a\nb",
    "\nfirst",
    "\r\n\r\nfirst",
    "last\n",
    "  blanks \t\n ",
    "\n",
    "a\x0b\x0c\x85\u2028b",
    "&amp;<b>",
]


class FormReader(HTMLParser):
    """The forms of a page by their `data-method` or `method`: what a browser would send of each, untouched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, str]] = {}
        self.form: dict[str, str] = {}
        self.area: str | None = None
        self.text = ""
        self.feed(re.sub("\r\n?", "\n", page))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.form = {}
            if given.get("action") != "/logout":
                # The first of a method is the one of fields, the second that of raw data.
                self.forms.setdefault(given.get("data-method", given.get("method", "get").upper()), self.form)
        elif tag == "textarea":
            self.area, self.text = given["name"], ""
        elif tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            value = given.get("value", "")
            self.form[given["name"]] = re.sub("[\r\n]", "", value) if given.get("type") == "text" else value

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self.area is not None:
            self.form[self.area] = self.text.removeprefix("\n").replace("\n", "\r\n")
            self.area = None


class Person:
    """Somebody who signed in to the pages. What is sent beside a form's fields is what the page's script sends."""

    def __init__(self, subject: str) -> None:
        self.tasks = f"/api/{subject}/tasks"
        self.client = Client(enforce_csrf_checks=True, headers={"Accept": HTML})
        self.csrf = self.forms("/login")["POST"]["csrfmiddlewaretoken"]
        self.client.post("/login", {"token": sign(subject), "csrfmiddlewaretoken": self.csrf})

    def forms(self, path: str) -> dict[str, dict[str, str]]:
        return FormReader(self.client.get(path).content.decode()).forms

    def send(self, method: str, path: str, form: dict[str, str], **headers: str) -> Any:
        fields = {name: value for name, value in form.items() if name != "If-Match"}
        given = {"X-CSRFToken": self.csrf, **({"If-Match": form["If-Match"]} if "If-Match" in form else {}), **headers}
        if method == "POST":
            return self.client.post(path, fields, headers=given)
        return self.client.generic(method, path, encode_multipart(BOUNDARY, fields), MULTIPART_CONTENT, headers=given)


@pytest.fixture
def person() -> Person:
    return Person("alice")


def only() -> Task:
    return Task.objects.get()


# --- Text -----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-87")
@pytest.mark.parametrize("description", [*TEXTS, None, "", "\r" * 5000, "x\r\n" * 1666 + "xx"])
def test_what_was_not_edited_keeps_every_byte(person: Person, description: str | None) -> None:
    task = Task.objects.create(user_id="alice", title="two\r\nlines", description=description, completed=True)
    path = f"{person.tasks}/{task.pk}"
    form = person.forms(path)["PUT"]
    assert person.send("PUT", path, form).status_code == 303
    assert (only().title, only().description, only().completed) == ("two\r\nlines", description, True)
    # Nor does another field's edit touch it.
    form = {**person.forms(path)["PUT"], "title": "New"}
    del form["completed"]
    assert person.send("PUT", path, form).status_code == 303
    assert (only().title, only().description, only().completed) == ("New", description, False)


@pytest.mark.promise("P-87", "P-100")
@pytest.mark.parametrize("description", TEXTS)
def test_what_was_typed_has_line_feeds_and_keeps_the_rest(person: Person, description: str) -> None:
    typed = re.sub("\r\n?", "\n", description) + "."
    form = {**person.forms(person.tasks)["POST"], "title": "Milk", "description": typed.replace("\n", "\r\n")}
    assert person.send("POST", person.tasks, form)["Location"] == person.tasks
    assert only().description == typed
    path = f"{person.tasks}/{only().pk}"
    form = person.forms(path)["PUT"]
    form["description"] += "!"
    assert person.send("PUT", path, form).status_code == 303
    assert only().description == f"{typed}!"


def test_5000_characters_may_have_line_breaks_and_5001_may_not(person: Person) -> None:
    form = {**person.forms(person.tasks)["POST"], "title": "Milk", "description": "\r\n" * 5000}
    assert person.send("POST", person.tasks, {**form, "description": "\r\n" * 5001}).status_code == 422
    assert rows() == []
    assert person.send("POST", person.tasks, form).status_code == 303
    assert only().description == "\n" * 5000


def test_an_emptied_description_is_null(person: Person, milk: Task) -> None:
    path = f"{person.tasks}/{milk.pk}"
    assert person.send("PUT", path, {**person.forms(path)["PUT"], "description": ""}).status_code == 303
    assert only().description is None


def test_raw_data_says_what_is_stored(person: Person) -> None:
    task = Task.objects.create(user_id="alice", title="two\r\nlines", description="\n\ra\r\n", completed=True)
    page = person.client.get(f"{person.tasks}/{task.pk}").content.decode()
    (shown,) = re.findall(r"<textarea[^>]*_content[^>]*>\n(.*?)</textarea>", page, re.S)
    assert r"&quot;two\r\nlines&quot;" in shown
    assert r"&quot;\n\ra\r\n&quot;" in shown
    assert "\r" not in shown


@pytest.mark.promise("P-88")
def test_a_refused_edit_is_still_held_against_what_the_page_showed(person: Person) -> None:
    task = Task.objects.create(user_id="alice", title="Milk", description="a\rb", completed=True)
    path, before = f"{person.tasks}/{task.pk}", rows()
    form = {**person.forms(path)["PUT"], "title": " "}
    del form["completed"]
    refused = person.send("PUT", path, form)
    assert refused.status_code == 422
    assert rows() == before
    again = FormReader(refused.content.decode()).forms["PUT"]
    assert again == {**form, "shown.completed": "true"}
    assert person.send("PUT", path, {**again, "title": "Oat milk"}).status_code == 303
    assert (only().title, only().description, only().completed) == ("Oat milk", "a\rb", False)


@pytest.mark.promise("P-88")
def test_a_stale_edit_that_is_refused_is_still_stale_once_it_is_corrected(
    person: Person, alice: Actor, milk: Task
) -> None:
    path = f"{person.tasks}/{milk.pk}"
    form = {**person.forms(path)["PUT"], "title": " "}
    alice.put(path, {"title": "Oat milk"})
    before = rows()
    refused = person.send("PUT", path, form)
    assert refused.status_code == 422
    again = FormReader(refused.content.decode()).forms["PUT"]
    assert person.send("PUT", path, {**again, "title": "Soy milk"}).status_code == 412
    assert rows() == before


def test_a_program_that_sends_such_members_sends_unknown_ones(alice: Actor, milk: Task) -> None:
    body = {"title": "Milk", "shown.title": "Milk", "description": "a\r\nb", "Idempotency-Key": "k", "If-Match": '"x"'}
    assert alice.put(alice.task(milk.pk), body).status_code == 200
    assert only().description == "a\r\nb"
    assert [alice.post(alice.tasks, body).status_code for _ in range(2)] == [201, 201]
    assert Task.objects.count() == 3


# --- A stale page ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-88")
def test_a_stale_form_overwrites_nothing_and_shows_both_versions(person: Person, alice: Actor, milk: Task) -> None:
    path = f"{person.tasks}/{milk.pk}"
    form = {**person.forms(path)["PUT"], "description": "Three\r\nlitres", "completed": "true"}
    alice.put(path, {"title": "Oat milk", "description": "Four\nlitres"})
    before = rows()
    refused = person.send("PUT", path, form)
    assert refused.status_code == 412
    assert rows() == before
    page = refused.content.decode()
    assert re.search(r"Stored now.*Yours.*Description.*>Four\nlitres<.*>Three\nlitres<", page, re.S)
    assert "Title</th>" not in page  # Nobody changed it here: it is as it was stored elsewhere.
    again = FormReader(page).forms["PUT"]
    assert (again["title"], again["description"], again["completed"]) == ("Oat milk", "Three\r\nlitres", "true")
    assert (again["shown.title"], again["shown.description"]) == ("Oat milk", "Four\r\nlitres")
    assert person.send("PUT", path, again).status_code == 303
    assert (only().title, only().description, only().completed) == ("Oat milk", "Three\nlitres", True)


@pytest.mark.promise("P-88")
def test_stale_raw_data_is_shown_beside_what_is_stored(person: Person, alice: Actor, milk: Task) -> None:
    path = f"{person.tasks}/{milk.pk}"
    stale = person.forms(path)["PUT"]["If-Match"]
    alice.put(path, {"title": "Oat milk"})
    before = rows()
    headers = {"X-CSRFToken": person.csrf, "If-Match": stale}
    refused = person.client.put(path, {"title": "Nut milk"}, "application/json", headers=headers)
    assert refused.status_code == 412
    assert rows() == before
    assert re.search("Stored now.*Yours.*Title.*>Oat milk<.*>Nut milk<", refused.content.decode(), re.S)


def test_raw_data_that_is_refused_stands_in_the_form_as_it_was_sent(person: Person, milk: Task) -> None:
    before, path = rows(), f"{person.tasks}/{milk.pk}"
    sent = {"title": "", "description": "Three litres"}
    refused = person.client.put(path, sent, "application/json", headers={"X-CSRFToken": person.csrf})
    assert refused.status_code == 422
    assert rows() == before
    form = FormReader(refused.content.decode()).forms["PUT"]
    assert {name: form[name] for name in sent} == sent


def test_a_form_is_read_as_one_whatever_answer_it_asks_for(person: Person) -> None:
    task = Task.objects.create(user_id="alice", title="two\r\nlines")
    path = f"{person.tasks}/{task.pk}"
    form = {**person.forms(path)["PUT"], "description": "two\r\nlines"}
    assert person.send("PUT", path, form, Accept="application/json").status_code == 200
    assert (only().title, only().description) == ("two\r\nlines", "two\nlines")


@pytest.mark.promise("P-88")
def test_a_stale_page_deletes_nothing_and_asks_again(person: Person, alice: Actor, milk: Task) -> None:
    path = f"{person.tasks}/{milk.pk}"
    form = person.forms(path)["DELETE"]
    alice.put(path, {"title": "Oat milk"})
    before = rows()
    refused = person.send("DELETE", path, form)
    assert refused.status_code == 412
    assert rows() == before
    page = refused.content.decode()
    # The title has a line of its own, where no right-to-left mark in it can turn the question around.
    assert "Delete this task? It cannot be brought back.&#10;&#10;Oat milk" in page
    assert person.send("DELETE", path, FormReader(page).forms["DELETE"]).status_code == 303
    assert rows() == []


@pytest.mark.promise("P-90")
@pytest.mark.parametrize("completed", [True, False])
def test_complete_does_what_its_button_said_however_stale_the_page(
    person: Person, alice: Actor, milk: Task, completed: bool
) -> None:
    path = f"{person.tasks}/{milk.pk}"
    Task.objects.filter(pk=milk.pk).update(completed=not completed)
    form = person.forms(path)["PATCH"]
    for _ in range(2):
        assert person.send("PATCH", f"{path}/complete", form)["Location"] == path
        assert only().completed is completed


def test_a_task_that_is_gone_has_no_form_to_write_it(person: Person, milk: Task) -> None:
    path = f"{person.tasks}/{milk.pk}"
    forms = person.forms(path)
    milk.delete()
    for method, target in (("PUT", path), ("DELETE", path), ("PATCH", f"{path}/complete")):
        gone = person.send(method, target, forms[method])
        assert gone.status_code == 404
        assert not {"PUT", "DELETE", "PATCH"} & set(FormReader(gone.content.decode()).forms)
        assert "There is no such task." in gone.content.decode()


# --- The list -------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-41")
def test_a_page_shows_50_tasks_and_leads_to_the_rest(person: Person, alice: Actor) -> None:
    Task.objects.bulk_create(Task(user_id="alice", title=f"Task {number:03}") for number in range(120))
    address, seen, sizes = f"{person.tasks}?ordering=title", [], []
    while address:
        page = person.client.get(address).content.decode()
        shown = re.findall(r'dir="auto">(Task \d+)<', page)
        sizes.append(len(shown))
        seen += shown
        links = [html.unescape(link) for link in re.findall(r'rel="next" href="([^"]+)"', page)]
        assert len(links) in {0, 2}  # Above the list and below.
        address = links[0] if links else ""
    assert seen == [f"Task {number:03}" for number in range(120)]
    assert sizes == [50, 50, 20]
    assert len(re.findall(r'dir="auto">Task', person.client.get(f"{person.tasks}?limit=70").content.decode())) == 70
    assert len(alice.get(alice.tasks).json()) == 120


def test_every_order_has_its_words() -> None:
    assert tuple(ORDERING_LABELS) == ORDERINGS


def current(page: str) -> list[str]:
    return re.findall('aria-current="true">([^<]+)<', page)


@pytest.mark.promise("P-41")
def test_filters_say_what_is_chosen_and_begin_at_the_first_page(person: Person, alice: Actor) -> None:
    for title in ("Milk", "Tea"):
        alice.post(alice.tasks, {"title": title})
    plain = person.client.get(person.tasks).content.decode()
    assert current(plain) == ["All", "newest first"]
    assert "First page" not in plain
    chosen = "completed=false&ordering=title&search=i&limit=1"
    page = person.client.get(f"{person.tasks}?{chosen}").content.decode()
    assert current(page) == ["Open", "title, A to Z"]
    assert 'href="?ordering=title&amp;search=i&amp;limit=1&amp;completed=true"' in page
    assert 'href="?completed=false&amp;ordering=title&amp;limit=1">Clear<' in page
    address = re.findall('rel="next" href="([^"]+)"', person.client.get(f"{person.tasks}?limit=1").content.decode())[0]
    assert address.startswith(f"http://testserver{person.tasks}?")
    page = person.client.get(html.unescape(address)).content.decode()
    assert 'href="?limit=1">First page<' in page
    assert 'href="?limit=1&amp;completed=false" >Open<' in page
    # A query that is refused can be corrected.
    refused = person.client.get(f"{person.tasks}?completed=maybe")
    assert refused.status_code == 422
    assert current(refused.content.decode()) == ["newest first"]


def test_a_list_shows_the_time_that_it_is_ordered_by(person: Person) -> None:
    task = Task.objects.create(user_id="alice", title="Milk")
    Task.objects.update(created_at="2026-01-02T00:00:00Z", updated_at="2026-03-04T00:00:00Z")
    for order, shown in (("title", "2 Jan 2026"), ("-created_at", "2 Jan 2026"), ("-updated_at", "4 Mar 2026")):
        page = person.client.get(f"{person.tasks}?ordering={order}").content.decode()
        assert re.findall('<time datetime="[^"]*">([^<]*20..)</time>', page) == [shown]
    page = person.client.get(f"{person.tasks}/{task.pk}").content.decode()
    assert re.findall(">(. ... 2026), 00:00 UTC<", page) == ["2 Jan 2026", "4 Mar 2026"]


@pytest.mark.promise("P-101")
def test_a_completion_from_a_list_returns_to_that_list_and_never_elsewhere(person: Person, milk: Task) -> None:
    page = person.client.get(
        f"{person.tasks}?completed=false&search=%C3%BC%26mil&search=milk&x=%0D%0A"
    ).content.decode()
    assert "search was sent more than once" in page
    page = person.client.get(f"{person.tasks}?completed=false&search=milk&x=%0D%0A%26").content.decode()
    action = html.unescape(re.findall('action="([^"]*/complete[^"]*)"', page)[0])
    done = person.send("PATCH", action, FormReader(page).forms["PATCH"])
    assert (done.status_code, done["Location"]) == (
        303,
        f"{person.tasks}?completed=false&search=milk&x=%0D%0A%26",
    )
    for completed in ("true", "false"):
        done = person.send("PATCH", action, {"completed": completed})
        page = person.client.get(done["Location"]).content.decode()
        assert f'<a href="{person.tasks}/{milk.pk}">Show it</a>' in page
    path = f"{person.tasks}/{milk.pk}"
    assert person.send("PUT", f"{path}?list=a", person.forms(path)["PUT"])["Location"] == path
    for forged in ("//evil.example", "https://evil.example", "\r\nX: y", "#", "ü", "a=" + "%26" * 10):
        path = f"{person.tasks}/{milk.pk}/complete?{urlencode({'list': forged})}"
        done = person.send("PATCH", path, {"completed": "true"})
        assert done.status_code == 303
        assert done["Location"].startswith(f"{person.tasks}?")


# --- After a write --------------------------------------------------------------------------------------------------


@pytest.mark.promise("P-89")
def test_each_write_leads_on_to_a_page_that_says_once_what_was_done(person: Person) -> None:
    steps = [
        ("POST", "", {"title": "Milk"}, "The task was created."),
        ("PUT", "", {"title": "Oat milk"}, "The task was saved."),
        ("PATCH", "/complete", {}, "The task is completed."),
        ("PATCH", "/complete", {}, "The task is open again."),
        ("DELETE", "", {}, "The task was deleted."),
    ]
    path = person.tasks
    for method, below, typed, said in steps:
        done = person.send(method, path + below, {**person.forms(path)[method], **typed})
        assert (done.status_code, done.content, done.headers.get("ETag")) == (303, b"", None)
        # A list is where a task is created, and what is left after a delete.
        assert done["Location"] == (person.tasks if method in {"POST", "DELETE"} else path)
        page = person.client.get(done["Location"]).content.decode()
        assert (said in page, "Show it" in page) == (True, method == "POST")
        assert said not in person.client.get(done["Location"]).content.decode()
        path = f"{person.tasks}/{only().pk}" if method != "DELETE" else person.tasks
    assert rows() == []


@pytest.fixture
def below_a_path(person: Person) -> Iterator[None]:
    person.client.defaults["SCRIPT_NAME"] = "/todo"
    set_script_prefix("/todo/")  # As the server's handler does; the tests' client has another.
    yield
    clear_script_prefix()


@pytest.mark.promise("P-80")
@pytest.mark.usefixtures("below_a_path")
def test_below_a_path_each_form_and_each_way_on_carries_it(person: Person, milk: Task) -> None:
    path = f"{person.tasks}/{milk.pk}"
    page = person.client.get(path).content.decode()
    actions = set(re.findall('<form [^>]*action="(/todo/api/[^"]*)"', page))
    assert actions == {f"/todo{path}", f"/todo{path}/complete"}
    done = person.send("PUT", path, FormReader(page).forms["PUT"])
    assert (done["Location"], done.cookies["todo_done"]["path"]) == (f"/todo{path}", "/todo/")
    assert person.send("DELETE", path, person.forms(path)["DELETE"])["Location"] == f"/todo{person.tasks}"


def test_a_program_that_prefers_html_is_not_led_on(alice: Actor) -> None:
    made = alice.post(alice.tasks, {"title": "Milk"}, Accept=HTML)
    assert made.status_code == 201
    task = f"{alice.tasks}/{only().pk}"
    assert alice.put(task, {"title": "Milk"}, Accept=HTML).status_code == 200
    assert alice.patch(f"{task}/complete", Accept=HTML).status_code == 200
    assert "todo_done" not in alice.client.cookies


def leads(answer: Any) -> list[tuple[str, str]]:
    """The links beside what went wrong."""
    said = answer.content.decode().partition('role="alert"')[2].partition("</p>")[0]
    return [(label, html.unescape(address)) for address, label in re.findall('<a href="([^"]+)">([^<]+)</a>', said)]


@pytest.mark.promise("P-90")
def test_each_error_leads_on(person: Person, milk: Task) -> None:
    path, own = f"{person.tasks}/{milk.pk}", ("Your tasks", person.tasks)
    task, script = ("The task", path), {"X-CSRFToken": person.csrf}
    for answer, status, links, forms in (
        (person.client.get(f"{path}9"), 404, [own], set()),
        (person.client.get("/api/bob/tasks"), 403, [own], set()),
        (person.send("POST", "/api/bob/tasks", {"title": "Tea"}), 403, [own], set()),
        (person.client.post(person.tasks, {"title": "Tea"}), 403, [], set()),  # Without the CSRF token.
        (person.client.get(f"{path}/complete"), 405, [task, own], {"PATCH"}),
        (person.send("POST", path, {}), 405, [task, own], set()),
        (person.send("PUT", person.tasks, {}), 405, [own], {"POST"}),
        (person.client.get(f"{person.tasks}?completed=maybe"), 422, [own], {"GET", "POST"}),
        (person.send("POST", person.tasks, {"title": " "}), 422, [], {"GET", "PATCH", "POST"}),
        (person.send("PUT", path, {"title": " "}), 422, [], {"DELETE", "PATCH", "PUT"}),
        (person.send("PATCH", f"{path}/complete", {"completed": "maybe"}), 422, [], {"PATCH"}),
        (person.client.post(person.tasks, "{", "application/json", headers=script), 400, [own], {"POST"}),
    ):
        page = answer.content.decode()
        assert (answer.status_code, leads(answer), set(FormReader(page).forms)) == (status, links, forms)
        assert ('name="Idempotency-Key"' in page) == ("POST" in forms)
    person.client.cookies.pop("todo_sign_in")
    for answer, back in (
        (person.client.post(person.tasks, {"title": "Tea"}), person.tasks),
        (person.client.delete(path), person.tasks),
        (person.send("PUT", path, {"title": "Tea"}), path),
        (person.send("PATCH", f"{path}/complete", {}), path),
        (person.client.get(f"{path}?x=1", headers={"Authorization": "Bearer x"}), f"{path}?x=1"),
    ):
        assert (answer.status_code, leads(answer)) == (401, [("Sign in again", f"/login?{urlencode({'next': back})}")])


@pytest.mark.promise("P-89")
def test_a_form_that_is_sent_twice_creates_once(person: Person) -> None:
    form = {**person.forms(person.tasks)["POST"], "title": "Milk"}
    answers = [person.send("POST", person.tasks, form) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert [answer["Location"] for answer in answers] == [person.tasks] * 2
    said = [answer.cookies["todo_done"] for answer in answers]
    assert [cookie.value for cookie in said] == [f"create.{only().pk}"] * 2
    assert [said[0][name] for name in ("httponly", "samesite", "max-age")] == [True, "Lax", 60]
    assert person.forms(person.tasks)["POST"]["Idempotency-Key"] != form["Idempotency-Key"]


@pytest.mark.promise("P-89")
def test_a_form_that_is_filled_in_anew_after_it_was_sent_says_so_and_loses_nothing(person: Person) -> None:
    form = {**person.forms(person.tasks)["POST"], "title": "Milk"}
    person.send("POST", person.tasks, form)
    before = rows()
    typed = {"title": "Tea", "description": "\r\nGreen", "completed": "true"}
    refused = person.send("POST", person.tasks, {**form, **typed})
    assert refused.status_code == 422
    assert "This form has created a task already." in refused.content.decode()
    assert rows() == before
    again = FormReader(refused.content.decode()).forms["POST"]
    assert {name: again[name] for name in typed} == typed
    assert person.send("POST", person.tasks, again).status_code == 303
    assert list(Task.objects.values_list("title", "description").order_by("id"))[1:] == [("Tea", "\nGreen")]


def test_a_refused_create_is_shown_and_keeps_its_key(person: Person) -> None:
    form = {**person.forms(person.tasks)["POST"], "title": " ", "description": "Two\r\nlitres"}
    refused = person.send("POST", person.tasks, form)
    assert refused.status_code == 422
    assert rows() == []
    again = FormReader(refused.content.decode()).forms["POST"]
    assert again["csrfmiddlewaretoken"]
    assert {**again, "csrfmiddlewaretoken": form["csrfmiddlewaretoken"]} == form


def test_a_list_of_json_is_no_task_and_no_bug(person: Person) -> None:
    headers = {"X-CSRFToken": person.csrf}
    milk = Task.objects.create(user_id="alice", title="Milk")
    before = rows()
    for method, path in (("POST", person.tasks), ("PUT", f"{person.tasks}/{milk.pk}")):
        for body in (b'["shown.title"]', b'"x"', b"null", b"{"):
            refused = person.client.generic(method, path, body, "application/json", headers=headers)
            assert refused.status_code in {400, 422}
    assert rows() == before


def test_the_line_that_says_what_was_done_says_nothing_else(person: Person) -> None:
    for forged in ("<script>", "create", "create.<script>", "create.", "<script>.1", "create.1/../x"):
        person.client.cookies["todo_done"] = forged
        page = person.client.get(person.tasks).content.decode()
        assert 'role="status"' not in page
    person.client.cookies["todo_done"] = "create.1"
    for refused in (person.send("POST", person.tasks, {"title": " "}), person.send("DELETE", person.tasks, {})):
        assert 'role="status"' not in refused.content.decode()
    assert settings.CSRF_COOKIE_NAME in person.client.cookies


@pytest.mark.promise("P-103")
def test_no_page_has_a_script_or_a_style_in_itself(person: Person, milk: Task) -> None:
    path = f"{person.tasks}/{milk.pk}"
    refused = person.send("PUT", path, {**person.forms(path)["PUT"], "title": " "})
    pages = [
        person.client.get(address) for address in (person.tasks, path, f"{path}/complete", f"{path}9", "/api/bob/tasks")
    ]
    for page in [refused, *pages]:
        text = page.content.decode()
        assert re.search(r'src="/static/tasks/api\.[0-9a-f]{16}\.js"', text)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]* src=)|javascript:", text)
