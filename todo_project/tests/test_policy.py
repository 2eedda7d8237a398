"""The Content-Security-Policy, which every page has and nothing else, and the static files that pages load."""

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from conftest import Actor
from tasks.models import Task
from todo_project.static import hashed

pytestmark = pytest.mark.django_db
HTML = {"Accept": "text/html"}
PASSWORD = "correct horse battery staple"


class Inline(HTMLParser):
    """What of a page's own source the policy would not run or apply."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        script = tag == "script" and "src" not in given and given.get("type") != "application/json"
        if script or tag == "style" or "style" in given or any(name.startswith("on") for name in given):
            self.found.append((tag, given))


@pytest.fixture
def pages(alice: Actor, milk: Task, django_user_model: Any) -> dict[str, Any]:
    """Every page of the site, signed in and not, and an error of each layer."""
    operator = django_user_model.objects.create_superuser("operator", password=PASSWORD)
    signed_out, signed_in, admin = (Client(headers=HTML, raise_request_exception=False) for _ in range(3))
    signed_in.post("/login", {"token": alice.token})
    admin.force_login(operator)
    admin.cookies["todo_session"]["path"] = "/admin/"
    answers = {f"{name} {path}": client.get(path) for name, client, paths in [
        ("signed out", signed_out, ["/", "/login", "/docs", "/docs/deploy", "/nothing", "/admin/login/"]),
        ("signed in", signed_in, ["/", "/login", alice.tasks, alice.task(milk.pk), "/api/bob/tasks", f"{alice.tasks}/9"]),
        ("operator", admin, [
            "/admin/", "/admin/tasks/", "/admin/tasks/task/", "/admin/tasks/task/?q=none", "/admin/tasks/task/add/",
            f"/admin/tasks/task/{milk.pk}/change/", f"/admin/tasks/task/{milk.pk}/delete/",
            f"/admin/tasks/task/{milk.pk}/history/", "/admin/auth/user/", f"/admin/auth/user/{operator.pk}/change/",
            "/admin/password_change/", "/admin/nothing/",
        ]),
    ] for path in paths}  # fmt: skip
    answers["no token"] = signed_out.post("/login", {"token": "x"})
    answers["no host"] = signed_out.get("/", headers={"Host": "evil.example"})
    answers["no method"] = signed_out.delete("/docs")
    answers["no CSRF token"] = Client(enforce_csrf_checks=True, headers=HTML).post("/login", {"token": "x"})
    return answers


@pytest.mark.promise("P-102", "P-103")
def test_every_page_says_what_it_may_load_and_that_none_may_frame_it(pages: dict[str, Any]) -> None:
    for name, answer in pages.items():
        assert answer["Content-Type"].startswith("text/html"), name
        policy = dict(rule.split(" ", 1) for rule in answer["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'", name
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'", name
        assert policy["form-action"] == "'self'"
        assert "unsafe" not in answer["Content-Security-Policy"]
        assert answer["X-Frame-Options"] == "DENY", name
        assert answer["X-Content-Type-Options"] == "nosniff", name
        assert answer["Referrer-Policy"] == "same-origin", name


def test_no_page_of_the_site_has_what_its_policy_would_not_run(pages: dict[str, Any]) -> None:
    for name, answer in pages.items():
        if "/api/" not in name:
            assert Inline(answer.content.decode()).found == [], name


@pytest.mark.promise("P-103")
@pytest.mark.parametrize(
    "path", ["/", "/openapi.json", "/healthz", "/readyz", "/nothing", "/api/alice/tasks", "/api/bob/tasks"]
)
def test_json_carries_no_policy(alice: Actor, path: str) -> None:
    answer = alice.get(path)
    assert "json" in answer["Content-Type"]
    assert "Content-Security-Policy" not in answer
    assert answer["X-Content-Type-Options"] == "nosniff"


# --- Assets ---------------------------------------------------------------------------------------------------


def fetch(path: str, **headers: str) -> tuple[Any, bytes]:
    answer = Client().get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    body = answer.getvalue()
    answer.close()
    return answer, body


def test_assets_of_every_page_have_their_hash_in_the_name_and_are_kept_for_ever(pages: dict[str, Any]) -> None:
    seen = {
        address
        for answer in pages.values()
        for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.content.decode())
    }
    assert len(seen) > 20
    for address in seen:
        served, _ = fetch(address)
        assert served.status_code == 200, address
        assert "immutable" in served["Cache-Control"], address


def test_a_changed_asset_has_another_address(tmp_path: Path) -> None:
    first, second = tmp_path / "a.css", tmp_path / "b.css"
    first.write_text("a")
    second.write_text("b")
    assert re.fullmatch(r"todo/page\.[0-9a-f]{16}\.css", hashed("todo/page.css", str(first)))
    assert hashed("page.css", str(first)) != hashed("page.css", str(second))
    assert fetch("/static/todo/page.0123456789abcdef.css")[0].status_code == 404


@pytest.mark.parametrize(
    "path", ["/static/todo/page.css", "/static/admin/css/base.css", "/static/admin/img/icon-yes.svg"]
)
def test_an_asset_under_its_own_name_is_asked_for_again_by_its_tag(path: str) -> None:
    served, _ = fetch(path)
    assert served["Cache-Control"] == "max-age=60, public"
    again, body = fetch(path, If_None_Match=served["ETag"])
    assert (again.status_code, body, again["ETag"]) == (304, b"", served["ETag"])
    assert fetch(path, If_None_Match='"other"')[0].status_code == 200


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        *[(accepted, True) for accepted in ("gzip", "gzip, deflate, br", "br;q=1, gzip;q=0.5")],
        *[(accepted, False) for accepted in ("", "identity", "xgzip", "gzip;q=0", "gzip; q=0.0, br")],
    ],
)
def test_text_is_compressed_for_who_takes_it(accepted: str, compressed: bool) -> None:
    path = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
    _, plain = fetch(path)
    served, body = fetch(path, Accept_Encoding=accepted)
    assert served["Vary"].startswith("Accept-Encoding")
    assert (served.get("Content-Encoding") == "gzip") is compressed
    assert int(served["Content-Length"]) == len(body)
    assert (gzip.decompress(body) if compressed else body) == plain
    if compressed:
        assert len(body) < len(plain) / 3
        head = Client().head(path, headers={"Accept-Encoding": accepted})
        assert (head.content, head["Content-Length"]) == (b"", str(len(body)))


def test_an_image_is_sent_as_it_is_and_so_is_a_part_of_a_text() -> None:
    image, _ = fetch("/static/rest_framework/img/grid.png", Accept_Encoding="gzip")
    assert "Content-Encoding" not in image
    part, body = fetch("/static/todo/page.css", Accept_Encoding="gzip", Range="bytes=0-4")
    assert (part.status_code, body, part.get("Content-Encoding")) == (206, b":root", None)
