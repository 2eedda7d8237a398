"""What a person sees of tasks in a browser: DRF's browsable API, with templates/tasks/ and static/tasks/."""

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict
from django.template import loader
from django.urls import reverse
from django.utils.encoding import escape_uri_path
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.utils.serializer_helpers import ReturnDict

from tasks.pagination import ORDERINGS

Choice = tuple[str, str, bool]


class PageRenderer(BrowsableAPIRenderer):
    """The browsable API: its forms are filled from the task shown, its list can be filtered and turned over."""

    template = "tasks/api.html"

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
        form = loader.render_to_string(
            "tasks/filters.html", {"groups": _filter_links(request.query_params), "request": request}
        )
        return loader.render_to_string(self.filter_template, {"elements": [form]})

    def get_breadcrumbs(self, request: Any) -> list[tuple[str, str]]:
        """The list, then what of it is shown; DRF would call each of them by the view's one name."""
        words, below = request.path_info.split("/"), reverse("index").rstrip("/")
        names = {3: words[3].capitalize(), 4: f"Task {''.join(words[4:5])}", 5: "".join(words[5:6]).capitalize()}
        return [(names[n], below + escape_uri_path("/".join(words[: n + 1]))) for n in range(3, len(words))]

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


def _filter_links(query: QueryDict) -> list[tuple[str, list[Choice]]]:
    """For each filter its choices: a label, the query that chooses it, and whether it is chosen now."""
    choices: dict[str, list[tuple[str, str | None]]] = {
        "completed": [("all", None), ("open", "false"), ("completed", "true")],
        "ordering": [(ordering, ordering) for ordering in ORDERINGS],
    }
    filters: list[tuple[str, list[Choice]]] = []
    for name, options in choices.items():
        links = []
        for label, value in options:
            changed = query.copy()
            changed.pop("cursor", None)
            changed.pop(name, None)
            if value is not None:
                changed[name] = value
            links.append((label, changed.urlencode(), query.get(name) == value))
        filters.append((name, links))
    return filters
