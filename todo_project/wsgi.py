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
    """Django's, which checks its Host once: the links of an answer ask for it again."""

    @cached_property
    def _host(self) -> str:
        return super().get_host()

    def get_host(self) -> str:
        return self._host


class WSGIHandler(wsgi.WSGIHandler):
    """Django's, with that request."""

    request_class = WSGIRequest


def stop(error: ImproperlyConfigured) -> NoReturn:
    print(f"Configuration: {error}", file=sys.stderr)
    # gunicorn's APP_LOAD_ERROR: the master stops too, in place of starting the worker again and again.
    raise SystemExit(4)


try:
    django.setup(set_prefix=False)
    django_application = WSGIHandler()
    if settings.DATABASES["default"]["ENGINE"] == "todo_project.postgresql":
        # A request waits so long for the database; a command, such as a migration, as long as it takes.
        settings.DATABASES["default"]["OPTIONS"]["answer_timeout"] = settings.DATABASE_TIMEOUT
except ImproperlyConfigured as error:
    stop(error)


def check_database() -> None:
    """Stop where the database can never serve; `gunicorn.conf.py` calls this in each worker."""
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
    """Serve a request, which may first need a word that Django can read.

    A chunked body has no length to read by, so it is given one. A Content-Type that is malformed, or in another charset
    than UTF-8, would break Django before any handler of errors stands: it becomes one that nothing takes.
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
    """Take what a refusal left of a large body, up to 4 MiB.

    gunicorn hangs up on more than 64 KiB, and a client or proxy that is still sending then misses the answer.
    """
    length, left = environ.get("CONTENT_LENGTH", ""), settings.MAX_DRAINED_BYTES
    if length.isdecimal() and int(length) > HANGS_UP_OVER_BYTES:
        with suppress(OSError):  # The client has gone.
            while left > 0 and (chunk := environ["wsgi.input"].read(min(left, HANGS_UP_OVER_BYTES))):
                left -= len(chunk)
