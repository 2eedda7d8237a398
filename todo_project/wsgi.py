"""The WSGI application that gunicorn serves."""

import os
import sys
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "todo_project.settings")

try:
    django_application = get_wsgi_application()
except ImproperlyConfigured as error:
    print(f"Configuration: {error}", file=sys.stderr)
    # gunicorn's APP_LOAD_ERROR: the master stops too, in place of starting the worker again and again.
    raise SystemExit(4) from None

MAX_DRAINED_BYTES = 4 * 1024 * 1024


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serve a request; a chunked body, which has no length Django could read by, is given one first."""
    if environ.get("HTTP_TRANSFER_ENCODING") and "CONTENT_LENGTH" not in environ:
        body = environ["wsgi.input"].read(MAX_DRAINED_BYTES)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"] = BytesIO(body)
    return django_application(environ, start_response)
