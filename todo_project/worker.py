"""How a gunicorn worker stops, and what it logs."""

import logging
import select
from copy import copy
from typing import Any

from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers import base  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from todo_project.logging import refusals, request_id

logger = logging.getLogger("todo_project.worker")


class NoLog:
    """A log that drops every line."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which does not leave clients waiting when it stops.

    gunicorn's own worker stops accepting connections, but listens until its last connection is closed. Clients that
    connect in between wait and are then cut off. This worker accepts everybody who has connected and then closes its
    sockets, so that new connections are refused. A proxy can send a refused request to another instance, because it
    knows that nothing was sent.
    """

    alive: bool
    sockets: list[Any]

    def handle(self, conn: Any) -> Any:
        request_id.set("-")  # This thread served another request before.
        return super().handle(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that cannot be parsed as gunicorn does, and log only what kind of error it has.

        gunicorn's own line quotes what was sent: a search word, the rest of a body, or a whole token.
        """
        ours = isinstance(exc, (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName))
        if isinstance(exc, errors.ParseException) and not ours:
            refusals.warning("A malformed request is refused: %s", type(exc).__name__)
        else:
            logger.error("A request failed in the server", exc_info=exc)
        silent = copy(self)
        silent.log = NoLog()
        super(Worker, silent).handle_error(req, client, addr, exc)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Exit at once, as Ctrl-C asks for.

        gunicorn's own handler first takes a lock of the thread pool. The code that the signal interrupts may hold it, a
        first handler for one, and the worker would hang until it is killed 30 seconds later.
        """
        base.Worker.handle_quit(self, sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            while select.select([listener], [], [], 0)[0]:
                self.accept(listener)
            listener.close()
        self.sockets = []
