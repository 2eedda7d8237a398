"""Log lines that carry the request's id and nothing a user wrote."""

import logging
import threading
import time
import traceback
from contextvars import ContextVar
from functools import lru_cache
from types import TracebackType

request_id: ContextVar[str] = ContextVar("request_id", default="-")


@lru_cache(maxsize=1)
def _second_as_text(at: int) -> str:
    """Written once for all the lines of a second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


class LineFormatter(logging.Formatter):
    """`time level logger [request id] message`, one line but for tracebacks.

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
        seen: set[int] = set()  # A chain of causes may lead back to where it began.
        error: BaseException | None = ei[1]
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            frames = "".join(traceback.format_tb(error.__traceback__)).rstrip()
            state = getattr(error, "sqlstate", None)
            kind = f"{type(error).__module__}.{type(error).__qualname__}" + (f" (SQLSTATE {state})" if state else "")
            lines.append(f"{kind}\n{frames}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\ncaused by ".join(lines)


class Not503(logging.Filter):
    """Keeps Django's own line of a 503 out: who answers 503 has logged why."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", None) != 503


class OncePerSecond(logging.Filter):
    """Lets each message through once a second, whatever its arguments, so that no client can flood the log."""

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


# Why clients are refused, where a wrong setting of ours may be the cause. What a client sent is cut and quoted.
refusals = logging.getLogger("todo_project.refusals")
refusals.addFilter(OncePerSecond())
