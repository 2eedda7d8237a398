from django.apps import AppConfig
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.db.backends.signals import connection_created


class TodoProjectConfig(AppConfig):
    """Commands, pages and the connection check."""

    name = "todo_project"

    def ready(self) -> None:
        from todo_project.connections import choose_prepared_statements

        # RequestMiddleware's one look at the connection does what Django's handlers do in three; the cache is in the
        # process, and has nothing to close; every request sets the URLconf anew.
        for signal, handler in (
            (request_started, reset_queries),
            (request_started, close_old_connections),
            (request_finished, close_old_connections),
            (request_finished, close_caches),
            (request_finished, reset_urlconf),
        ):
            signal.disconnect(handler)
        connection_created.connect(choose_prepared_statements)
