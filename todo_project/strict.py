"""Strict decoders: JSON for bodies and tokens, base64url for tokens and cursors.

Input that two decoders could read differently is refused.
"""

import json
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

MAX_DEPTH = 100  # Explicit, because the depth that Python's own decoder allows differs between versions.


def decode_json(data: bytes) -> Any:
    """Decode JSON (RFC 8259): UTF-8, finite numbers, no repeated member.

    Raises:
        ValueError: the data is anything else; JSONDecodeError and UnicodeDecodeError are subclasses.
        RecursionError: its arrays and objects are nested more than MAX_DEPTH deep.
    """
    text = data.decode()
    if text.startswith("\ufeff"):
        raise json.JSONDecodeError("A byte order mark stands before it", text, 0)
    value = _DECODER.decode(text)
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return value  # Too few brackets to be nested deeper.
    containers = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        containers = [member for container in containers for member in _members_that_nest(container)]
        if not containers:
            return value
    raise RecursionError


def _members_that_nest(container: dict[str, Any] | list[Any]) -> list[Any]:
    members = container.values() if isinstance(container, dict) else container
    return [member for member in members if isinstance(member, dict | list)]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python limits the digits of a number that it reads.
        raise ValueError("a number is out of range") from None


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def encode_base64url(data: bytes) -> bytes:
    """Encode as base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=")


def decode_base64url(text: bytes) -> bytes:
    """Decode base64url, accepting only the exact text that `encode_base64url` writes.

    Raises:
        ValueError: the text is padded, has stray bits, or is not base64url.
    """
    data = urlsafe_b64decode(text + b"==")
    if encode_base64url(data) != text:
        raise ValueError("not base64url")
    return data
