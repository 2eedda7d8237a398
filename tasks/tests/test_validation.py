"""What a body may hold: the same for POST and PUT."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Actor, assert_problem, rows
from tasks.models import Task
from tasks.serializers import TaskInputSerializer
from tasks.views import VALIDATORS

BLANKS = "".join(character for character in map(chr, range(0x110000)) if character.isspace())

Send = Callable[[Any], Any]


@pytest.fixture(params=["POST", "PUT"])
def send(request, alice: Actor, milk: Task) -> Send:
    path = alice.tasks if request.param == "POST" else alice.task(milk.pk)
    return lambda body: alice.request(request.param, path, body)


@pytest.mark.promise("P-12")
@pytest.mark.parametrize("value", [1, 1.5, True, False, None, [], ["Milk"], {}, {"a": "b"}])
def test_what_is_no_string_is_no_title(send: Send, value) -> None:
    before = rows()
    problem = assert_problem(send({"title": value}), 422, "validation_error")
    assert [error["pointer"] for error in problem["errors"]] == ["/title"]
    assert rows() == before


@pytest.mark.promise("P-12")
@pytest.mark.parametrize("value", [1, 1.5, True, False, [], {}, {"a": "b"}])
def test_what_is_no_string_is_no_description(send: Send, value) -> None:
    before = rows()
    problem = assert_problem(send({"title": "New", "description": value}), 422, "validation_error")
    assert [error["pointer"] for error in problem["errors"]] == ["/description"]
    assert rows() == before


@pytest.mark.promise("P-12")
@pytest.mark.parametrize("value", ["true", "false", "yes", "on", "", 1, 0, 1.0, None, [], [True], {}])
def test_what_is_no_boolean_does_not_set_completed(send: Send, value) -> None:
    before = rows()
    problem = assert_problem(send({"title": "New", "completed": value}), 422, "validation_error")
    assert [error["pointer"] for error in problem["errors"]] == ["/completed"]
    assert rows() == before


@pytest.mark.parametrize("body", [b"null", b"[]", b'[{"title": "New"}]', b'"New"', b"1", b"true"])
def test_what_is_no_object_is_no_task(send: Send, body: bytes) -> None:
    before = rows()
    assert_problem(send(body), 422, "validation_error")
    assert rows() == before


@pytest.mark.promise("P-10")
def test_title_is_trimmed_of_everything_that_str_strip_takes(send: Send) -> None:
    assert len(BLANKS) > 20
    assert send({"title": f"{BLANKS}a{BLANKS}b{BLANKS}"}).json()["title"] == f"a{BLANKS}b"


@pytest.mark.promise("P-10")
@pytest.mark.parametrize("title", ["", " ", BLANKS])
def test_a_title_of_blanks_is_none(send: Send, title: str) -> None:
    before = rows()
    problem = assert_problem(send({"title": title}), 422, "validation_error")
    assert [error["code"] for error in problem["errors"]] == ["blank"]
    assert rows() == before


@pytest.mark.promise("P-10")
@pytest.mark.parametrize("character", ["a", "é", "\u0301", "漢", "😀"])
def test_a_title_has_at_most_200_code_points_after_trimming(send: Send, character: str) -> None:
    title = character * 200
    assert send({"title": f"  {title}  "}).json()["title"] == title
    before = rows()
    problem = assert_problem(send({"title": title + character}), 422, "validation_error")
    assert [error["code"] for error in problem["errors"]] == ["max_length"]
    assert rows() == before


@pytest.mark.promise("P-11")
@pytest.mark.parametrize("character", ["a", " ", "\n", "😀"])
def test_a_description_has_at_most_5000_code_points_and_is_not_trimmed(send: Send, character: str) -> None:
    description = character * 5000
    assert send({"title": "New", "description": description}).json()["description"] == description
    before = rows()
    problem = assert_problem(send({"title": "New", "description": description + character}), 422, "validation_error")
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("/description", "max_length")]
    assert rows() == before


def test_a_long_description_takes_no_more_steps_than_a_short_one() -> None:
    def steps(description: str) -> int:
        events: list[str] = []
        sys.setprofile(lambda frame, event, argument: events.append(event))
        try:
            VALIDATORS[TaskInputSerializer].run_validation({"title": "New", "description": description})
        finally:
            sys.setprofile(None)
        return len(events)

    assert steps("Six pack") == steps("é" * 5000)


@pytest.mark.promise("P-13")
@pytest.mark.parametrize("member", ["title", "description"])
@pytest.mark.parametrize("text", ["\0", "a\0b", "a\0", "\ud800", "a\udfff", "\udc00\ud800", "😀\ud83d"])
def test_what_is_no_unicode_text_is_refused(send: Send, member: str, text: str) -> None:
    before = rows()
    problem = assert_problem(send({"title": "New", member: text}), 422, "validation_error")
    assert [error["pointer"] for error in problem["errors"]] == [f"/{member}"]
    assert rows() == before


@pytest.mark.promise("P-13")
@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE tasks_task; --",
        "%s %(title)s {title} \\ \" ' % _",
        "<script>alert(1)</script> &amp;",
        "null",
        "a\x01\x08\x1b\x7f\x80\x9fb",
        "line\r\nline\rline\nline\ttab\u2028\u2029.",
        "\u200b\ufeff\u200e\u202e right to left",
        "e\u0301 \u00e9 \u1e9b\u0323 \ufb01",
        "\ufffd\ufffe\uffff\U0001fffe\U0010ffff",
        "👩‍👩‍👧‍👦 🏳️‍🌈 𐐀",
    ],
)
def test_all_other_text_comes_back_as_it_was_sent(alice: Actor, send: Send, text: str) -> None:
    task = send({"title": text, "description": f" {text}\n"}).json()
    assert (task["title"], task["description"]) == (text, f" {text}\n")
    assert alice.get(alice.task(task["id"])).json() == task
    assert task in alice.get(alice.tasks).json()


@pytest.mark.promise("P-11")
def test_an_empty_description_stays_an_empty_one(send: Send) -> None:
    assert send({"title": "New", "description": ""}).json()["description"] == ""


# --- What is said of it -------------------------------------------------------------------------------------------

SAID = [
    ({}, "title: this field is required."),
    ({"title": " \n"}, "title: this field may not be blank."),
    ({"title": None}, "title: this field may not be null."),
    ({"title": 7}, "title: not a valid string."),
    ({"title": "a" * 201}, "title: at most 200 characters."),
    ({"title": "a\0"}, "title: null characters are not allowed."),
    ({"title": "\ud800"}, "title: surrogate characters are not allowed: U+D800."),
    ({"title": "New", "description": 7}, "description: not a valid string."),
    ({"title": "New", "description": "a" * 5001}, "description: at most 5000 characters."),
    ({"title": "New", "description": "a\0"}, "description: null characters are not allowed."),
    ({"title": "New", "completed": "yes"}, "completed: must be true or false."),
    ({"title": "New", "completed": None}, "completed: this field may not be null."),
    ({"description": 7, "completed": 7}, "title: this field is required."),
    *((body, "The body is not a JSON object.") for body in (b"null", [], "New", 7, True)),
]


@pytest.mark.promise("P-37")
@pytest.mark.parametrize(("body", "said"), SAID)
def test_detail_says_the_first_fault_and_its_member(send: Send, body: Any, said: str) -> None:
    problem = assert_problem(send(body), 422, "validation_error")
    assert problem["detail"] == said
    first = problem["errors"][0]
    assert said.lower() == ": ".join(filter(None, [first["pointer"][1:], first["detail"]])).lower()
