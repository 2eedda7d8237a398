"""An optional bound on requests per user (`THROTTLE_RATE`). Each process counts for itself."""

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

if TYPE_CHECKING:  # DRF's views import this module, by the settings.
    from rest_framework.views import APIView


class SubjectThrottle(SimpleRateThrottle):
    """So many requests of one subject in a period; more are 429 with Retry-After."""

    scope = "subject"

    def get_cache_key(self, request: Request, view: "APIView") -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.user.subject}  # type: ignore[union-attr]
