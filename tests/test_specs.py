"""The pages under specs/ are true: the promises are tested, the tables are the model's, the contract is generated."""

import ast
import difflib
import json
import re

import pytest
import yaml
from django.db import models
from drf_spectacular.renderers import OpenApiYamlRenderer

from tasks.models import Task
from tests.test_documents import ROOT, table
from todo_project.schema import document

SPECS = ROOT / "specs" / "002-backend-foundation"
DATA_MODEL = "specs/002-backend-foundation/data-model.md"

pytestmark = pytest.mark.documents


def promises() -> list[str]:
    return re.findall(r"^\| ((?:P|SC)-\d+) \|", (SPECS / "spec.md").read_text(), re.M)


def marked() -> dict[str, list[str]]:
    """Each promise that a test carries as a mark, and the tests that do."""
    found: dict[str, list[str]] = {}
    for file in [*ROOT.glob("*/tests/test_*.py"), *ROOT.glob("tests/test_*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.FunctionDef) and node.name.startswith("test_")):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.promise":
                    for number in mark.args:
                        found.setdefault(ast.literal_eval(number), []).append(f"{file.name}::{node.name}")
    return found


def test_the_promises_are_numbered_without_a_gap() -> None:
    # A promise stands in the section it belongs to, so a later number may stand before an earlier one.
    numbers = sorted(promises(), key=lambda name: (name[:2], len(name), name))
    counted = [f"P-{number:02}" for number in range(1, len(numbers) - 4)]
    assert numbers == counted + [f"SC-{number:03}" for number in range(1, 6)]


def test_every_promise_is_held_by_a_test_and_every_mark_names_a_promise() -> None:
    assert sorted(marked()) == sorted(promises())


def test_the_openapi_document_is_the_one_the_code_makes() -> None:
    """`make schema` writes it anew."""
    path = SPECS / "contracts" / "openapi.yaml"
    made = OpenApiYamlRenderer().render(document(), renderer_context={})
    # Sorted, so that the difference shows what the documents say and not how they are arranged.
    written, generated = (yaml.safe_dump(yaml.safe_load(text)).splitlines() for text in (path.read_text(), made))
    difference = list(difflib.unified_diff(written, generated, path.name, "the code", lineterm=""))
    assert not difference, "make schema writes it anew:\n" + "\n".join(difference[:200])


def test_every_package_that_is_asked_for_has_its_reason() -> None:
    """So have the tools that the Makefile installs. The peers of the benchmarks are no part of the project."""
    pinned = [(ROOT / name).read_text() for name in ("requirements.in", "requirements-dev.in")]
    names = set(re.findall(r"^([\w.-]+(?:\[\w+\])?)==", "\n".join(pinned), re.M))
    names |= set(re.findall(r"([a-z-]+)==\d", (ROOT / "Makefile").read_text()))
    for folder in ("tests/better_auth", "tests/client", "examples/frontend"):
        package = json.loads((ROOT / folder / "package.json").read_text())
        names |= {*package["dependencies"], *package.get("devDependencies", {})}
    names = names - {"typescript", "typescript-7"} | {"TypeScript"}
    section = (SPECS / "research.md").read_text().partition("\n## Dependencies\n")[2].partition("\n**No version")[0]
    section = re.sub(r"`[^`]*`", "", section)  # A command or a file is no package.
    missing = [name for name in sorted(names) if not re.search(rf"(?<![\w@/-]){re.escape(name)}(?![\w/-])", section)]
    assert len(names) > 50
    assert missing == []


def default_name(field: models.Field) -> str:
    if field.default is models.NOT_PROVIDED:
        return ""
    return f"`{field.default.__name__ if callable(field.default) else field.default}`"


def test_the_fields_of_the_data_model_are_those_of_the_table() -> None:
    made = []
    for field in Task._meta.get_fields():
        assert isinstance(field, models.Field)
        size = f"({field.max_length})" if field.max_length else ""
        collation = getattr(field, "db_collation", None)
        made.append(
            [
                f"`{field.name}`",
                f"`{type(field).__name__}{size}`",
                "yes" if field.null else "no",
                default_name(field),
                f"`{collation}`" if collation else "",
            ]
        )
    assert [cells[:5] for cells in table(DATA_MODEL, "Fields")] == made
    assert Task._meta.db_table == "tasks_task"


def in_words(constraint: models.BaseConstraint) -> str:
    if isinstance(constraint, models.UniqueConstraint):
        assert constraint.condition == models.Q(**{f"{constraint.fields[-1]}__isnull": False})
        fields = " and ".join(f"`{field}`" for field in constraint.fields)
        return f"{fields} are unique together, where `{constraint.fields[-1]}` is not null"
    assert isinstance(constraint, models.CheckConstraint)
    least, most = constraint.condition.children
    assert not isinstance(least, tuple)
    assert not isinstance(most, tuple)
    field = least.lhs.source_expressions[0].name  # type: ignore[attr-defined]
    return f"`{field}` has {least.rhs} to {most.rhs} characters"  # type: ignore[attr-defined]


def test_the_constraints_of_the_data_model_are_those_of_the_table() -> None:
    made = [[f"`{constraint.name}`", in_words(constraint)] for constraint in Task._meta.constraints]
    assert table(DATA_MODEL, "Constraints") == made


def test_the_indexes_of_the_data_model_are_those_of_the_table() -> None:
    written = [(cells[0].strip("`"), re.findall(r"`(\w+)`", cells[1])) for cells in table(DATA_MODEL, "Indexes")]
    assert written == [(index.name, list(index.fields)) for index in Task._meta.indexes]
    assert not [field.name for field in Task._meta.fields if field.db_index or (field.unique and not field.primary_key)]
