"""A real Redis server for a test, which can be stopped, frozen and started again at the same address."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.postgres import free_port

REDIS = shutil.which("redis-server")


class Redis:
    def __init__(self, folder: str) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:hunter22@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        assert REDIS
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "hunter22"]
        self.process = subprocess.Popen([REDIS, *options], cwd=self.folder, stdout=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("Redis does not listen.")

    def send(self, how: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(how)
        if how not in {signal.SIGSTOP, signal.SIGCONT}:
            self.process.wait(10)


@contextmanager
def redis_server() -> Iterator[Redis]:
    with tempfile.TemporaryDirectory(prefix="todo-redis-") as folder:
        server = Redis(folder)
        server.start()
        try:
            yield server
        finally:
            server.send(signal.SIGKILL)
