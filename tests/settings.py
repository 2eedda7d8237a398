"""The project's own settings, in an environment that a machine's `.env` cannot change."""

import os
import tempfile
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

# Set to nothing counts as not set, and keeps the value in `.env` out.
for line in (BASE_DIR / ".env.example").read_text().splitlines():
    name, equals, _ = line.removeprefix("# ").partition("=")
    if equals and name.isupper():
        os.environ[name] = ""

os.environ.update(
    DATABASE_URL=os.environ.get("TEST_CITUS_URL")
    or os.environ.get("TEST_DATABASE_URL")
    or f"sqlite:///{tempfile.gettempdir()}/todo-tests.sqlite3",
    PREPARED_STATEMENTS=os.environ.get("TEST_PREPARED_STATEMENTS", ""),
    STATEMENTS_BY_CURSOR=os.environ.get("TEST_STATEMENTS_BY_CURSOR", ""),
    BETTER_AUTH_SECRET="tests-only-aXq3v9Lr0PzT5mWc7YbKd2Hs",
    DJANGO_SECRET_KEY="tests-only-Jf8wQ1nZr6UxE4tGk0VoBi5pMy",
    DJANGO_ALLOWED_HOSTS="testserver,127.0.0.1,localhost",
    CORS_ALLOWED_ORIGINS="http://localhost:3000",
)

from todo_project.settings import *  # noqa: E402, F403

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file: one in memory has neither a write-ahead log nor a second connection.
    DATABASES["default"]["TEST"] = {"NAME": tempfile.mkdtemp(prefix="todo-tests-") + "/test.sqlite3"}  # noqa: F405
