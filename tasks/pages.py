"""The tasks in a browser: DRF's browsable API, with templates/tasks/ and static/tasks/."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.http import QueryDict
from django.template import loader
from django.urls import reverse
from django.utils.encoding import escape_uri_path
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from rest_framework.exceptions import APIException
from rest_framework.renderers import BrowsableAPIRenderer, HTMLFormRenderer
from rest_framework.utils.serializer_helpers import BoundField, ReturnDict

from tasks import statements
from tasks.conditions import etag
from tasks.idempotency import sent_key
from tasks.pagination import ORDERINGS
from tasks.statements import TaskRow

Choice = tuple[str, str, bool]

# A form has a hidden copy of each field, whose name begins with this prefix: whatever a browser changes in a text on
# its way, it changes in both.
SHOWN_PREFIX = "shown."
# Tells the page after a redirect what was done.
DONE_COOKIE = "todo_done"
DONE = {
    "create": "The task was created.",
    "update": "The task was saved.",
    "destroy": "The task was deleted.",
    "completed": "The task is completed.",
    "reopened": "The task is open again.",
}


def with_line_feeds(form: QueryDict) -> QueryDict:
    """Return the form with LF line breaks, as they were typed: a browser sends each one as CRLF."""
    typed = QueryDict(mutable=True)
    for name, values in form.lists():
        typed.setlist(name, [value.replace("\r\n", "\n") if isinstance(value, str) else value for value in values])
    return typed


def edited(form: QueryDict, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a person edited; those that came back as the page showed them must not be written."""
    return {name: value for name, value in values.items() if form.getlist(name) != form.getlist(SHOWN_PREFIX + name)}


class PageRenderer(BrowsableAPIRenderer):
    """The browsable API, with forms that carry the state they were made from and a list with filters and pages."""

    template = "tasks/api.html"

    task: TaskRow | None = None  # The task that the page is about, as it is stored.
    shown: Mapping[str, Any] | None = None  # What the page shows of it, or showed when its form was filled in.
    conflicts: Sequence[tuple[str, Any, Any]] = ()  # Label, what is stored, what was sent.

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> str:
        assert renderer_context is not None
        view, request, response = (renderer_context[name] for name in ("view", "request", "response"))
        writes = view.action in {"create", "update", "destroy", "complete"}
        if writes and not response.exception and "HTTP_AUTHORIZATION" not in request.META:
            return self.see_other(data, view, response)
        if isinstance(data, dict) and "updated_at" in data:
            self.task = self.shown = data
            data = ReturnDict(data, serializer=view.get_serializer(instance=data))
        elif writes and response.exception:
            data = self.refused(data, view, request, response)
        return super().render(data, accepted_media_type, renderer_context)

    def see_other(self, data: Any, view: Any, response: Any) -> str:
        """Redirect to the task, or to the list after a delete, so that reloading the page does not write again."""
        done = view.action
        if done == "complete":
            done = "completed" if data["completed"] else "reopened"
        owner = view.kwargs["user_id"]
        if done == "destroy":
            response["Location"] = reverse("task-list", args=[owner])
        else:
            response["Location"] = reverse("task-detail", args=[owner, view.kwargs.get("task_id") or data["id"]])
        del response["Content-Location"]
        response.status_code = 303
        response.set_cookie(
            DONE_COOKIE,
            done,
            max_age=60,
            httponly=True,
            samesite="Lax",
            secure=settings.HTTPS,
        )
        return ""

    def refused(self, problem: Any, view: Any, request: Any, response: Any) -> Any:
        """Return the problem with a form that holds what was sent, so that it can be corrected."""
        try:
            sent = request.data
        except APIException:
            return problem
        if isinstance(sent, QueryDict):
            sent = with_line_feeds(sent)
        serializer = getattr(problem, "serializer", None)
        if view.action == "create":
            serializer = serializer or view.get_serializer(data=sent)
        elif response.status_code in {412, 422}:
            self.task = statements.read(view.owner, view.kwargs["task_id"])
            if response.status_code == 412 and self.task is not None:
                serializer = self.conflict(self.task, sent, view)
            elif serializer is not None:
                serializer.instance = self.shown = self.task
                if isinstance(sent, QueryDict):
                    self.shown = {name: sent.get(SHOWN_PREFIX + name) for name in serializer.fields}
        return problem if serializer is None else ReturnDict(problem, serializer=serializer)

    def conflict(self, task: TaskRow, sent: Any, view: Any) -> Any:
        """Return a serializer of the stored task with the sent values over it, and note where they conflict."""
        values: dict[str, Any] = {}
        if view.action == "update":
            form = view.get_serializer(data=sent)
            form.is_valid(raise_exception=True)
            values = edited(sent, form.validated_data) if isinstance(sent, QueryDict) else form.validated_data
        self.shown = task
        self.conflicts = [
            (name.capitalize(), task[name], value) for name, value in values.items() if value != task[name]
        ]
        return view.get_serializer(instance={**task, **values})

    def render_form_for_serializer(self, serializer: Any) -> Any:
        """Render the form's fields, with hidden copies of what the page showed."""
        fields = super().render_form_for_serializer(serializer)
        if self.shown is None:
            return fields
        style = {"template_pack": "rest_framework/horizontal"}
        copies = [
            HTMLFormRenderer().render_field(BoundField(field, self.shown.get(name), [], SHOWN_PREFIX), style)
            for name, field in serializer.fields.items()
        ]
        return format_html("{}<div hidden>{}</div>", fields, mark_safe("".join(copies)))  # noqa: S308

    def get_filter_form(self, data: Any, view: Any, request: Any) -> str | None:
        if not isinstance(data, list):
            return None
        form = loader.render_to_string(
            "tasks/filters.html", {"groups": _filter_links(request.query_params), "request": request}
        )
        return loader.render_to_string(self.filter_template, {"elements": [form]})

    def get_breadcrumbs(self, request: Any) -> list[tuple[str, str]]:
        """Return the list and what is shown of it; DRF would give them all the view's name."""
        words, below = request.path_info.split("/"), reverse("index").rstrip("/")
        names = {3: words[3].capitalize(), 4: f"Task {''.join(words[4:5])}", 5: "".join(words[5:6]).capitalize()}
        return [(names[n], below + escape_uri_path("/".join(words[: n + 1]))) for n in range(3, len(words))]

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context = super().get_context(data, accepted_media_type, renderer_context)
        view, request, response = (renderer_context[name] for name in ("view", "request", "response"))
        context["name"] = context["breadcrumblist"][-1][0]
        if isinstance(data, list):
            path = escape_uri_path(request.path)
            context["tasks"] = [(f"{path}/{task['id']}", task) for task in data]
        link = response.get("Link", "")
        context["next_page"] = link[1 : link.index(">")] if link else None
        if self.task is not None:
            context["task"], context["tag"] = self.task, etag(self.task)
            context["complete_path"] = reverse("task-complete", args=[view.kwargs["user_id"], self.task["id"]])
        if response.exception:
            context["problem"], context["conflicts"] = data, self.conflicts
        context["form"] = self.get_form(context, request, response)
        context["can_delete"] = context["delete_form"] and self.task is not None
        # DRF's own forms would write without a condition, so they are left out.
        context["delete_form"] = context["display_edit_forms"] = None
        if request.method == "GET" and request.COOKIES.get(DONE_COOKIE) in DONE:
            context["done"] = DONE[request.COOKIES[DONE_COOKIE]]
            response.delete_cookie(DONE_COOKIE, samesite="Lax")
        return context

    def get_form(self, context: Mapping[str, Any], request: Any, response: Any) -> dict[str, Any] | None:
        """Return the page's form, as fields and raw data, with the header that guards its write.

        None where nothing can be written: a form without the task would overwrite what it never showed.
        """
        for method in ("POST", "PUT", "PATCH"):
            raw = context[f"raw_data_{method.lower()}_form"]
            if not raw or response.status_code in {403, 404} or (method == "PUT" and self.task is None):
                continue
            header, value = None, None
            if method == "POST":
                header, value = "Idempotency-Key", self.get_key(context, request)
            elif method == "PUT":
                # A refused form keeps the tag of the page that it was filled in on.
                header = "If-Match"
                value = request.META.get("HTTP_IF_MATCH") if response.status_code == 422 else context["tag"]
            fields = context.get(f"{method.lower()}_form")
            return {"method": method, "fields": fields, "raw": raw, "header": header, "value": value}
        return None

    def get_key(self, context: Mapping[str, Any], request: Any) -> str:
        """Return the key that was sent if the create may have happened or may be retried, else a new one."""
        problem = context.get("problem")
        if problem and problem["code"] not in {"idempotency_key_reused", "invalid_idempotency_key"}:
            with suppress(APIException):
                if key := sent_key(request):
                    return key
        return secrets.token_urlsafe(16)


def _filter_links(query: QueryDict) -> list[tuple[str, list[Choice]]]:
    """Return each filter with its choices: label, query string, and whether it is chosen now."""
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
