"""Answers: JSON for programs, or a page for who asks for one."""

from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class JSONRenderer(BaseRenderer):
    """Compact UTF-8 JSON; indented inside a page."""

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


class Negotiation(DefaultContentNegotiation):
    """DRF's negotiation, which the usual Accept of a program need not go through."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        if (request.META.get("HTTP_ACCEPT") or "*/*") in {"*/*", JSONRenderer.media_type}:
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)
