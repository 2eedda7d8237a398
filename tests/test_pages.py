"""What the service says of itself: the start page, the OpenAPI document, the documentation."""

import html
import json
import re

import pytest
from rest_framework.test import APIClient

from tests.live import ROOT
from todo_project.problems import PROBLEMS
from todo_project.schema import document

ENDPOINTS = {
    "/api/{user_id}/tasks": {"get": "200", "post": "201"},
    "/api/{user_id}/tasks/{task_id}": {"get": "200", "put": "200", "delete": "204"},
    "/api/{user_id}/tasks/{task_id}/complete": {"patch": "200"},
}


@pytest.mark.promise("P-50")
def test_the_start_page_is_json_for_programs_and_a_page_for_people() -> None:
    client = APIClient()
    listed = client.get("/", headers={"Accept": "*/*"})
    assert listed["Content-Type"] == "application/json"
    assert json.loads(listed.content)["openapi"] == "/openapi.json"
    page = client.get("/", headers={"Accept": "text/html"})
    assert page["Content-Type"].startswith("text/html")
    assert 'href="/docs"' in page.content.decode()


@pytest.mark.promise("P-52")
def test_openapi_json_is_the_document_of_the_six_endpoints() -> None:
    served = json.loads(APIClient().get("/openapi.json").content)
    assert served == document()
    described = {
        path: {method: min(operation["responses"]) for method, operation in methods.items()}
        for path, methods in served["paths"].items()
    }
    assert described == ENDPOINTS


def test_every_error_in_the_document_is_a_problem_and_every_operation_wants_a_token() -> None:
    for methods in document()["paths"].values():
        for operation in methods.values():
            assert operation["security"] == [{"bearer": []}]
            assert {"401", "403", "404", "406", "429", "500", "503"} <= set(operation["responses"])
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"]


@pytest.mark.promise("P-52")
def test_docs_explains_every_problem_and_loads_nothing_from_elsewhere() -> None:
    page = APIClient().get("/docs").content.decode()
    for code in PROBLEMS:
        assert f'id="{code}"' in page
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)


def test_docs_leads_to_every_guide_and_shows_it_as_it_was_written() -> None:
    client = APIClient()
    page = client.get("/docs", headers={"Accept": "text/html"}).content.decode()
    guides = sorted((ROOT / "docs").glob("*.md"))
    assert guides
    for file in guides:
        assert f'href="/docs/{file.stem}"' in page
        shown = html.unescape(client.get(f"/docs/{file.stem}").content.decode())
        assert file.read_text() in shown
    for name in ["nothing", "..%2fREADME", "deploy.md"]:
        assert client.get(f"/docs/{name}").status_code == 404
