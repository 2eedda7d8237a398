"""The tasks in a browser: DRF's browsable API, with templates/tasks/ and static/tasks/."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.http import QueryDict
from django.template import loader
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from rest_framework.exceptions import APIException
from rest_framework.renderers import BrowsableAPIRenderer, HTMLFormRenderer
from rest_framework.utils.serializer_helpers import BoundField, ReturnDict

from tasks import statements
from tasks.conditions import etag
from tasks.idempotency import sent_key
from tasks.statements import TaskRow

# The default `limit` of a list in a browser. Programs get MAX_LIMIT, because they may not follow `Link`.
PAGE_LIMIT = 50
# A form has a hidden copy of each field, whose name begins with this prefix. A browser changes line breaks in both in
# the same way, so a field differs from its copy only if the user edited it.
SHOWN_PREFIX = "shown."
# Tells the page after a redirect what was done to which task: "completed.7".
DONE_COOKIE = "todo_done"
DONE = {
    "create": "The task was created.",
    "update": "The task was saved.",
    "destroy": "The task was deleted.",
    "completed": "The task is completed.",
    "reopened": "The task is open again.",
}
COMPLETED_LABELS = {None: "All", "false": "Open", "true": "Completed"}
ORDERING_LABELS = {
    "-created_at": "newest first",
    "created_at": "oldest first",
    "-updated_at": "recently changed first",
    "updated_at": "longest unchanged first",
    "title": "title, A to Z",
    "-title": "title, Z to A",
}
LAST_DAY = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())  # A token's `exp` may be later than any datetime.


def with_line_feeds(form: QueryDict) -> QueryDict:
    """Return the form with LF line breaks, because a browser sends each line break as CRLF."""
    typed = QueryDict(mutable=True)
    for name, values in form.lists():
        typed.setlist(name, [value.replace("\r\n", "\n") if isinstance(value, str) else value for value in values])
    return typed


def edited(form: QueryDict, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the user edited. Values that came back unchanged must not be written."""
    return {name: value for name, value in values.items() if form.getlist(name) != form.getlist(SHOWN_PREFIX + name)}


class PageRenderer(BrowsableAPIRenderer):
    """The browsable API, with forms that carry the state that they were made from, and with filters for lists."""

    template = "tasks/api.html"

    task: TaskRow | None = None  # The page's task as it is stored.
    shown: Mapping[str, Any] | None = None  # The task as the page shows it, or showed it when the form was filled in.
    conflicts: Sequence[tuple[str, Any, Any]] = ()  # Label, stored value, sent value.
    tasks: Sequence[TaskRow] | None = None  # The list that the page shows.
    link: str = ""  # The list's `Link` header.

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> str:
        assert renderer_context is not None
        view, request, response = (renderer_context[name] for name in ("view", "request", "response"))
        writes = view.action in {"create", "update", "destroy", "complete"}
        if writes and not response.exception and "HTTP_AUTHORIZATION" not in request.META:
            return self.see_other(data, view, request, response)
        if isinstance(data, dict) and "updated_at" in data:
            self.task = self.shown = data
            data = ReturnDict(data, serializer=view.get_serializer(instance=data))
        elif writes and response.exception:
            data = self.refused(data, view, request, response)
        return super().render(data, accepted_media_type, renderer_context)

    def see_other(self, data: Any, view: Any, request: Any, response: Any) -> str:
        """Redirect, so that reloading the page does not write again."""
        done = view.action
        if done == "complete":
            done = "completed" if data["completed"] else "reopened"
        response["Location"] = self.redirect_path(view, request)
        del response["Content-Location"]
        response.status_code = 303
        response.set_cookie(
            DONE_COOKIE,
            f"{done}.{view.kwargs.get('task_id') or data['id']}",
            max_age=60,
            httponly=True,
            samesite="Lax",
            secure=settings.HTTPS,
        )
        return ""

    def redirect_path(self, view: Any, request: Any) -> str:
        """Return the address to which a write redirects: the list after a create or a delete, else the task.

        A task that was completed from a list leads back to that list, whose query is in the parameter `list`.
        """
        tasks, task_id = reverse("task-list", args=[view.kwargs["user_id"]]), view.kwargs.get("task_id")
        query = request.query_params.get("list")
        if query is not None and view.action == "complete":
            return f"{tasks}?{quote(query, safe='=&%+')}" if query else tasks
        if task_id is None or view.action == "destroy":
            return tasks
        return reverse("task-detail", args=[view.kwargs["user_id"], task_id])

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
            if response.status_code == 422:
                with suppress(APIException):  # The address may have a query that is invalid for a list.
                    listed = view.list(request, **view.kwargs)
                    self.tasks, self.link = listed.data, listed.get("Link", "")
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
        """Return a serializer of the stored task with the sent values in it, and record the conflicts."""
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
        """Render the filters of a list. If its query was refused, the filters let the user correct it."""
        if self.tasks is None and not (view.action == "list" and data["status"] == 422):
            return None
        query = request.query_params
        choices: dict[str, Mapping[Any, str]] = {"completed": COMPLETED_LABELS, "ordering": ORDERING_LABELS}
        chosen = {"completed": query.get("completed"), "ordering": query.get("ordering", "-created_at")}
        links = {
            name: [(label, _query_with(query, name, value), chosen[name] == value) for value, label in labels.items()]
            for name, labels in choices.items()
        }
        context = {**links, "without_search": _query_with(query, "search", None), "request": request}
        return loader.render_to_string("tasks/filters.html", context)

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        view, request, response = (renderer_context[name] for name in ("view", "request", "response"))
        if isinstance(data, list):
            self.tasks, self.link = data, response.get("Link", "")
        context = super().get_context(data, accepted_media_type, renderer_context)
        query, owner = request.query_params, getattr(request.user, "subject", None)
        context["own_tasks"] = own_tasks = owner and reverse("task-list", args=[owner])
        back = request.get_full_path() if request.method == "GET" else self.redirect_path(view, request)
        context["sign_in"] = f"{reverse('login')}?{urlencode({'next': back})}"
        if owner:
            context["until"] = datetime.fromtimestamp(min(request.auth["exp"], LAST_DAY), UTC)
        context["tasks"], context["page_limit"] = None, PAGE_LIMIT
        if self.tasks is not None:
            context["name"] = "Your tasks"
            context["tasks"] = [self.get_row(task, query, view) for task in self.tasks]
            context["next_page"] = self.link[1 : self.link.index(">")] if self.link else None
            context["first_page"] = _query_with(query, "cursor", None) if "cursor" in query else None
            context["without_search"] = _query_with(query, "search", None)
        if self.task is not None:
            context["name"], context["task"], context["tag"] = self.task["title"], self.task, etag(self.task)
            context["complete_path"] = reverse("task-complete", args=[owner, self.task["id"]])
            context |= {name: datetime.fromisoformat(self.task[name]) for name in ("created_at", "updated_at")}
        if response.exception:
            context["problem"], context["conflicts"] = data, self.conflicts
            context["links"] = self.get_links(context, view, request, response)
        context["form"] = self.get_form(context, request, response)
        context["can_delete"] = context["delete_form"] and self.task is not None
        done, _, task_id = request.COOKIES.get(DONE_COOKIE, "").partition(".")
        if request.method == "GET" and done in DONE and task_id.isdecimal():
            context["done"] = DONE[done]
            if self.task is None and done != "destroy":
                context["done_path"] = f"{own_tasks}/{task_id}"
            response.delete_cookie(DONE_COOKIE, samesite="Lax")
        return context

    def get_row(self, task: TaskRow, query: QueryDict, view: Any) -> tuple[TaskRow, str, str, datetime]:
        """Return a task, its path, the path that completes it, and the time by which the list is ordered."""
        place = [view.kwargs["user_id"], task["id"]]
        complete = f"{reverse('task-complete', args=place)}?{urlencode({'list': query.urlencode()})}"
        at = "updated_at" if "updated_at" in query.get("ordering", "") else "created_at"
        return task, reverse("task-detail", args=place), complete, datetime.fromisoformat(task[at])

    def get_links(self, context: Mapping[str, Any], view: Any, request: Any, response: Any) -> list[tuple[str, str]]:
        """Return the links, as label and address, that a page with an error offers."""
        links = []
        if response.status_code == 401:
            links.append(("Sign in again", context["sign_in"]))
        elif response.status_code in {429, 503} and request.method == "GET":
            links.append(("Try again", request.get_full_path()))
        elif response.status_code == 405 and "task_id" in view.kwargs:
            links.append(("The task", reverse("task-detail", args=[view.kwargs["user_id"], view.kwargs["task_id"]])))
        if context["own_tasks"] and self.task is None and self.tasks is None:
            links.append(("Your tasks", context["own_tasks"]))
        return links

    def get_form(self, context: Mapping[str, Any], request: Any, response: Any) -> dict[str, Any] | None:
        """Return the page's form, as fields and raw data, with the header that protects its write.

        None if nothing can be written: a form that does not show the task would overwrite it unseen.
        """
        for method in ("POST", "PUT", "PATCH"):
            raw = context[f"raw_data_{method.lower()}_form"]
            if not raw or response.status_code in {403, 404} or (method == "PUT" and self.task is None):
                continue
            header, value = None, None
            if method == "POST":
                header, value = "Idempotency-Key", self.get_key(context, request)
            elif method == "PUT":
                # A refused form keeps the entity tag of the page on which it was filled in.
                header = "If-Match"
                value = request.META.get("HTTP_IF_MATCH") if response.status_code == 422 else context["tag"]
            fields = context.get(f"{method.lower()}_form")
            content = raw["_content"].value()
            return {"method": method, "fields": fields, "raw": content, "header": header, "value": value}
        return None

    def get_key(self, context: Mapping[str, Any], request: Any) -> str:
        """Return the key that was sent, if the create may have succeeded or may be retried; otherwise a new one."""
        problem = context.get("problem")
        if problem and problem["code"] not in {"idempotency_key_reused", "invalid_idempotency_key"}:
            with suppress(APIException):
                if key := sent_key(request):
                    return key
        return secrets.token_urlsafe(16)


def _query_with(query: QueryDict, name: str, value: str | None) -> str:
    """Return the query string, with its `?`, of the first page with this value; None removes the parameter."""
    changed = query.copy()
    for old in (name, "cursor"):
        changed.pop(old, None)
    if value is not None:
        changed[name] = value
    return f"?{changed.urlencode()}"
