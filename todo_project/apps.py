from django.apps import AppConfig


class TodoProjectConfig(AppConfig):
    """Commands and pages."""

    name = "todo_project"
