"""The query of a list: filter, order, and the keyset cursor that continues where a page ended."""

import hmac
import re
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

import orjson
from django.conf import settings
from django.http import QueryDict

from tasks import statements
from tasks.statements import TaskRow
from todo_project.problems import invalid_parameter
from todo_project.strict import decode_base64url, encode_base64url

MAX_LIMIT = 1000  # Also the default: a client that does not know of pages takes the first one for the whole list.
MAX_SEARCH = 200  # Even with a title in the cursor, the longest Link fits a request line of 8190 bytes.
SIGNATURE_BYTES = 32
ORDERINGS = ("-created_at", "created_at", "-updated_at", "updated_at", "title", "-title")


def _get_once(query: QueryDict, name: str) -> str | None:
    """Return the parameter's value, or None; a repeated one is 422, as it is unclear which was meant."""
    values = query.getlist(name)
    if len(values) > 1:
        raise invalid_parameter(name, "repeated", f"{name} was sent more than once.")
    if values and "\0" in values[0]:
        raise invalid_parameter(name, "null_characters_not_allowed", f"{name}: null characters are not allowed.")
    return values[0] if values else None


@cache
def _key(secret: str) -> bytes:
    """Return the secret as a key of the length that BLAKE2b takes."""
    return blake2b(secret.encode()).digest()


class ListQuery(NamedTuple):
    """The validated query of a list."""

    owner: str
    limit: int = MAX_LIMIT
    completed: bool | None = None
    search: str | None = None
    ordering: str = "-created_at"
    after: tuple[str, int] | None = None

    @classmethod
    def parse(cls, owner: str, query: QueryDict) -> "ListQuery":
        """Validate the query parameters of a request.

        Raises:
            Problem: 422 `validation_error` for a bad value or a repeated parameter, `invalid_cursor` for a cursor
                that was not made for this user, filter and order.
        """
        limit = _get_once(query, "limit")
        if limit is not None and not (re.fullmatch("[0-9]{1,4}", limit) and 1 <= int(limit) <= MAX_LIMIT):
            raise invalid_parameter("limit", "out_of_range", f"limit is a whole number from 1 to {MAX_LIMIT}.")
        completed = _get_once(query, "completed")
        if completed not in {None, "true", "false"}:
            raise invalid_parameter("completed", "invalid", "completed is true or false.")
        search = _get_once(query, "search")
        if search is not None and len(search) > MAX_SEARCH:
            raise invalid_parameter("search", "max_length", f"search has at most {MAX_SEARCH} characters.")
        ordering = _get_once(query, "ordering")
        if ordering is not None and ordering not in ORDERINGS:
            raise invalid_parameter("ordering", "invalid", f"ordering is one of {', '.join(ORDERINGS)}.")
        parsed = cls(
            owner=owner,
            limit=int(limit) if limit is not None else MAX_LIMIT,
            completed=None if completed is None else completed == "true",
            search=search or None,
            ordering=ordering or "-created_at",
        )
        cursor = _get_once(query, "cursor")
        return parsed if cursor is None else parsed._after(cursor)

    def _signature(self, payload: bytes, secret: str) -> bytes:
        # Signing the scope binds the cursor to its user, filter and order: with any other it does not verify.
        scope = repr(("tasks.cursor", self.owner, self.completed, self.search, self.ordering)).encode()
        return blake2b(scope + payload, key=_key(secret), digest_size=SIGNATURE_BYTES).digest()

    def _after(self, cursor: str) -> "ListQuery":
        """Return the same query, beginning after the task that the cursor names."""
        try:
            signed = decode_base64url(cursor.encode())
            signature, payload = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
            secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
            if not any(hmac.compare_digest(signature, self._signature(payload, secret)) for secret in secrets):
                raise ValueError("wrong signature")
        except ValueError:
            detail = "This cursor was not made for this user, filter and order. Start again without it."
            raise invalid_parameter("cursor", "invalid", detail, "invalid_cursor") from None
        key, task_id = orjson.loads(payload)
        return self._replace(after=(key, task_id))

    def _cursor(self, task: TaskRow) -> str:
        """Return the cursor of the page that begins after this task."""
        key = self.ordering.removeprefix("-")
        payload = orjson.dumps([task[key], task["id"]])
        return encode_base64url(self._signature(payload, settings.SECRET_KEY) + payload).decode()

    def fetch(self) -> tuple[list[TaskRow], str | None]:
        """Return one page, and the cursor of the next page or None."""
        tasks = statements.page(
            self.owner,
            limit=self.limit + 1,
            completed=self.completed,
            search=self.search,
            ordering=self.ordering,
            after=self.after,
        )
        if len(tasks) <= self.limit:
            return tasks, None
        tasks.pop()
        return tasks, self._cursor(tasks[-1])
