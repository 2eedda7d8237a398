"""Answers: JSON for programs, pages for people."""

from collections.abc import Mapping
from typing import Any

import orjson
from django.template import loader
from django.utils.encoding import escape_uri_path
from rest_framework import renderers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.utils.serializer_helpers import ReturnDict


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


class PageRenderer(renderers.BrowsableAPIRenderer):
    """The browsable API: its forms are filled from the task shown, its list can be filtered and turned over."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> str:
        assert renderer_context is not None
        view = renderer_context["view"]
        if isinstance(data, dict) and "id" in data and hasattr(view, "get_serializer"):
            data = ReturnDict(data, serializer=view.get_serializer(instance=data))
        return super().render(data, accepted_media_type, renderer_context)

    def get_filter_form(self, data: Any, view: Any, request: Any) -> str | None:
        if not isinstance(data, list):
            return None
        form = loader.render_to_string(view.filter_template_name, {"groups": view.filter_links(), "request": request})
        return loader.render_to_string(self.filter_template, {"elements": [form]})

    def get_breadcrumbs(self, request: Any) -> list[tuple[str, str]]:
        """The list, then what of it is shown; DRF would call each of them by the view's one name."""
        words = request.path.split("/")
        names = {3: words[3].capitalize(), 4: f"Task {''.join(words[4:5])}", 5: "".join(words[5:6]).capitalize()}
        return [(names[n], escape_uri_path("/".join(words[: n + 1]))) for n in range(3, len(words))]

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context = super().get_context(data, accepted_media_type, renderer_context)
        path = escape_uri_path(renderer_context["request"].path)
        context["name"] = context["breadcrumblist"][-1][0]
        if isinstance(data, list):
            context["tasks"] = [(f"{path}/{task['id']}", task) for task in data]
        link = renderer_context["response"].get("Link", "")
        context["next_page"] = link[1 : link.index(">")] if link else None
        if isinstance(data, dict) and "completed" in data and renderer_context["view"].action != "complete":
            context["complete_path"] = f"{path}/complete"
        return context
