from django.apps import AppConfig
from django.core.signals import request_started
from django.db.backends.signals import connection_created


class TodoProjectConfig(AppConfig):
    """Commands, pages and the connection check."""

    name = "todo_project"

    def ready(self) -> None:
        from todo_project.connections import choose_prepared_statements, close_dropped_connections

        request_started.connect(close_dropped_connections)
        connection_created.connect(choose_prepared_statements)
