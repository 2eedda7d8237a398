from django.apps import AppConfig
from django.db.backends.signals import connection_created


class TodoProjectConfig(AppConfig):
    """The project's commands and pages, and a check of each new database connection."""

    name = "todo_project"

    def ready(self) -> None:
        from todo_project.database import refuse_wrong_database

        connection_created.connect(refuse_wrong_database)
