"""Entity tags and the conditions of a request (RFC 9110, sections 8.8 and 13)."""

import re
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b

import orjson
from rest_framework.request import Request

from tasks.statements import Condition, TaskRow

TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Empty members are allowed. Each character can be read in one way only, so a long header takes no longer to refuse.
TAG_LIST = re.compile(rf"[ \t,]*{TAG}(?:[ \t]*,[ \t,]*{TAG})*[ \t,]*")
# A task's tag is its `updated_at`, which every write moves, as the 20 digits from year to microsecond.
TASK_TAG = re.compile(r'(?:W/)?"([0-9]{20})"')


def etag(task: TaskRow) -> str:
    """Return the strong entity tag of a task, which changes with every write."""
    return '"' + re.sub("[^0-9]", "", task["updated_at"]) + '"'


def list_etag(tasks: Iterable[TaskRow], link: str | None) -> str:
    """Return the strong entity tag of a page: it covers its tasks, their states and the link to the next page."""
    state = orjson.dumps([[(task["id"], task["updated_at"]) for task in tasks], link])
    return f'"{blake2b(state, digest_size=16).hexdigest()}"'


def not_modified(request: Request, tag: str) -> bool:
    """Return whether `If-None-Match` lists this tag or is `*`; a malformed header is ignored."""
    header = request.META.get("HTTP_IF_NONE_MATCH")
    if header is None:
        return False
    return header.strip(" \t") == "*" or tag in [given.removeprefix("W/") for given in _tags(header) or ()]


def parse_conditions(request: Request) -> Condition | None:
    """Return `If-Match` and `If-None-Match` as a condition that the SQL checks; None if neither was sent.

    A task's tag matches `If-Match` even if a compressing proxy made it weak: it names a state, not the bytes of an
    answer. No other weak tag matches. A malformed header gives a condition that never holds.
    """
    if_match, if_none_match = request.META.get("HTTP_IF_MATCH"), request.META.get("HTTP_IF_NONE_MATCH")
    among: tuple[str, ...] | None = None
    not_among: tuple[str, ...] = ()
    if if_match is None and if_none_match is None:
        return None
    if if_match is not None and if_match.strip(" \t") != "*":
        among = _moments(_tags(if_match) or ())
    if if_none_match is not None:
        tags = _tags(if_none_match)
        if tags is None:  # `*`, which any task matches, or malformed.
            among = ()
        else:
            not_among = _moments(tags)
    return Condition(among, not_among)


def _tags(header: str) -> list[str] | None:
    """Return the tags of a header as they were sent; None if the header is malformed."""
    return re.findall(TAG, header) if TAG_LIST.fullmatch(header) else None


def _moments(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the `updated_at` that each task's tag stands for, in RFC 3339; other tags are left out."""
    moments = []
    for tag in tags:
        if match := TASK_TAG.fullmatch(tag):
            try:
                moment = datetime.strptime(match[1], "%Y%m%d%H%M%S%f")
            except ValueError:
                continue
            moments.append(moment.isoformat(timespec="microseconds") + "Z")
    return tuple(moments)
