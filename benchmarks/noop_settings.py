"""The project's settings with one view more: the floor under every answer."""

from todo_project.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.noop_urls"
