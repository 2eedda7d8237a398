"""Layer 1 of isolation: the path."""

from typing import TYPE_CHECKING, Protocol

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # DRF's views import this module, by the settings.
    from rest_framework.views import APIView


class Owner(Protocol):
    """Who is asking: the subject of a verified token."""

    subject: str


class OwnerRequest(Request):
    """A request that IsPathOwner has let through."""

    user: Owner  # type: ignore[assignment]  # The stubs know Django's user alone.


class IsPathOwner(BasePermission):
    """The `{user_id}` of the path is the subject of the caller's token. Anonymous callers are refused."""

    message = "This path belongs to another user."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        # Compared as they are, without str(): a Django user with primary key 1 is not the user "1".
        subject = getattr(request.user, "subject", None)
        return subject is not None and view.kwargs.get("user_id") == subject
