"""Middleware: request ids, the request log, shared headers, the host check, CORS, and the admin's sessions."""

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import quote

from axes.backends import AxesStandaloneBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.middleware import AxesMiddleware
from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.urls import reverse

from todo_project.logging import refusals, request_id
from todo_project.problems import TOO_LARGE, is_too_large, problem_response

logger = logging.getLogger("todo_project.request")

SANE_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})


class RequestMiddleware:
    """The outermost middleware: gives each request its id and log line, and sets the headers of every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.security = SecurityMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id.set(
            given if SANE_REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        )  # Not a secret.
        response = self.get_response(request)

        if "X-Content-Type-Options" not in response:  # Answered by a middleware outside SecurityMiddleware.
            self.security.process_response(request, response)  # type: ignore[arg-type]  # It only sets headers.
        response["X-Request-ID"] = request_id.get()
        if response.get("Content-Type", "").startswith("text/html"):
            response["Content-Security-Policy"] = settings.CONTENT_SECURITY_POLICY
        for cookie in response.cookies.values():  # The service may be mounted below a path.
            cookie["path"] = reverse("index").rstrip("/") + cookie["path"]
        if request.path_info.startswith("/api/"):
            response["Cache-Control"] = "private, no-cache"
            response["Vary"] = "Accept, Authorization, Cookie, Origin"
        if isinstance(response, HttpResponse) and response.status_code not in {204, 304}:
            response["Content-Length"] = str(len(response.content))
            if request.method == "HEAD":
                response.content = b""
        # The query stays out, as it holds search words. The path is quoted, so that none can forge a log line.
        log_request(
            request,
            "%s %s %d %.1fms",
            quote(request.method or "", safe=""),
            quote(request.path_info, safe="/"),
            response.status_code,
            (time.perf_counter() - started) * 1000,
        )
        return response


def log_request(request: HttpRequest, message: str, *values: object) -> None:
    """Log at INFO without the stack walk by which `logger.info` finds its caller, which this log never shows."""
    if logger.isEnabledFor(logging.INFO):
        record = logging.LogRecord(logger.name, logging.INFO, "", 0, message, values, None)
        record.answered = request
        logger.handle(record)


class ProblemMiddleware:
    """Turns what Django would answer by itself into problems: an unknown Host, a large body beside the API, and 405."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in HEALTH_PATHS:
            try:
                request.get_host()
            except DisallowedHost:
                refusals.warning("Host %r is not in DJANGO_ALLOWED_HOSTS", request.META.get("HTTP_HOST", "")[:255])
                return problem_response(request, 400, "bad_request", "This service does not answer to that host name.")
        # Django would write a form's large file to the disk first. The API's parsers refuse it once they know the user.
        if not request.path_info.startswith("/api/") and is_too_large(request):
            return problem_response(request, 413, "payload_too_large", TOO_LARGE)
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed):
            detail = f"{request.method} is not allowed here."
            return problem_response(request, 405, "method_not_allowed", detail, {"Allow": response["Allow"]})
        return response


class CORSMiddleware(CorsMiddleware):
    """Skips API requests without an Origin, whose `Vary` RequestMiddleware sets, and logs refused origins."""

    def __call__(self, request: HttpRequest) -> Any:
        origin = request.META.get("HTTP_ORIGIN")
        if origin is None and request.path_info.startswith("/api/"):
            return self.get_response(request)
        response: Any = super().__call__(request)
        if origin is not None and self.is_enabled(request):
            try:
                allowed = "Access-Control-Allow-Origin" in response or origin.endswith(f"//{request.get_host()}")
            except DisallowedHost:  # This is what the request was refused for, and it is logged.
                return response
            if not allowed:
                refusals.warning("Origin %r is not in CORS_ALLOWED_ORIGINS", origin[:255])
        return response


class AdminMiddleware(SessionMiddleware, AuthenticationMiddleware, MessageMiddleware):
    """Sessions, users, messages and locks for the admin only: an operator's session is not read anywhere else.

    It subclasses Django's three because Django's system checks look for each of them in MIDDLEWARE.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self.admin = SessionMiddleware(AuthenticationMiddleware(MessageMiddleware(AxesMiddleware(get_response))))
        self.path = f"/{settings.ADMIN_PATH}/"
        self.signing_in = threading.Lock()

    def __call__(self, request: HttpRequest) -> Any:
        if not request.path_info.startswith(self.path):
            return self.get_response(request)
        if request.method == "POST" and request.path_info == f"{self.path}login/":
            return self.sign_in(request)
        return self.admin(request)

    def sign_in(self, request: HttpRequest) -> Any:
        """Let this process hash one password at a time: a flood of sign-ins would take all threads from the users."""
        if not self.signing_in.acquire(blocking=False):
            detail = "Somebody else is signing in at this moment. Try again."
            return problem_response(request, 429, "throttled", detail, {"Retry-After": "1"})
        try:
            return self.admin(request)
        finally:
            self.signing_in.release()


class LockoutBackend(AxesStandaloneBackend):  # type: ignore[misc]  # django-axes has no types.
    """Refuses locked sign-ins. A program may sign in without a request, and then there is no address to lock."""

    def authenticate(self, request: HttpRequest | None, *args: Any, **credentials: Any) -> None:
        if request is not None:
            super().authenticate(request, *args, **credentials)


class LockoutHandler(AxesDatabaseHandler):  # type: ignore[misc]
    """Counts failed sign-ins and keeps none of their other fields: a password in one of them, a title in an address."""

    def user_login_failed(self, sender: Any, credentials: Any, request: Any = None, **kwargs: Any) -> None:
        if request is None:
            return
        sent = request.GET, request.POST
        request.GET = request.POST = QueryDict()
        try:
            super().user_login_failed(sender, credentials, request, **kwargs)
        finally:
            request.GET, request.POST = sent


def operator_name(request: HttpRequest, credentials: dict[str, str]) -> str:
    """Return the name of a sign-in for django-axes, cut to the length that an operator's name can have."""
    return credentials["username"][:150]


def operator_address(request: HttpRequest) -> str:
    """Return the client's address for django-axes, whose unique constraint would not hold for NULL."""
    return client_address(request) or "0.0.0.0"  # noqa: S104  # Stands for no address.


def client_address(request: HttpRequest) -> str | None:
    """Return the address that the outermost of TRUSTED_PROXIES saw, or else the one that connected to this process.

    A client can write anything into X-Forwarded-For, but each proxy appends the address that it saw. Of an IPv6 address
    the /64 network is returned, since a client usually has all of it. None if there is no address, as on a Unix socket.
    """
    seen = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    trusted = settings.TRUSTED_PROXIES
    address = parse_address(seen[-trusted]) if 0 < trusted <= len(seen) else None
    address = address or parse_address(request.META.get("REMOTE_ADDR", ""))
    if address is None:
        return None
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False).network_address)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in an item of X-Forwarded-For, where some proxies add a port; None if there is none in it."""
    text = text.strip()
    if with_port := re.fullmatch(r"([0-9.]+):\d+|\[([0-9A-Fa-f:.]+)\](?::\d+)?", text):
        text = with_port[1] or with_port[2]
    try:
        return ip_address(text)
    except ValueError:
        return None
