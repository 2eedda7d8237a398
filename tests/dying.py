"""The application, in workers that die as if by `kill -9` where a test asks for it: after the commit, before the answer."""

import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from todo_project.wsgi import application as todo


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    answer: Iterable[bytes] = todo(environ, start_response)
    if environ.get("HTTP_X_REQUEST_ID") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
