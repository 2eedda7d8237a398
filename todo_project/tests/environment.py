"""The settings as another environment would make them, without this machine's own variables or `.env`."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

BASE_DIR = Path(__file__).resolve().parents[2]
SECRET = "Zk4vN8qRt1xYb6WcPd3LmS9hGf2JuA7e"
# All that a production start needs.
MINIMUM = {
    "DATABASE_URL": "sqlite:////tmp/todo-settings-tests.sqlite3",
    "BETTER_AUTH_SECRET": SECRET,
    "DJANGO_SECRET_KEY": "mH5rXw2KzQ8vTn4LbY7cJp1DfGs6EaUo9ViNe3RkWyBt0SxqZCgMuPdj",
    "DJANGO_ALLOWED_HOSTS": "todo.example.com",
}


def variables(**given: str) -> dict[str, str]:
    """The minimum and what was given. Everything else is set to nothing, which keeps a `.env` out."""
    lines = (BASE_DIR / ".env.example").read_text().splitlines()
    names = {line.removeprefix("# ").partition("=")[0] for line in lines if "=" in line}
    return {name: "" for name in names if name.isupper()} | MINIMUM | given


def load(**given: str) -> dict[str, Any]:
    """What settings.py makes of these variables."""
    with mock.patch.dict(os.environ, variables(**given)):
        return runpy.run_path(str(BASE_DIR / "todo_project" / "settings.py"))


def configure(settings: Any, **given: str) -> None:
    """Let this process verify tokens as those variables say (`settings` is pytest-django's fixture)."""
    for name, value in load(**given).items():
        if name.startswith("BETTER_AUTH_"):
            setattr(settings, name, value)


def run(*arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    """Python with these arguments in a clean environment."""
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "todo_project.settings", **variables(**given)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
