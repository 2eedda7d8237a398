from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class TasksConfig(AppConfig):
    """The tasks, and the SQL functions that they need on SQLite."""

    name = "tasks"

    def ready(self) -> None:
        connection_created.connect(add_sqlite_functions)


def add_sqlite_functions(connection: Any, **kwargs: Any) -> None:
    from tasks.dialects import SQLITE_FUNCTIONS

    if connection.vendor == "sqlite":
        for function in SQLITE_FUNCTIONS:
            connection.connection.create_function(function.__name__, -1, function)
