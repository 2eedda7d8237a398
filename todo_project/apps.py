from django.apps import AppConfig
from django.core.signals import request_started


class TodoProjectConfig(AppConfig):
    """Commands, pages and the connection check."""

    name = "todo_project"

    def ready(self) -> None:
        from todo_project.connections import close_dropped_connections

        request_started.connect(close_dropped_connections)
