"""Measures the CPU time of requests through the project's WSGI application, without sockets; cpu.py runs it.

Arguments: rounds, token, then the paths to take turns at. Prints the nanoseconds of each, path by path, as JSON.
"""

import io
import json
import sys
import time
from typing import Any

from todo_project.wsgi import application


def ask(path: str, bearer: str) -> int:
    """Nanoseconds of this thread's CPU from the environ to the closed answer."""
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1", "HTTP_AUTHORIZATION": f"Bearer {bearer}", "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.multithread": True,
        "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip
    statuses: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> None:
        statuses.append(status)

    begin = time.thread_time_ns()
    answer = application(environ, start_response)
    b"".join(answer)
    answer.close()  # type: ignore[attr-defined]
    spent = time.thread_time_ns() - begin
    if not statuses[0].startswith("200"):
        sys.exit(f"{path} answered {statuses[0]}")
    return spent


rounds, token, *paths = sys.argv[1:]
times: dict[str, list[int]] = {path: [] for path in paths}
for number in range(int(rounds) + 50):
    for path in paths:
        spent = ask(path, token)
        if number >= 50:
            times[path].append(spent)
json.dump(list(times.values()), sys.stdout)
