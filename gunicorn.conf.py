"""How gunicorn serves the project; the reasons and figures are in specs/002-backend-foundation/research.md."""

import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from gunicorn.glogging import Logger

sys.path.append(str(Path(__file__).resolve().parent))  # gunicorn may be started from elsewhere, with --chdir.

try:
    # All of the settings, so that a wrong one stops the start here, in one line, and not in each worker.
    from todo_project import settings
    from todo_project.logging import JSONFormatter
except ImproperlyConfigured as error:
    sys.exit(f"Configuration: {error}")

bind = settings.SERVER.bind
workers = settings.SERVER.processes

# gthread keeps connections alive, which the sync worker does not.
worker_class = "todo_project.worker.Worker"
threads = settings.SERVER.threads
keepalive = 75

# A cursor with a title in it can take 3,200 bytes, a search 2,400.
limit_request_line = 8190
# A token with a picture in it takes 9,000 bytes, and so may a frontend's cookies on the same host. 16 KiB and a name.
limit_request_field_size = 16 * 1024 + 256

# The project writes its own line for each request: it leaves out the query, which holds search words.
accesslog = None
# gunicorn's control socket would let whoever reaches it steer the server; nobody here needs it.
control_socket_disable = True


class JSONLogger(Logger):
    """Writes gunicorn's own lines as JSON. With `logconfig_dict` it would also write an access line per request."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JSONFormatter())


if settings.LOG_FORMAT == "json":
    logger_class = JSONLogger


def when_ready(server: Any) -> None:
    """Warn once if each process counts THROTTLE_RATE for itself."""
    if settings.THROTTLE_RATE and not settings.THROTTLE_STORAGE:
        server.log.warning(
            "THROTTLE_RATE is counted by each of %d processes for itself; THROTTLE_STORAGE makes them count together",
            settings.SERVER.processes,
        )


def post_worker_init(worker: Any) -> None:
    """Look at the database before a worker serves."""
    if (wsgi := sys.modules.get("todo_project.wsgi")) is not None:  # The comparison serves others with this file too.
        wsgi.check_database()
