"""Log lines that carry the request's id and nothing a user wrote."""

import json
import logging
import threading
import time
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any

from django.http import HttpRequest

request_id: ContextVar[str] = ContextVar("request_id", default="-")


@lru_cache(maxsize=1)
def _second_as_text(at: int) -> str:
    """Return the local time as text, formatted once for all lines of the same second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


class LineFormatter(logging.Formatter):
    """`time level logger [request id] message`, on one line except for tracebacks.

    An exception is written as its class and its frames, without its message: a database's message quotes the row,
    and with it a title.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = f"{_second_as_text(int(record.created))},{record.msecs:03.0f}"
        message = record.getMessage()
        if not message.isprintable():  # A line break in it would forge a line.
            message = message.encode("unicode_escape").decode()
        line = f"{at} {record.levelname} {record.name} [{request_id.get()}] {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        lines: list[str] = []
        seen: set[int] = set()  # A chain of causes may be a loop.
        error: BaseException | None = ei[1]
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            frames = "".join(traceback.format_tb(error.__traceback__)).rstrip()
            state = getattr(error, "sqlstate", None)
            kind = f"{type(error).__module__}.{type(error).__qualname__}" + (f" (SQLSTATE {state})" if state else "")
            lines.append(f"{kind}\n{frames}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\ncaused by ".join(lines)


class JSONFormatter(LineFormatter):
    """One JSON object per line, including tracebacks. A request's line has its route without the values in it."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "request_id": request_id.get(),
        }
        if hasattr(record, "answered"):
            line |= self.answered(record.answered, *record.args)  # type: ignore[misc]  # log_request sets them.
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)

    def answered(
        self, request: HttpRequest, method: str, path: str, status: int, milliseconds: float
    ) -> dict[str, Any]:
        # Below /api/ the user comes from the token. The admin's would be loaded from the database.
        user = getattr(request, "user", None) if path.startswith("/api/") else None
        return {
            "method": method,
            "route": request.resolver_match and f"/{request.resolver_match.route}",
            "status": status,
            "milliseconds": round(milliseconds, 1),
            "subject": getattr(user, "subject", None),
        }


class Not503(logging.Filter):
    """Drops Django's own log line for a 503: the code that answered 503 has logged the reason."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", None) != 503


class OncePerSecond(logging.Filter):
    """Passes each message once a second, whatever its arguments, so that no client can flood the log."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, float] = {}
        self.lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        with self.lock:
            due = now - self.last.get(record.msg, -1.0) >= 1.0
            if due:
                self.last[record.msg] = now
        return due


# Refusals that a wrong setting of this service may have caused. Callers shorten and quote what the client sent.
refusals = logging.getLogger("todo_project.refusals")
refusals.addFilter(OncePerSecond())
