"""What the contract refuses though no schema can say so: schemathesis is fed values that hold."""

import os
import uuid
from typing import Any

import schemathesis


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """A path of another user is 403, whatever its text: the one valid path is that of the token's subject."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "user_id":
                    parameter["schema"]["enum"] = [os.environ["FUZZ_USER"]]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A cursor, a condition and a key that were made up are refused for what the service knows, not for their form.

    A cursor is signed and bound to filter and order, else 422: none is sent. A write's condition that does not hold is
    412: `If-Match` is any state, `If-None-Match` one that no task ever had. A key used for other values is 422: each
    is new, but for those that are too short or too long, which the document itself excludes. A title is measured after
    trimming, which no schema can say: it is sent trimmed. Of `complete` the document leaves out `null`, which is taken
    there as no body (generated clients would make more of it than there is): another wrong type takes its place.
    """
    (case.query or {}).pop("cursor", None)
    if case.body is None and case.operation.path.endswith("/complete"):
        case.body = 0
    if isinstance(case.body, dict) and isinstance(case.body.get("title"), str):
        case.body["title"] = case.body["title"].strip()
    if case.meta and getattr(case.meta.phase.data, "parameter", None) == "Authorization":
        return  # A request without a token is 401 as it is; editing its headers would bring the token back.
    headers = case.headers
    if headers and "If-Match" in headers:
        headers["If-Match"] = "*"
    if headers and "If-None-Match" in headers and case.method.upper() not in {"GET", "HEAD"}:
        headers["If-None-Match"] = '"none"'
    if headers and 1 <= len(str(headers.get("Idempotency-Key", ""))) <= 255:
        headers["Idempotency-Key"] = uuid.uuid4().hex
