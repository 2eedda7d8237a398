"""Creates that can be retried: the Idempotency-Key header (IETF httpapi draft)."""

import json
import re
from hashlib import sha256
from typing import Any

from django.http import QueryDict
from rest_framework.request import Request

from tasks.models import with_defaults
from tasks.statements import Idempotency
from todo_project.problems import Problem

KEY = re.compile(r"[\x21-\x7e]{1,255}")
QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # A string of structured fields (RFC 9651).


def sent_key(request: Request) -> str | None:
    """Return the raw key from its header, or from a page's form, which cannot set headers; None if there is none."""
    key: str | None = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None and isinstance(request.data, QueryDict):
        key = request.data.get("Idempotency-Key")
    return key


def parse_idempotency_key(request: Request, values: dict[str, Any]) -> Idempotency | None:
    """Return the request's key with a fingerprint of the requested task; None if no key was sent.

    `"k"` and `k` are the same key.

    Raises:
        Problem: 422 `invalid_idempotency_key` if the key is malformed.
    """
    header = sent_key(request)
    if header is None:
        return None
    key = header.strip(" \t")
    if quoted := QUOTED.fullmatch(key):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    elif key.startswith('"'):
        key = ""
    if not KEY.fullmatch(key):
        detail = "An Idempotency-Key has 1 to 255 visible characters."
        error = {"header": "Idempotency-Key", "code": "invalid", "detail": detail}
        raise Problem(422, "invalid_idempotency_key", detail, [error])
    state = list(with_defaults(values).values())
    return Idempotency(key, sha256(json.dumps(state, default=str).encode()).hexdigest())
