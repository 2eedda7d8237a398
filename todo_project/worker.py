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

    def handle_exit(self, sig: int, frame: Any) -> None:
        # In the worker's own loop: a signal may come while this thread holds a lock of the pool.
        self.method_queue.defer(self.stop_listening)

    def stop_listening(self) -> None:
        if not self.alive:
            return
        self.set_accept_enabled(False)
        for listener in self.sockets:
            while select.select([listener], [], [], 0)[0]:
                self.accept(listener)
            listener.close()
        self.alive = False
