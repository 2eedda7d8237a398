"""Layer 1 of isolation: the path must name the caller."""

from typing import TYPE_CHECKING, Protocol

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # DRF's views import this module through the settings, so a real import would be circular.
    from rest_framework.views import APIView


class Owner(Protocol):
    """The authenticated caller, identified by a verified token's subject."""

    subject: str


class OwnerRequest(Request):
    """A request that IsPathOwner has let through."""

    user: Owner  # type: ignore[assignment]  # The stubs only know Django's user.


class IsPathOwner(BasePermission):
    """Allows only callers whose token's subject is the path's `{user_id}`; anonymous callers are refused."""

    message = "This path belongs to another user."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        # Compared without str(): a Django user with primary key 1 is not the user "1".
        subject = getattr(request.user, "subject", None)
        return subject is not None and view.kwargs.get("user_id") == subject
