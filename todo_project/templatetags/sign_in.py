"""The template tag with which an open page renews a sign-in by Better Auth's session."""

from typing import Any

from django import template
from django.conf import settings
from django.middleware.csrf import get_token
from django.template import Context

from todo_project.pages import signed_in_claims

register = template.Library()


@register.inclusion_tag("renewal.html", takes_context=True)
def renew_sign_in(context: Context) -> dict[str, Any]:
    """Load the script that renews the sign-in, if BETTER_AUTH_SIGN_IN is true and somebody is signed in."""
    request = context.get("request")
    if not (settings.BETTER_AUTH_TOKEN_URL and request) or (claims := signed_in_claims(request)) is None:
        return {}
    return {"claims": claims, "token_url": settings.BETTER_AUTH_TOKEN_URL, "csrf": get_token(request)}
