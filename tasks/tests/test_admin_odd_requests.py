"""Requests to the operators' pages that no page of theirs would send: none is an error, and none changes a task."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse

from conftest import rows
from tasks.models import Task
from tasks.tests.test_admin import LIST, PASSWORD, sign_in

GARBAGE = ["\0", "(", "x", "9" * 20, "9" * 5000, "", "1_00", "-1", "1e400", "99999", "9999-12-31T23:59:59-12:00", "😀"]
PAGES = [LIST, "/admin/auth/user/", "/admin/auth/group/"]


def assert_no_error(responses: Iterable[Any]) -> None:
    """Each is a page, a way to one, or a refusal; and there was at least one."""
    statuses = [response.status_code for response in responses]
    assert statuses
    assert set(statuses) <= {200, 301, 302, 400, 404}


@pytest.fixture
def odd(transactional_db, settings, milk: Task) -> Client:
    """An operator whose every request has a transaction of its own, as in production, and finds something."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    User.objects.create_superuser("operator", password=PASSWORD)
    Group.objects.create(name="Readers")
    operator = sign_in("operator")
    operator.raise_request_exception = False
    return operator


@pytest.mark.promise("P-94")
@pytest.mark.parametrize("admin_of", site._registry.values(), ids=str)
def test_a_filter_that_no_page_offers_leads_back_to_the_list(odd: Client, admin_of: Any) -> None:
    path = reverse(f"admin:{admin_of.opts.app_label}_{admin_of.opts.model_name}_changelist")
    fields = [field.name for field in admin_of.opts.get_fields()]
    for name in [*fields, "pk", "nope", ""]:
        lookups = {"", "exact", "isnull", "in", "id", "id__exact", "id__regex", "date__year__gt", "nope"}
        if name in fields and hasattr(field := admin_of.opts.get_field(name), "get_lookups"):
            lookups |= set(field.get_lookups())
        for lookup in sorted(lookups):
            key = f"{name}__{lookup}" if lookup else name
            offered = [name] if name in admin_of.list_filter else []
            for value in GARBAGE if offered else ["("]:
                answer = odd.get(path, {key: value})
                if not offered:
                    assert (answer.status_code, answer["Location"]) == (302, f"{path}?e=1"), key
                assert answer.status_code in {200, 302, 400}, (key, value)
    assert "The list cannot be filtered like that." in odd.get(f"{path}?e=1").content.decode()


@pytest.mark.promise("P-94")
@pytest.mark.parametrize("page", PAGES)
def test_odd_addresses_are_no_error(odd: Client, page: str) -> None:
    parameters = ["q", "p", "o", "e", "all", "_facets", "_popup", "_to_field", "_changelist_filters", "user"]
    assert_no_error(odd.get(page, {name: value}) for name in parameters for value in GARBAGE)
    tails = ["change/", "history/", "delete/", "password/", ""]
    assert_no_error(odd.get(f"{page}{quote(key)}/{tail}") for key in GARBAGE if key for tail in tails)
    names = ["title", "user_id", "completed", "username", "groups", "permissions", "_to_field", "_popup"]
    assert_no_error(odd.get(f"{page}add/", {name: value}) for name in names for value in GARBAGE)


@pytest.mark.promise("P-94")
def test_odd_addresses_of_the_site_are_no_error(odd: Client) -> None:
    values = [quote(value) for value in GARBAGE if value]
    assert_no_error(odd.get(f"{LIST}user/", {"user": value}) for value in GARBAGE)
    kinds = [kind.pk for kind in ContentType.objects.all()]
    assert_no_error(odd.get(f"/admin/r/{kind}/{key}/") for kind in [*kinds, *values] for key in values)
    assert_no_error(odd.get(f"/admin/{value}/") for value in values)
    assert_no_error(odd.get(f"/admin/jsi18n/?{value}={value}") for value in values)
    field = {"app_label": "auth", "model_name": "user", "field_name": "groups"}
    for name in ["term", "p", *field]:
        answers = [odd.get("/admin/autocomplete/", {**field, name: value}) for value in GARBAGE]
        assert {answer.status_code for answer in answers} <= {200, 400, 403, 404}


@pytest.mark.promise("P-94")
@pytest.mark.parametrize("page", PAGES)
def test_odd_forms_are_no_error_and_change_no_task(odd: Client, page: str) -> None:
    before = rows()
    actions = ["complete", "reopen", "delete_selected", "nope"]
    if page == "/admin/auth/user/":
        actions.remove("delete_selected")  # It would find the operator.
    for value in GARBAGE:
        for action in actions:
            for extra in [{"index": value}, {"select_across": value}]:
                sent = {"action": action, "_selected_action": ["-5", value], **extra}
                assert_no_error([odd.post(page, sent)])
    key = {LIST: Task, PAGES[1]: User, PAGES[2]: Group}[page].objects.get().pk
    names = ["groups", "user_permissions", "permissions", "initial-title", "initial-completed", "_popup", "_to_field"]
    for value in GARBAGE:
        for name in names:
            for path in [f"{page}{key}/change/", f"{page}add/", f"{page}{key}/history/", f"{page}{key}/delete/"]:
                if path != f"{PAGES[1]}{key}/delete/":
                    assert_no_error([odd.post(path, {name: value, "title": "\0", "username": "\0", "name": value})])
    assert rows() == before


@pytest.mark.promise("P-94")
def test_odd_sign_ins_are_no_error(odd: Client) -> None:
    client = Client(raise_request_exception=False)
    for value in GARBAGE:
        for name in ["username", "password", "next"]:
            sent = {"username": "operator", "password": PASSWORD, name: value}
            answer = client.post("/admin/login/", sent)
            assert answer.status_code in {200, 302}
            client.logout()
        odd_cookies = f"sessionid={quote(value)}; messages={quote(value)}"
        assert client.get("/admin/", headers={"Cookie": odd_cookies}).status_code == 302
