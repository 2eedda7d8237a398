"""Answers: JSON for programs, pages for people."""

from collections.abc import Mapping
from typing import Any

import orjson
from django.template import loader
from rest_framework import renderers
from rest_framework.utils.serializer_helpers import ReturnDict


class JSONRenderer(renderers.BaseRenderer):
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

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context = super().get_context(data, accepted_media_type, renderer_context)
        link = renderer_context["response"].get("Link", "")
        context["next_page"] = link[1 : link.index(">")] if link else None
        if isinstance(data, dict) and "completed" in data and renderer_context["view"].action != "complete":
            context["complete_path"] = f"{renderer_context['request'].path}/complete"
        return context
