"""Every error, from every layer, as an RFC 9457 problem document."""

import http.client
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, UnreadablePostError
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.utils.serializer_helpers import ReturnDict

from todo_project.database import report_unavailable
from todo_project.logging import refusals, request_id
from todo_project.renderers import Response, preferred_media_type

RETRY_AFTER_SECONDS = 1
MAX_NAME = 50  # A client can invent a member with an arbitrarily long name, which `detail` should not repeat.
# Every `code` with its status and meaning. /docs shows this table, and a problem's `type` points into it.
PROBLEMS: dict[str, tuple[int, str]] = {
    "parse_error": (400, "The body is not JSON, not UTF-8, or nested too deep."),
    "bad_request": (400, "The request is malformed, or its Host is not one of ours."),
    "not_authenticated": (401, "There was no token. Send it as Authorization: Bearer ..."),
    "token_expired": (401, "The token has expired. Get a fresh one from Better Auth and send the request again."),
    "token_invalid": (401, "The token is not one that this service accepts. Sign in again."),
    "permission_denied": (403, "The path belongs to another user, or a page's CSRF token is missing."),
    "not_found": (404, "There is no such task, or nothing at this address."),
    "method_not_allowed": (405, "The Allow header lists what this address takes."),
    "not_acceptable": (406, "Answers are application/json, or text/html for browsers."),
    "precondition_failed": (412, "If-Match or If-None-Match does not hold of the task as it is now. ETag has its tag."),
    "payload_too_large": (413, "The body has more than 256 KiB."),
    "unsupported_media_type": (415, "Send the body as application/json, in UTF-8."),
    "validation_error": (
        422,
        "The request was understood, and refused; errors says which member or parameter is at fault.",
    ),
    "invalid_cursor": (422, "The cursor was not made for this user, filter and order. Start again without it."),
    "idempotency_key_reused": (422, "This Idempotency-Key was used for a task with other values."),
    "invalid_idempotency_key": (422, "An Idempotency-Key has 1 to 255 visible characters."),
    "throttled": (429, "Too many requests. Retry-After says how long to wait."),
    "internal_error": (500, "A bug of ours. The request_id tells the operators where to look."),
    "service_unavailable": (503, "The database or the key server is out of reach. Retry-After says when to try again."),
}
TOO_LARGE = f"A body may have at most {settings.MAX_BODY_BYTES} bytes."
DATABASE_AWAY = "The database cannot answer just now. Try again."


class Problem(exceptions.APIException):
    """An error with a status, a code for programs and, where it helps, the members or headers at fault."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status
        self.errors = errors
        self.headers = dict(headers or {})


def invalid_parameter(name: str, code: str, detail: str, problem: str = "validation_error") -> Problem:
    """Return a 422 for a query parameter whose value is refused."""
    return Problem(422, problem, detail, [{"parameter": name, "code": code, "detail": detail}])


def unavailable(detail: str) -> Problem:
    """Return a 503 for a backing service that is out of reach; the same request may work in a moment."""
    return Problem(503, "service_unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def problem_document(status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Return a document of RFC 9457's members plus `code`, `request_id` and, if there are any, `errors`."""
    document: dict[str, Any] = {
        "type": f"{reverse('docs')}#{code}",
        "title": http.client.responses.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id.get(),
    }
    if errors:
        document["errors"] = errors
    return document


def is_too_large(request: HttpRequest | Request) -> bool:
    """Return whether the request's body has more than MAX_BODY_BYTES."""
    length = request.META.get("CONTENT_LENGTH", "")
    return length.isdecimal() and int(length) > settings.MAX_BODY_BYTES


def wants_html(request: HttpRequest) -> bool:
    """Return whether the client prefers HTML to JSON, by the same negotiation as for the API's answers."""
    return preferred_media_type(request.META.get("HTTP_ACCEPT", ""), ["application/json", "text/html"]) == "text/html"


def problem_response(
    request: HttpRequest, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return a problem from outside DRF: a page if the client prefers HTML, else a problem document."""
    document = problem_document(status, code, detail)
    if wants_html(request):
        response = render(request, "problem.html", document, status=status)
    else:
        response = HttpResponse(orjson.dumps(document), status=status, content_type="application/problem+json")
    for name, value in (headers or {}).items():
        response[name] = value
    return response


# --- DRF ------------------------------------------------------------------------------------------------------

CODE_OF_STATUS = {
    400: "parse_error",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
    429: "throttled",
}


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponseBase | None:
    """Turn an exception in a DRF view into a problem. None, for one it does not know, leads to `server_error`."""
    from rest_framework.views import set_rollback  # DRF's views import this module, by the settings.

    request: Request = context["request"]
    html = getattr(getattr(request, "accepted_renderer", None), "format", None) == "api"
    headers: dict[str, str] = {}
    errors: list[dict[str, str]] | None = None
    serializer = None

    if report_unavailable(exc):
        exc = unavailable(DATABASE_AWAY)

    if isinstance(exc, Problem):
        status, code, detail = exc.status_code, str(exc.get_codes()), str(exc.detail)
        errors, headers = exc.errors, exc.headers
    elif isinstance(exc, exceptions.ValidationError):
        errors = list(validation_errors(exc.detail))
        status, code, detail = 422, "validation_error", in_words(errors[0]) if errors else str(exc.default_detail)
        serializer = getattr(exc.detail, "serializer", None)
    elif isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        if html and request.method in {"GET", "HEAD"} and "HTTP_AUTHORIZATION" not in request.META:
            return HttpResponseRedirect(f"{reverse('login')}?{urlencode({'next': request.get_full_path()})}")
        status, code, detail = 401, str(exc.get_codes()), str(exc.detail)
        headers["WWW-Authenticate"] = 'Bearer realm="todo"'
        if code != "not_authenticated":
            headers["WWW-Authenticate"] += f', error="invalid_token", error_description="{detail}"'
    elif isinstance(exc, exceptions.APIException):
        status, code = exc.status_code, CODE_OF_STATUS.get(exc.status_code, exc.default_code)
        if isinstance(exc, exceptions.UnsupportedMediaType):
            detail = PROBLEMS[code][1]
        elif isinstance(exc.detail, str):
            detail = str(exc.detail)
        else:
            detail, errors = str(exc.default_detail), list(validation_errors(exc.detail))
        if isinstance(exc, exceptions.Throttled):
            seconds = max(1, int(getattr(exc, "wait", None) or 1))
            headers["Retry-After"] = str(seconds)
            detail = f"Too many requests. Try again in {seconds} second{'s' * (seconds > 1)}."
    elif isinstance(exc, Http404):
        status, code, detail = 404, "not_found", "There is no such task."
    elif isinstance(exc, PermissionDenied):
        status, code, detail = 403, "permission_denied", "You may not do this."
    elif isinstance(exc, RequestDataTooBig):
        status, code, detail = 413, "payload_too_large", TOO_LARGE
    elif isinstance(exc, UnreadablePostError):  # The client hung up.
        status, code, detail = 400, "parse_error", "The body ended early."
    elif isinstance(exc, SuspiciousOperation | BadRequest):
        status, code, detail = 400, "bad_request", "The request is malformed."
    else:
        return None

    set_rollback()
    document: dict[str, Any] = problem_document(status, code, detail, errors)
    if serializer is not None:
        # The browsable API finds the form here, and shows each error beside its field.
        document = ReturnDict(document, serializer=serializer)
    return Response(document, status=status, headers=headers, content_type=None if html else "application/problem+json")


def validation_errors(detail: Any, pointer: str = "") -> Iterator[dict[str, str]]:
    """Yield DRF's nested details one by one, each with a JSON pointer (RFC 6901) to the member at fault."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            below = "" if name == "non_field_errors" else "/" + str(name).replace("~", "~0").replace("/", "~1")
            yield from validation_errors(inner, pointer + below)
    elif isinstance(detail, list):
        for inner in detail:
            yield from validation_errors(inner, pointer)
    else:
        yield {"pointer": pointer, "code": detail.code, "detail": str(detail)}


def in_words(error: Mapping[str, str]) -> str:
    """Return one sentence that names the member and its error, for people who read only `detail`."""
    name, detail = error["pointer"][1:].replace("~1", "/").replace("~0", "~"), error["detail"]
    if not name:
        return detail
    if len(name) > MAX_NAME:
        name = name[:MAX_NAME] + "…"
    return f"{name}: {detail[:1].lower()}{detail[1:]}"


# --- Django's own: what never reaches a view, or breaks in one --------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return problem_response(request, 413, "payload_too_large", TOO_LARGE)
    return problem_response(request, 400, "bad_request", "The request is malformed.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_response(request, 403, "permission_denied", "You may not do this.")


def log_csrf_failure(reason: str) -> None:
    """Log why the CSRF check failed, without the path and query of an address that the client named."""
    refusals.warning("CSRF check failed: %r", re.sub(r"(://[^/\s]*)\S*", r"\1", reason)[:300])


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    log_csrf_failure(reason)
    detail = "The page's CSRF token is missing or wrong. Load the page again, with cookies allowed."
    return problem_response(request, 403, "permission_denied", detail)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_response(request, 404, "not_found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    if report_unavailable(sys.exc_info()[1]):
        return problem_response(
            request, 503, "service_unavailable", DATABASE_AWAY, {"Retry-After": str(RETRY_AFTER_SECONDS)}
        )
    return problem_response(
        request, 500, "internal_error", "Something went wrong on our side. The request id tells the operators where."
    )
