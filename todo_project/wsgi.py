"""The WSGI application that gunicorn serves."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from typing import Any, NoReturn

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers import wsgi
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "todo_project.settings")

HANGS_UP_OVER_BYTES = 64 * 1024


class WSGIRequest(wsgi.WSGIRequest):
    """Django's request, whose Host is validated once: the links of an answer need it again."""

    @cached_property
    def _host(self) -> str:
        return super().get_host()

    def get_host(self) -> str:
        return self._host


class WSGIHandler(wsgi.WSGIHandler):
    """Django's handler, which uses this WSGIRequest."""

    request_class = WSGIRequest


def stop(error: ImproperlyConfigured) -> NoReturn:
    print(f"Configuration: {error}", file=sys.stderr)
    # gunicorn's APP_LOAD_ERROR: the master stops too, instead of restarting the worker again and again.
    raise SystemExit(4)


try:
    django.setup(set_prefix=False)
    django_application = WSGIHandler()
    if settings.DATABASES["default"]["ENGINE"] == "todo_project.postgresql":
        # Set here so that only requests are limited: a command, such as a migration, waits as long as it takes.
        settings.DATABASES["default"]["OPTIONS"]["answer_timeout"] = settings.DATABASE_TIMEOUT
except ImproperlyConfigured as error:
    stop(error)


def check_database() -> None:
    """Stop the process if the database can never serve; `gunicorn.conf.py` calls this in each worker."""
    from todo_project.database import check_at_start

    try:
        check_at_start()
    except ImproperlyConfigured as error:
        stop(error)


def has_utf8_charset(content_type: str) -> bool:
    try:
        charset: str = parse_header_parameters(content_type)[1].get("charset", "utf-8")
    except ValueError:
        return False
    return charset.lower() in {"utf-8", "utf8"}


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serve a request, after fixing two things that Django cannot handle.

    A chunked body has no length, so it is read and given one. A Content-Type that is malformed, or names a charset
    other than UTF-8, would fail in Django before any error handler runs: it is replaced by one that no parser accepts.
    """
    if ";" in environ.get("CONTENT_TYPE", "") and not has_utf8_charset(environ["CONTENT_TYPE"]):
        environ["CONTENT_TYPE"] = "application/octet-stream"
    if environ.get("HTTP_TRANSFER_ENCODING") and "CONTENT_LENGTH" not in environ:
        body = environ["wsgi.input"].read(settings.MAX_DRAINED_BYTES)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"] = BytesIO(body)
    response: Iterable[bytes] = django_application(environ, start_response)
    read_to_the_end(environ)
    return response


def read_to_the_end(environ: dict[str, Any]) -> None:
    """Read the rest of a large body that was refused, up to MAX_DRAINED_BYTES.

    gunicorn hangs up if more than HANGS_UP_OVER_BYTES are left, and a client or proxy that is still sending then
    misses the answer.
    """
    length, left = environ.get("CONTENT_LENGTH", ""), settings.MAX_DRAINED_BYTES
    if length.isdecimal() and int(length) > HANGS_UP_OVER_BYTES:
        with suppress(OSError):  # The client has gone.
            while left > 0 and (chunk := environ["wsgi.input"].read(min(left, HANGS_UP_OVER_BYTES))):
                left -= len(chunk)
