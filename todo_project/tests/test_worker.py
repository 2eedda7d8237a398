"""How a worker stops. tests/test_faults.py stops real ones under load."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from todo_project.worker import Worker


def test_ctrl_c_ends_a_worker_whatever_it_interrupts() -> None:
    worker = Worker.__new__(Worker)
    worker.cfg = SimpleNamespace(worker_int=lambda worker: None)
    worker.tpool = ThreadPoolExecutor(1)
    ended = threading.Event()

    def interrupted() -> None:
        # As between two lines of `submit` or `shutdown`, which hold this lock.
        with worker.tpool._shutdown_lock:
            try:
                worker.handle_quit(signal.SIGINT, None)
            except SystemExit:
                ended.set()

    threading.Thread(target=interrupted, daemon=True).start()
    assert ended.wait(5)
