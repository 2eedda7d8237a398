"""The pages beside the API: the index, sign-in and sign-out."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from rest_framework.exceptions import AuthenticationFailed

from todo_project.authentication import MAX_COOKIE_TOKEN, SIGN_IN_COOKIE, cookie_token, set_sign_in_cookie, verify
from todo_project.environment import BASE_DIR, better_auth_endpoint, origin
from todo_project.problems import RETRY_AFTER_SECONDS, Problem, wants_html


def signed_in_claims(request: HttpRequest) -> Mapping[str, Any] | None:
    """Return the claims of the sign-in cookie's token; None if there is none or it cannot be verified."""
    raw = cookie_token(request)
    try:
        return verify(raw) if raw else None
    except (AuthenticationFailed, Problem):
        return None


def tasks_path(subject: str) -> str:
    return reverse("task-list", args=[subject])


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """List the service's addresses, as a page for people and as JSON for programs."""
    links = {
        "tasks": f"{reverse('index')}api/{{user_id}}/tasks",
        "documentation": reverse("docs"),
        "openapi": reverse("openapi"),
        "login": reverse("login"),
        "admin": reverse("admin:index"),
        "health": reverse("healthz"),
        "readiness": reverse("readyz"),
    }
    if not wants_html(request):
        response: HttpResponse = JsonResponse(links)
    else:
        claims = signed_in_claims(request)
        subject = claims["sub"] if claims else None
        tasks = tasks_path(subject) if subject else None
        response = render(request, "index.html", {"subject": subject, "tasks": tasks})
    response["Vary"] = "Accept, Cookie"
    return response


def better_auth_token_page() -> str:
    """Return the address at which Better Auth shows a token to somebody who is signed in to the frontend."""
    return better_auth_endpoint(settings.BETTER_AUTH_URL, "token") or "/api/auth/token"


def issue_token_command() -> str | None:
    """Return the command that prints a token, as it is typed in the project's root; None without a shared secret."""
    if not settings.BETTER_AUTH_SECRETS:
        return None
    # `make run` keeps its interpreter within the project.
    python = Path(sys.executable)
    shown = python.relative_to(BASE_DIR) if python.is_relative_to(BASE_DIR) else "python"
    return f"{shown} manage.py issue_token demo"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Sign in to the browsable API with a token, which is verified like any other."""
    destination = request.POST.get("next") or request.GET.get("next", "")
    error, status = None, 200
    if request.method == "POST":
        raw = request.POST.get("token", "").strip().removeprefix("Bearer ").strip()
        try:
            if len(raw) > MAX_COOKIE_TOKEN:
                raise AuthenticationFailed("This token is too long for a browser's cookie.")
            claims = verify(raw.encode("utf-8", "replace"))
            if "renew" in request.POST and (signed_in_claims(request) or {}).get("sub") != claims["sub"]:
                # renew.js asks for a page that was left open, whose person has signed out in another tab since.
                raise AuthenticationFailed("You have signed out.")
        except AuthenticationFailed as failure:
            error, status = str(failure.detail), 401
        except Problem as problem:
            error, status = str(problem.detail), problem.status_code
        else:
            if not url_has_allowed_host_and_scheme(destination, None, require_https=request.is_secure()):
                destination = tasks_path(claims["sub"])
            response: HttpResponse = HttpResponseRedirect(destination)
            set_sign_in_cookie(response, raw, claims)
            return response
    page = {
        "error": error,
        "next": destination,
        "command": issue_token_command(),
        "token_page": better_auth_token_page(),
        "token_url": settings.BETTER_AUTH_TOKEN_URL,
    }
    if settings.BETTER_AUTH_TOKEN_URL:
        page["at"] = origin(settings.BETTER_AUTH_URL)
    response = render(request, "login.html", page, status=status)
    if status == 503:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    elif status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="todo", error="invalid_token"'
    return response


@never_cache
@require_http_methods(["POST"])
def logout(request: HttpRequest) -> HttpResponse:
    """Delete the sign-in cookie."""
    response = HttpResponseRedirect(reverse("index"))
    response.delete_cookie(SIGN_IN_COOKIE, samesite="Lax")
    return response
