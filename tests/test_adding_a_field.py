"""A client's field is declared once: a copy of the project gets `due_at` as plan.md says, and everything follows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live import ROOT, fresh_database

FOLLOWS = """
import json

import pytest

from conftest import Actor, assert_problem, rows

DUE, LATER = "2026-12-24T18:00:00.000000Z", "2027-01-01T00:00:00.000000Z"


@pytest.mark.django_db
def test_it_follows(alice: Actor) -> None:
    plain = alice.post(alice.tasks, {"title": "Milk"}).json()
    assert plain["due_at"] is None
    made = alice.post(alice.tasks, {"title": "Tree", "due_at": "2026-12-24T19:00:00+01:00"}, Idempotency_Key="k")
    task = made.json()
    assert task["due_at"] == DUE
    # A retry: the same value is the same create, another is not.
    assert alice.post(alice.tasks, {"title": "Tree", "due_at": DUE}, Idempotency_Key="k").json() == task
    before = rows()
    reused = alice.post(alice.tasks, {"title": "Tree", "due_at": LATER}, Idempotency_Key="k")
    assert_problem(reused, 422, "idempotency_key_reused")
    refused = assert_problem(alice.put(alice.task(task["id"]), {"title": "x", "due_at": "soon"}), 422, "validation_error")
    assert refused["errors"][0]["pointer"] == "/due_at"
    assert rows() == before
    # Rows and writes.
    assert alice.get(alice.task(task["id"])).json() == task
    assert [one["due_at"] for one in alice.get(alice.tasks).json()] == [DUE, None]
    for body, due in (({}, DUE), ({"due_at": LATER}, LATER), ({"due_at": None}, None)):
        assert alice.put(alice.task(task["id"]), {"title": "Tree", **body}).json()["due_at"] == due
    # Forms and documents.
    assert 'name="due_at"' in alice.get(alice.task(task["id"]), Accept="text/html").content.decode()
    components = json.loads(alice.get("/openapi.json").content)["components"]["schemas"]
    for name in ("TaskInput", "Task"):
        assert components[name]["properties"]["due_at"]["format"] == "date-time"
"""


def run(folder: Path, *arguments: str) -> None:
    with fresh_database() as url:  # Its tests' database has a name of its own, beside the one of these tests.
        variables = {**os.environ, "TEST_DATABASE_URL": url if url.startswith("postgres") else ""}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=variables, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.promise("P-69", "P-79")
def test_a_field_that_is_declared_is_served_stored_validated_retried_and_documented(tmp_path: Path) -> None:
    for name in ("tasks", "todo_project"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    for name in ("conftest.py", "pytest.ini", "manage.py", ".env.example", "tests/settings.py", "tests/citus.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    models = tmp_path / "tasks" / "models.py"
    text = models.read_text()
    flag = "    completed = models.BooleanField(default=False)\n"
    assert text.count(flag) == text.count('"completed")') == 1
    text = text.replace(flag, f"{flag}    due_at = models.DateTimeField(null=True, blank=True)\n")
    models.write_text(text.replace('"completed")', '"completed", "due_at")'))
    run(tmp_path, "manage.py", "makemigrations", "tasks", "--settings", "tests.settings")
    (tmp_path / "tests" / "test_it.py").write_text(FOLLOWS)
    run(tmp_path, "-m", "pytest", "-q", "tests/test_it.py", "-p", "no:cacheprovider")
