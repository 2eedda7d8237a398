"""How a gunicorn worker stops."""

import select
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which at its stop leaves nobody waiting for an answer that never comes.

    gunicorn's own stops accepting, but listens until its last connection is closed. Whoever connects meanwhile is kept
    waiting, and is cut off at the end. This one takes everybody who has connected, and then refuses: a client or a
    proxy that is refused knows that nothing was sent, and turns to another instance.
    """

    alive: bool
    sockets: list[Any]

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            while select.select([listener], [], [], 0)[0]:
                self.accept(listener)
            listener.close()
        self.sockets = []
