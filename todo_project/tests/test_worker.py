"""How a worker stops and what it logs. tests/test_faults.py stops real ones under load."""

import logging
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from gunicorn.http.errors import InvalidHeader, InvalidResponseHeader

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


@pytest.mark.parametrize(("error", "level"), [(InvalidHeader, logging.WARNING), (InvalidResponseHeader, logging.ERROR)])
def test_a_header_of_a_client_is_a_refusal_and_one_of_ours_is_an_error(caplog, error, level: int) -> None:
    ours, client = socket.socketpair()
    with ours, client:
        Worker.__new__(Worker).handle_error(None, ours, None, error("Zebra"))
        answer = client.recv(1000)
    assert answer.startswith(b"HTTP/1.1 400 " if level == logging.WARNING else b"HTTP/1.1 500 ")
    (record,) = caplog.records
    assert record.levelno == level and bool(record.exc_info) == (level == logging.ERROR)
    assert "Zebra" not in record.getMessage()
