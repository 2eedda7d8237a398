"""Content negotiation between JSON and the pages, and the JSON renderer."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
from rest_framework import response
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class Response(response.Response):
    """DRF's response, whose charset is known: Django would search its Content-Type for one, several times."""

    charset = "utf-8"


class JSONRenderer(BaseRenderer):
    """Renders compact UTF-8 JSON, indented when it is shown inside a page."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if data is None:
            return b""
        indent = orjson.OPT_INDENT_2 if renderer_context and renderer_context.get("indent") else None
        return orjson.dumps(data, default=str, option=indent)


def preferred_media_type(accept: str, media_types: Sequence[str]) -> str | None:
    """Return the media type that an `Accept` prefers (RFC 9110, section 12.5.1), or None if it accepts none of them.

    The most specific range that names a type decides its weight, and 0 refuses it. Of equal weights, the type that
    was named more specifically wins, then the one earlier in `media_types`. A malformed weight counts as not sent, and
    other parameters, such as a charset, are ignored.
    """
    if accept in {"", "*/*", media_types[0]}:
        return media_types[0]
    weights: dict[str, float] = {}
    for item in accept.split(","):
        media_range, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with suppress(ValueError):
                    weight = float(parameter[2:])
        weights[media_range] = max(weights.get(media_range, 0), weight if 0 <= weight <= 1 else 1)
    best: tuple[float, int, str | None] = 0, 0, None
    for media_type in media_types:
        ranges = [media_type, media_type.partition("/")[0] + "/*", "*/*"]
        found = next((place for place, media_range in enumerate(ranges) if media_range in weights), None)
        if found is not None and (weights[ranges[found]], -found) > best[:2]:
            best = weights[ranges[found]], -found, media_type
    return best[2]


class Negotiation(DefaultContentNegotiation):
    """DRF's negotiation with the weights of `Accept`, which DRF does not read."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        if request.META.get("HTTP_ACCEPT", "*/*") == "*/*":
            return renderers[0], renderers[0].media_type  # Most programs send this, so it skips the parsing.
        ours = [renderer.media_type for renderer in renderers]
        media_type = preferred_media_type(request.META.get("HTTP_ACCEPT", ""), ours)
        for renderer in renderers:
            if renderer.media_type == media_type:
                return renderer, media_type
        raise NotAcceptable(available_renderers=renderers)
