"""The examples in the OpenAPI document. A test sends each body and compares the response with the example."""

import http.client
from typing import Any

from tasks.models import with_defaults
from tasks.pagination import MAX_LIMIT
from tasks.statements import COLUMNS
from todo_project.problems import PROBLEMS

USER = "Yk3vQ8sWm2LrTz6HcXb9Pd4NfGj7Ka1E"  # In the form of Better Auth's ids.
REQUEST_ID = "8f14e45fceea167a5a36dedd4bea2543"
MOMENT = "2026-05-04T08:15:30.123456Z"
LATER = "2026-05-04T09:00:00.654321Z"
# The names in RFC 9110. Older versions of Python have other names for two of them, and the document must not depend on
# the version that generates it.
TITLES = {**http.client.responses, 413: "Content Too Large", 422: "Unprocessable Content"}

BODIES: dict[str, dict[str, Any]] = {
    "create": {"title": "Buy milk", "description": "Two litres"},
    "update": {"title": "Buy oat milk", "description": "Two litres", "completed": True},
    "complete": {"completed": True},
}


def task(updated_at: str, **values: Any) -> dict[str, Any]:
    members = {"id": 1, "user_id": USER, "created_at": MOMENT, "updated_at": updated_at, **with_defaults(values)}
    return {column: members[column] for column in COLUMNS}


CREATED = task(MOMENT, **BODIES["create"])
ANSWERS: dict[str, Any] = {
    "list": CREATED,  # drf-spectacular wraps it in a list.
    "create": CREATED,
    "retrieve": CREATED,
    "update": task(LATER, **BODIES["update"]),
    "complete": task(LATER, **BODIES["create"] | BODIES["complete"]),
}

# The `detail` of each problem.
DETAILS = {
    "parse_error": "The body is not JSON: Expecting value, at character 10.",
    "bad_request": "This service does not answer to that host name.",
    "not_authenticated": "Authentication credentials were not provided.",
    "token_expired": "The token has expired.",
    "token_invalid": "The token is not valid here.",
    "permission_denied": "This path belongs to another user.",
    "not_found": "There is no such task.",
    "not_acceptable": "Could not satisfy the request Accept header.",
    "precondition_failed": "The condition does not hold of the task as it is now.",
    "payload_too_large": "A body may have at most 262144 bytes.",
    "unsupported_media_type": "Send the body as application/json, in UTF-8.",
    "invalid_cursor": "This cursor was not made for this user, filter and order. Start again without it.",
    "idempotency_key_reused": "This Idempotency-Key was used for a task with other values.",
    "invalid_idempotency_key": "An Idempotency-Key has 1 to 255 visible characters.",
    "throttled": "Too many requests. Try again in 42 seconds.",
    "internal_error": "Something went wrong on our side. The request id tells the operators where.",
    "service_unavailable": "The database cannot answer just now. Try again.",
}
TITLE = {"pointer": "/title", "code": "blank", "detail": "This field may not be blank."}
VALIDATION = {
    "list": {"parameter": "limit", "code": "out_of_range", "detail": f"limit is a whole number from 1 to {MAX_LIMIT}."},
    "create": TITLE,
    "update": TITLE,
    "complete": {"pointer": "/completed", "code": "invalid", "detail": "Must be true or false."},
}
VALIDATION_DETAILS = {
    "list": VALIDATION["list"]["detail"],
    "create": "title: this field may not be blank.",
    "update": "title: this field may not be blank.",
    "complete": "completed: must be true or false.",
}
ERRORS = {
    "invalid_cursor": {"parameter": "cursor", "code": "invalid"},
    "idempotency_key_reused": {"header": "Idempotency-Key", "code": "reused"},
    "invalid_idempotency_key": {"header": "Idempotency-Key", "code": "invalid"},
}


def problem(action: str, code: str) -> dict[str, Any]:
    """Return the problem document with which this endpoint answers."""
    status, _ = PROBLEMS[code]
    detail = VALIDATION_DETAILS[action] if code == "validation_error" else DETAILS[code]
    document: dict[str, Any] = {
        "type": f"/docs#{code}",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": REQUEST_ID,
    }
    if code == "validation_error":
        document["errors"] = [VALIDATION[action]]
    elif code in ERRORS:
        document["errors"] = [{**ERRORS[code], "detail": detail}]
    return document
