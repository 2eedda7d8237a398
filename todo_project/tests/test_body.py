"""Request bodies: strict JSON, of a bounded size, and nothing else with a Bearer token."""

import json
from io import BytesIO

import pytest
from django.test import RequestFactory

from conftest import Actor, assert_problem, rows
from tasks.models import Task
from todo_project.wsgi import application

LIMIT = 256 * 1024


def deep(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    return (f'{{"title": "Milk", "x": {opening * levels}' + "1" + closing * levels + "}").encode()


BROKEN = {
    "truncated": b'{"title": "Mi',
    "nothing_but_blanks": b"  ",
    "two_documents": b'{"title": "a"} {"title": "b"}',
    "trailing_comma": b'{"title": "a",}',
    "single_quotes": b"{'title': 'a'}",
    "comment": b'{"title": "a"} // x',
    "control_character": b'{"title": "a\nb"}',
    "nan": b'{"title": "a", "x": NaN}',
    "infinity": b'{"title": "a", "x": -Infinity}',
    "float_out_of_range": b'{"title": "a", "x": 1e400}',
    "negative_float_out_of_range": b'{"title": "a", "x": [-1e400]}',
    "integer_of_5000_digits": b'{"title": "a", "x": ' + b"9" * 5000 + b"}",
    "member_twice": b'{"title": "a", "title": "b"}',
    "member_twice_by_escape": b'{"title": "a", "t\\u0069tle": "b"}',
    "member_twice_inside": b'{"title": "a", "x": {"y": 1, "y": 1}}',
    "deep_lists": deep(2_000),
    "very_deep_lists": deep(100_000),
    "deep_objects": deep(2_000, '{"x":', "}"),
    "very_deep_and_open": b"[" * 100_000,
    "utf_16": '{"title": "Milk"}'.encode("utf-16"),
    "utf_16_without_a_mark": '{"title": "Milk"}'.encode("utf-16-le"),
    "utf_32": '{"title": "Milk"}'.encode("utf-32"),
    "latin_1": '{"title": "Käse"}'.encode("latin-1"),
    "overlong_utf_8": b'{"title": "\xc0\xaf"}',
    "surrogate_in_utf_8": b'{"title": "\xed\xa0\x80"}',
    "byte_order_mark": b"\xef\xbb\xbf" + b'{"title": "Milk"}',
}


@pytest.mark.promise("P-34")
@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_body_that_is_not_json_is_400(alice: Actor, milk: Task, method: str, name: str) -> None:
    before = rows()
    path = {"POST": alice.tasks, "PUT": alice.task(milk.pk), "PATCH": alice.complete(milk.pk)}[method]
    problem = assert_problem(alice.request(method, path, BROKEN[name]), 400, "parse_error")
    assert "Milk" not in problem["detail"]
    assert problem["detail"].startswith("The body is ")
    assert "sys" not in problem["detail"]
    assert len(problem["detail"]) < 100
    assert rows() == before


@pytest.mark.promise("P-34")
@pytest.mark.parametrize("opening, closing", [("[", "]"), ('{"x":', "}")])
def test_a_body_may_be_nested_100_deep_on_every_python(db, alice: Actor, opening: str, closing: str) -> None:
    assert alice.post(alice.tasks, deep(99, opening, closing)).status_code == 201  # The body itself is one level.
    before = rows()
    for levels in (100, 900, 1_400, 9_900):  # Each about as deep as some Python reads.
        assert_problem(alice.post(alice.tasks, deep(levels, opening, closing)), 400, "parse_error")
    empty = deep(100, opening, closing).replace(b"1", b"[]" if opening == "[" else b"{}")
    assert_problem(alice.post(alice.tasks, empty), 400, "parse_error")
    assert rows() == before


def test_brackets_in_a_text_or_side_by_side_are_not_deep(db, alice: Actor) -> None:
    body = {"title": "New", "description": "[{" * 200, "more": [[], {}] * 200}
    assert alice.post(alice.tasks, body).json()["description"] == body["description"]


@pytest.mark.promise("P-36")
@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/html", "application/xml",
        "application/jsonx", "application/octet-stream", "application/vnd.api+json", "application/json; charset=utf-16",
        "application/json; charset=latin-1", "", "nonsense", ";;;", "a/b;" * 500,
    ],
)  # fmt: skip
def test_other_media_types_are_415_with_a_bearer_token(db, alice: Actor, content_type: str) -> None:
    for body in (
        b'{"title": "Milk"}',
        b"title=Milk",
        b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nMilk\r\n--x--\r\n',
    ):
        response = alice.post(alice.tasks, body, Content_Type=content_type)
        problem = assert_problem(response, 415, "unsupported_media_type")
        assert problem["detail"] == "Send the body as application/json, in UTF-8."
    assert rows() == []


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json;charset=utf-8", 'application/json; charset="UTF-8"'],
)
def test_json_is_taken_however_it_is_written(db, alice: Actor, content_type: str) -> None:
    assert alice.post(alice.tasks, '{"title": "Käse 😀"}'.encode(), Content_Type=content_type).status_code == 201
    assert Task.objects.get().title == "Käse 😀"


def padded(size: int) -> bytes:
    return b'{"title": "Milk"}'.ljust(size)


@pytest.mark.promise("P-35")
def test_256_kib_exactly_pass_and_one_byte_more_is_413(alice: Actor, milk: Task) -> None:
    assert alice.post(alice.tasks, padded(LIMIT)).status_code == 201
    before = rows()
    for method, path in (("POST", alice.tasks), ("PUT", alice.task(milk.pk)), ("PATCH", alice.complete(milk.pk))):
        assert_problem(alice.request(method, path, padded(LIMIT + 1)), 413, "payload_too_large")
    assert rows() == before


def serve(body: BytesIO, actor: Actor, **environ: str) -> tuple[int, dict]:
    """The WSGI application itself, with the body as gunicorn hands it on."""
    given = RequestFactory().post(actor.tasks).environ
    given |= {
        "wsgi.input": body,
        "CONTENT_TYPE": "application/json",
        "HTTP_AUTHORIZATION": f"Bearer {actor.token}",
        **environ,
    }
    if "CONTENT_LENGTH" not in environ:
        del given["CONTENT_LENGTH"]
    status = []
    response = application(given, lambda line, headers: status.append(int(line.split()[0])))
    document = json.loads(b"".join(response))
    return status[0], document


@pytest.mark.promise("P-35")
def test_oversized_body_is_read_to_its_end_up_to_4_mib(transactional_db, alice: Actor) -> None:
    for size, left in ((1024 * 1024, 0), (4 * 1024 * 1024, 0), (5 * 1024 * 1024, 1024 * 1024)):
        body = BytesIO(padded(size))
        status, document = serve(body, alice, CONTENT_LENGTH=str(size))
        assert (status, document["code"]) == (413, "payload_too_large")
        assert len(body.read()) == left
    assert rows() == []


@pytest.mark.promise("P-35")
@pytest.mark.parametrize(("size", "status"), [(17, 201), (LIMIT, 201), (LIMIT + 1, 413), (5 * 1024 * 1024, 413)])
def test_chunked_bodies_are_bounded_too(transactional_db, alice: Actor, size: int, status: int) -> None:
    assert serve(BytesIO(padded(size)), alice, HTTP_TRANSFER_ENCODING="chunked")[0] == status
    assert len(rows()) == (status == 201)


@pytest.mark.parametrize("length", ["x", "-1", "", "1e3"])
def test_content_length_that_is_no_number_is_no_bug(transactional_db, alice: Actor, length: str) -> None:
    assert 400 <= serve(BytesIO(b""), alice, CONTENT_LENGTH=length)[0] < 500
    assert rows() == []


@pytest.mark.parametrize("body", [b'{"title": "Mi', b'{"title": "Milk"}'])
def test_body_that_ends_early_is_400(transactional_db, alice: Actor, body: bytes) -> None:
    assert serve(BytesIO(body), alice, CONTENT_LENGTH="18")[0] == 400
    assert rows() == []


def test_oversized_form_on_the_login_page_is_413(alice: Actor) -> None:
    assert_problem(alice.client.post("/login", {"token": "x" * LIMIT * 2}), 413, "payload_too_large")


def test_malformed_form_on_the_login_page_is_400(alice: Actor) -> None:
    response = alice.client.generic("POST", "/login", b"x", "multipart/form-data")
    assert_problem(response, 400, "bad_request")
