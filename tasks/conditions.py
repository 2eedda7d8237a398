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
# A task's tag is the moment of its last write, which every write moves: 20 digits, down to the microsecond.
TASK_TAG = re.compile(r'(?:W/)?"([0-9]{20})"')


def etag(task: TaskRow) -> str:
    """The strong tag of a task: the same for the same state, another after every write."""
    return '"' + re.sub("[^0-9]", "", task["updated_at"]) + '"'


def list_etag(tasks: Iterable[TaskRow], link: str | None) -> str:
    """The strong tag of a page: which tasks, each in which state, and what follows."""
    state = orjson.dumps([[(task["id"], task["updated_at"]) for task in tasks], link])
    return f'"{blake2b(state, digest_size=16).hexdigest()}"'


def not_modified(request: Request, tag: str) -> bool:
    """Whether `If-None-Match` says that the client has this state already; a malformed one says nothing."""
    header = request.META.get("HTTP_IF_NONE_MATCH")
    if header is None:
        return False
    return header.strip(" \t") == "*" or tag in [given.removeprefix("W/") for given in _tags(header) or ()]


def parse_conditions(request: Request) -> Condition | None:
    """`If-Match` and `If-None-Match` as a condition that the statement checks; None where neither was sent.

    Our own tag counts in `If-Match` also where a proxy that compresses made it weak: it names a state, and not its
    bytes. No other weak tag matches. A malformed header is a condition that never holds.
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
    """The tags of a list, as they stand there; None if it is no list of tags."""
    return re.findall(TAG, header) if TAG_LIST.fullmatch(header) else None


def _moments(tags: Iterable[str]) -> tuple[str, ...]:
    """The `updated_at` that each tag of ours stands for, in RFC 3339; other tags match nothing."""
    moments = []
    for tag in tags:
        if ours := TASK_TAG.fullmatch(tag):
            try:
                moment = datetime.strptime(ours[1], "%Y%m%d%H%M%S%f")
            except ValueError:
                continue
            moments.append(moment.isoformat(timespec="microseconds") + "Z")
    return tuple(moments)
