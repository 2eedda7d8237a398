"""A task is its owner's alone: two layers, either of which holds with the other taken out."""

from types import SimpleNamespace
from urllib.parse import quote

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, get_resolver, include, path
from model_bakery import baker
from rest_framework.response import Response
from rest_framework.views import APIView

from conftest import Actor, assert_problem, rows, sign
from tasks.models import Task
from tasks.permissions import IsPathOwner
from tasks.views import TaskViewSet
from todo_project import urls

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
SIX = {
    "list": ("GET", "", None),
    "create": ("POST", "", {"title": "New"}),
    "retrieve": ("GET", "/{id}", None),
    "update": ("PUT", "/{id}", {"title": "New"}),
    "destroy": ("DELETE", "/{id}", None),
    "complete": ("PATCH", "/{id}/complete", None),
}
OF_ONE = [name for name, (_, suffix, _) in SIX.items() if suffix]


def ask(actor: Actor, user_id: str, action: str, task_id: int | str = 0, **headers: str):
    """One of the six endpoints, under anybody's path; all answers carry the same request id."""
    method, suffix, body = SIX[action]
    address = f"/api/{quote(user_id, safe='%')}/tasks{suffix.format(id=task_id)}"
    return actor.request(method, address, body, X_Request_ID="same", **headers)


def answer(response) -> tuple:
    """Everything that a client sees."""
    return response.status_code, sorted(response.items()), response.content


# --- The routes -----------------------------------------------------------------------------------------------


def api_routes(patterns, prefix: str = "") -> list[tuple[str, URLPattern]]:
    found = []
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            found += [(route, pattern)] if route.lstrip("^").startswith("api") else []
        else:
            found += api_routes(pattern.url_patterns, route)
    return found


def open_doors(stranger: Actor, alice: Actor, victim: Task) -> list[str]:
    """Each method of each route under /api/ that does more than refuse a stranger, or Alice on Bob's path."""
    found = []
    for route, pattern in api_routes(get_resolver().url_patterns):
        values = {"user_id": victim.user_id, "task_id": victim.pk}
        address = "/" + route
        for name in pattern.pattern.converters:
            for converter in ("str", "int", "task_id", "slug", "path"):
                address = address.replace(f"<{converter}:{name}>", str(values.get(name, victim.pk)))
        address = address.replace("<", "").replace(">", "")
        for method in METHODS:
            for actor, status in ((stranger, 401), (alice, 403)):
                body = {"title": "Taken"} if method in {"POST", "PUT", "PATCH"} else None
                response = actor.request(method, address, body)
                if response.status_code != status or victim.title.encode() in response.content:
                    found.append(f"{method} {address} as {actor.subject}: {response.status_code}")
    return found


@pytest.mark.promise("P-30", "SC-005")
def test_every_route_refuses_strangers_and_other_users(
    stranger: Actor, alice: Actor, milk: Task, bobs: Task, django_assert_num_queries
) -> None:
    before = rows()
    with django_assert_num_queries(0):
        assert open_doors(stranger, alice, bobs) == []
    assert rows() == before


def careless(request, **kwargs):
    return HttpResponse("hello")


class Unscoped(APIView):
    permission_classes: list = []

    def get(self, request, **kwargs):
        return Response(list(Task.objects.values("title")))


@pytest.mark.promise("P-30")
@pytest.mark.parametrize(
    "route",
    [
        path("api/<str:user_id>/tasks/count", careless),
        path("api/stats", careless),
        path("api/", include([path("v2/<str:user_id>/<int:task_id>", Unscoped.as_view())])),
    ],
)
def test_a_route_added_tomorrow_without_a_guard_is_found(
    stranger: Actor, alice: Actor, bobs: Task, settings, route
) -> None:
    class Tomorrow:
        urlpatterns = [*urls.urlpatterns, route]

    settings.ROOT_URLCONF = Tomorrow
    assert open_doors(stranger, alice, bobs) != []


def test_a_view_that_says_nothing_of_permissions_is_guarded(
    stranger: Actor, alice: Actor, bobs: Task, settings
) -> None:
    class Guarded(APIView):
        def get(self, request, **kwargs):
            return Response(list(Task.objects.values("title")))

    class Tomorrow:
        urlpatterns = [
            *urls.urlpatterns,
            path("api/all", Guarded.as_view()),
            path("api/<str:user_id>/all", Guarded.as_view()),
        ]

    settings.ROOT_URLCONF = Tomorrow
    assert open_doors(stranger, alice, bobs) == []
    assert alice.get("/api/alice/all").status_code == 200


@pytest.mark.promise("P-01")
def test_there_are_six_endpoints_and_no_others() -> None:
    found = {
        (verb.upper(), route, action)
        for route, pattern in api_routes(get_resolver().url_patterns)
        for verb, action in pattern.callback.actions.items()
        if verb != "head"
    }
    one = "api/<str:user_id>/tasks/<task_id:task_id>"
    assert found == {
        ("GET", "api/<str:user_id>/tasks", "list"),
        ("POST", "api/<str:user_id>/tasks", "create"),
        ("GET", one, "retrieve"),
        ("PUT", one, "update"),
        ("DELETE", one, "destroy"),
        ("PATCH", one + "/complete", "complete"),
    }


@pytest.mark.parametrize(
    ("suffix", "allowed"),
    [("", "GET, POST, HEAD, OPTIONS"), ("/1", "GET, PUT, DELETE, HEAD, OPTIONS"), ("/1/complete", "PATCH, OPTIONS")],
)
def test_options_and_405_name_what_is_allowed(alice: Actor, milk: Task, suffix: str, allowed: str) -> None:
    before = rows()
    response = alice.request("OPTIONS", alice.tasks + suffix)
    assert response.status_code == 200
    assert sorted(response["Allow"].split(", ")) == sorted(allowed.split(", "))
    for method in set(METHODS) - set(allowed.split(", ")):
        refused = alice.request(method, alice.tasks + suffix)
        if method == "HEAD":
            assert refused.status_code == 405
        else:
            assert_problem(refused, 405, "method_not_allowed")
        assert sorted(refused["Allow"].split(", ")) == sorted(allowed.split(", "))
    assert rows() == before


# --- Two users, six endpoints -----------------------------------------------------------------------------------


@pytest.fixture
def targets(alice: Actor, bob: Actor, milk: Task, bobs: Task) -> dict[str, int]:
    """The ids of a task of Alice's, of Bob's, one that was never there, and one that was deleted."""
    deleted = baker.make(Task, user_id="alice", title="Gone")
    alice.delete(alice.task(deleted.pk))
    return {"alice": milk.pk, "bob": bobs.pk, "missing": 2**62, "deleted": deleted.pk}


@pytest.mark.promise("P-27")
@pytest.mark.parametrize("action", SIX)
@pytest.mark.parametrize(("actor", "other"), [("alice", "bob"), ("bob", "alice")])
def test_anothers_path_is_403_whatever_is_there(
    targets, request, actor: str, other: str, action: str, django_assert_num_queries
) -> None:
    who = request.getfixturevalue(actor)
    before = rows()
    with django_assert_num_queries(0):
        answers = [answer(ask(who, other, action, task_id)) for task_id in targets.values()]
    assert_problem(ask(who, other, action, targets[other]), 403, "permission_denied")
    assert all(seen == answers[0] for seen in answers)
    assert rows() == before


@pytest.mark.promise("P-28", "SC-005")
@pytest.mark.parametrize("action", OF_ONE)
@pytest.mark.parametrize(("actor", "other"), [("alice", "bob"), ("bob", "alice")])
def test_anothers_task_under_own_path_is_404_as_nobodys_is(
    targets, request, actor: str, other: str, action: str
) -> None:
    who = request.getfixturevalue(actor)
    before = rows()
    answers = [answer(ask(who, actor, action, targets[target])) for target in (other, "missing", "deleted")]
    assert_problem(ask(who, actor, action, targets[other]), 404, "not_found")
    assert answers[0] == answers[1] == answers[2]
    assert rows() == before


@pytest.mark.promise("P-73")
@pytest.mark.parametrize("action", SIX)
def test_ones_own_task_under_own_path_is_served_with_one_query(
    targets, alice: Actor, bobs: Task, action: str, django_assert_num_queries
) -> None:
    with django_assert_num_queries(1):
        response = ask(alice, "alice", action, targets["alice"])
    assert response.status_code in {200, 201, 204}
    assert b"Bob" not in response.content
    assert [row for row in rows() if row[1] == "bob"] == [
        (bobs.pk, "bob", "Bob's secret", None, False, bobs.created_at, bobs.updated_at, None, None)
    ]


@pytest.mark.promise("P-73")
def test_a_list_with_everything_asked_for_is_one_query_too(alice: Actor, milk: Task, django_assert_num_queries) -> None:
    baker.make(Task, user_id="alice", title="Milk", _quantity=2)
    address = f"{alice.tasks}?limit=1&search=milk&completed=false&ordering=-title"
    link = alice.get(address)["Link"]
    with django_assert_num_queries(1):
        assert alice.get(link[1 : link.index(">")].removeprefix("http://testserver")).status_code == 200


@pytest.mark.promise("P-21", "SC-003")
@pytest.mark.parametrize("action", SIX)
@pytest.mark.parametrize("token", ["", "nonsense", "expired"])
def test_without_a_valid_token_it_is_401_and_no_query(
    targets, action: str, token: str, django_assert_num_queries
) -> None:
    caller = Actor("alice")
    caller.token = sign("alice", exp=1) if token == "expired" else token
    before = rows()
    with django_assert_num_queries(0):
        response = ask(caller, "alice", action, targets["alice"])
    code = {"": "not_authenticated", "nonsense": "token_invalid", "expired": "token_expired"}[token]
    assert_problem(response, 401, code)
    assert response["WWW-Authenticate"].startswith('Bearer realm="todo"')
    assert rows() == before


@pytest.mark.parametrize("action", SIX)
@pytest.mark.parametrize(
    "user_id",
    [
        "Alice",
        "ALICE",
        "alice%20",
        "%20alice",
        "alice%00",
        "alice%0A",
        "alic%C3%A9",
        "alice%CC%81",
        "a%6Cice%2E",
        "alic",
        "alicee",
        "*",
        "%25",
        "me",
    ],
)
def test_a_path_that_merely_resembles_ones_own_is_403(
    alice: Actor, milk: Task, action: str, user_id: str, django_assert_num_queries
) -> None:
    before = rows()
    with django_assert_num_queries(0):
        response = ask(alice, user_id, action, milk.pk)
    assert_problem(response, 403, "permission_denied")
    assert rows() == before


def test_user_ids_that_resemble_each_other_have_tasks_of_their_own(db) -> None:
    subjects = ["é", "e\u0301", "É", "a", "A", "a ", "1", "01", "ａ", "%", "_"]
    for subject in subjects:
        baker.make(Task, user_id=subject, title=f"of {subject}")
    for subject in subjects:
        actor = Actor(subject)
        path_ = "/api/" + "".join(f"%{byte:02X}" for byte in subject.encode()) + "/tasks"
        assert [task["user_id"] for task in actor.get(path_).json()] == [subject]


# --- The permission itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [None, AnonymousUser(), User(pk=1, username="1", is_superuser=True)])
@pytest.mark.parametrize(
    "kwargs", [{}, {"user_id": "1"}, {"user_id": None}, {"user_id": 1}, {"user_id": ""}, {"user_id": "None"}]
)
def test_the_permission_itself_refuses_whoever_has_no_token(user, kwargs) -> None:
    assert IsPathOwner().has_permission(SimpleNamespace(user=user), SimpleNamespace(kwargs=kwargs)) is False


def test_a_django_session_user_with_primary_key_1_is_not_the_user_1(db, django_assert_num_queries) -> None:
    User.objects.create_superuser("root", password="pw", pk=1)
    baker.make(Task, user_id="1", title="Hers")
    operator = Actor("1", client=Client(raise_request_exception=False))
    operator.token = ""
    operator.client.login(username="root", password="pw")
    before = rows()
    for action in SIX:
        with django_assert_num_queries(0):
            response = ask(operator, "1", action, before[0][0])
        assert_problem(response, 401, "not_authenticated")
    assert rows() == before


# --- One layer taken out ----------------------------------------------------------------------------------------


@pytest.mark.promise("P-29")
def test_with_the_path_unchecked_only_the_tokens_own_rows_are_touched(
    targets, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IsPathOwner, "has_permission", lambda self, request, view: hasattr(request.user, "subject"))
    before = rows()
    assert [task["user_id"] for task in ask(alice, "bob", "list").json()] == ["alice"]
    for action in OF_ONE:
        assert_problem(ask(alice, "bob", action, targets["bob"]), 404, "not_found")
    assert rows() == before

    assert ask(alice, "bob", "create").json()["user_id"] == "alice"
    for action in ("update", "complete", "retrieve"):
        assert ask(alice, "bob", action, targets["alice"]).json()["user_id"] == "alice"
    assert ask(alice, "bob", "destroy", targets["alice"]).status_code == 204
    assert [row for row in rows() if row[1] == "bob"] == [row for row in before if row[1] == "bob"]


@pytest.mark.promise("P-29")
@pytest.mark.parametrize("action", SIX)
def test_with_the_owner_taken_from_the_path_anothers_path_is_still_403(
    targets, alice: Actor, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setattr(TaskViewSet, "owner", property(lambda self: self.kwargs["user_id"]))
    before = rows()
    assert_problem(ask(alice, "bob", action, targets["bob"]), 403, "permission_denied")
    assert rows() == before
