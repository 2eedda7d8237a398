"""JSON as RFC 8259 has it, for bodies and for tokens: what two readers could read differently is refused."""

import json
import math
from typing import Any


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)


def decode(data: bytes) -> Any:
    """UTF-8, finite numbers, no member twice.

    Raises:
        ValueError: it is not that; JSONDecodeError and UnicodeDecodeError are two of them.
        RecursionError: it is nested too deep.
    """
    text = data.decode()
    if text.startswith("\ufeff"):
        raise json.JSONDecodeError("A byte order mark stands before it", text, 0)
    return _DECODER.decode(text)
