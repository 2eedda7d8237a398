"""Versions not to go below, and packages not to have: an audit tool without its database says all is well."""

import json
import re
from importlib import metadata

import pytest
from packaging.version import Version

from todo_project.tests.environment import BASE_DIR

FLOORS = {
    "django": "5.2.19",
    "djangorestframework": "3.18",
    "PyJWT": "2.15.1",
    "djangorestframework-simplejwt": "5.5.1",
    "gunicorn": "27.0.1",
}
PINS = dict(
    re.findall(r"^([A-Za-z0-9-]+)(?:\[\w+\])?==(\S+)", (BASE_DIR / "requirements.in").read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("package", FLOORS)
def test_pin_and_install_are_not_below_the_floor(package: str) -> None:
    assert Version(PINS[package]) >= Version(FLOORS[package])
    assert Version(metadata.version(package)) >= Version(FLOORS[package])


def test_django_is_the_long_term_release() -> None:
    assert PINS["django"].startswith("5.2.")


def test_every_requirement_is_pinned_and_installed_as_pinned() -> None:
    lines = [
        line for line in (BASE_DIR / "requirements.in").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert len(lines) == len(PINS)
    assert {name: metadata.version(name) for name in PINS} == PINS


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_everything_that_is_installed_is_pinned_with_its_hashes(name: str) -> None:
    """`make requirements` writes these files."""
    text = (BASE_DIR / f"{name}.txt").read_text()
    entries = re.findall(r"^([a-z0-9.-]+)(?:\[[\w,]+\])?==(\S+)(.*(?:\n +.*)*)", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)) > len(PINS)
    assert all("--hash=sha256:" in rest for _, _, rest in entries)
    pinned = {package: version for package, version, _ in entries}
    assert {package: pinned[package.lower()] for package in PINS} == PINS


@pytest.mark.parametrize("package", ["python-jose", "jose"])
def test_packages_with_holes_are_not_there(package: str) -> None:
    assert package not in PINS
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version(package)


def test_better_auth_is_not_below_the_floor() -> None:
    folder = BASE_DIR / "tests" / "better_auth"
    pin = json.loads((folder / "package.json").read_text())["dependencies"]["better-auth"]
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]["node_modules/better-auth"]["version"]
    assert pin == locked
    assert Version(pin) >= Version("1.7.25")
