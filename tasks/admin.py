"""The operators' admin for tasks. It deliberately shows every user's tasks; nothing else does."""

import json
import re
from collections.abc import Callable
from itertools import chain
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.contenttypes.models import ContentType
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import connection, transaction
from django.db.models import CharField, Count, F, Max, Min, Q, QuerySet, TextField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.defaultfilters import linebreaksbr, pluralize
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.http import urlencode

from tasks import data
from tasks.models import Task, TaskQuerySet
from tasks.search import regex_pattern

COUNT_BOUND = 10_000
BATCH_SIZE = 500  # Rows per transaction. A small number, so that users' own writes do not wait long for the locks.
MAX_NAMED_TASKS = 10  # How many tasks a confirmation page names.
SELECTION = ("action", "select_across", ACTION_CHECKBOX_NAME)  # The fields in which the list sends an action.


class BoundedCount(int):
    """A count that stopped at its bound, shown as 10000+."""

    def __str__(self) -> str:
        return f"{int(self)}+"


class BoundedPaginator(Paginator):
    """Counts no further than COUNT_BOUND: a full count would read the whole table."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Task] = self.object_list  # type: ignore[assignment]  # Django's paginator takes lists too.
        counted = rows.order_by()[: COUNT_BOUND + 1].count()
        return counted if counted <= COUNT_BOUND else BoundedCount(COUNT_BOUND)


class LineField(forms.CharField):
    """A single-line text. Browsers drop the line breaks of a stored one, which alone must not count as a change."""

    def to_python(self, value: Any) -> str:
        return re.sub("[\r\n]", "", super().to_python(value) or "")


class LinesField(forms.CharField):
    """A multi-line text. Browsers send each line break as CRLF, which alone must not count as a change."""

    def to_python(self, value: Any) -> str:
        return re.sub("\r\n?", "\n", super().to_python(value) or "")


class ShownInput(forms.HiddenInput):
    """A hidden copy of the value that a form showed, as JSON, so that browsers do not change its line breaks."""

    def format_value(self, value: Any) -> str:
        return json.dumps(value)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        try:
            return json.loads(data.get(name, "null"))
        except (ValueError, RecursionError):
            return None


class TaskForm(forms.ModelForm):
    """Saves only fields that the operator changed, and refuses those that a user has changed in the meantime."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            return
        for field in self.fields.values():
            field.show_hidden_initial, field.hidden_widget = True, ShownInput
            # When the operator goes back to the page, the browser must not restore old input beside the current values.
            field.widget.attrs["autocomplete"] = "off"

    def clean(self) -> None:
        super().clean()
        for name in list(self.changed_data) if self.instance.pk else []:
            now, shown = self.initial[name], self.add_initial_prefix(name)
            if self.cleaned_data.get(name) == now:
                self.changed_data.remove(name)  # A user made the same change.
            elif ShownInput().value_from_datadict(self.data, self.files, shown) != now:
                message = "This was changed in the meantime. It is now:<br>{}<br>Save again to replace that."
                self.add_error(name, format_html(message, linebreaksbr(now or "(empty)", autoescape=True)))
                self.data = dict(self.data.items()) | {shown: json.dumps(now)}


class UserFilter(admin.SimpleListFilter):
    """One user's tasks, by the whole user id. It is shown only while it is used: there may be very many users."""

    title = "user"
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value)] if (value := self.used_parameters.get("user")) else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        return queryset.filter(user_id=self.value())


@admin.register(Task)
class TaskAdmin(admin.ModelAdmin):
    """The tasks of every user, with filters and a search; counts stop at COUNT_BOUND."""

    form = TaskForm
    list_display = ["id", "title", "user", "completed", "created_at", "updated_at"]
    list_display_links = ["title"]
    list_filter = ["completed", UserFilter]
    search_fields = ["user_id", "title"]  # get_search_results implements this search.
    search_help_text = "A whole user id; or else the beginning of a user id or a part of a title, in either case"
    ordering = ["-id"]
    sortable_by = ()
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    readonly_fields = ["created_at", "updated_at"]
    formfield_overrides = {
        CharField: {"form_class": LineField},
        TextField: {"form_class": LinesField, "strip": False},
    }
    actions = ["complete", "reopen", "delete_selected"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = "Tasks of every user: this page is not scoped by owner"
        context = {**(extra_context or {}), "title": title, "user_id": request.GET.get(UserFilter.parameter_name)}
        return super().changelist_view(request, context)

    @admin.display(description="User id")
    def user(self, task: Task) -> str:
        return format_html('<a href="?{}">{}</a>', urlencode({UserFilter.parameter_name: task.user_id}), task.user_id)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        user = path("user/", view(self.user_view), name="tasks_task_user")
        export = path("user/export/", view(self.export_view), name="tasks_task_user_export")
        return [user, export, *super().get_urls()]

    def user_view(self, request: HttpRequest) -> HttpResponse:
        """Show how many tasks a user has, and their dates; erase them if the operator has typed the user's id."""
        may_erase = self.has_delete_permission(request)
        if not self.has_view_permission(request) or (request.method == "POST" and not may_erase):
            raise PermissionDenied
        user_id = request.GET.get("user", "")
        found = Task.objects.filter(user_id=user_id).aggregate(
            tasks=Count("pk"),
            completed=Count("pk", filter=Q(completed=True)),
            since=Min("created_at"),
            latest=Max("updated_at"),
        )
        few = found["tasks"] <= COUNT_BOUND  # Erasing more would take too long for one request.
        if request.method == "POST" and few:
            if request.POST.get("user_id") == user_id:
                return self._erase(request, user_id)
            self.message_user(request, "Nothing was erased: the id that was typed is another one.", messages.ERROR)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "user_id": user_id, "found": found}
        context |= {"title": f"User {user_id}", "may_erase": may_erase, "few": few}
        return TemplateResponse(request, "admin/tasks/task/user.html", context)

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """Send the same lines as the command `export_user` writes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        lines = data.export_lines(request.GET.get("user", ""))
        first = next(lines)  # Read before the answer begins, so that an error is still told by its status.
        self._log(request, "A user's tasks exported.", CHANGE)
        headers = {"Content-Disposition": 'attachment; filename="tasks.jsonl"'}
        return StreamingHttpResponse(chain([first], lines), content_type="application/jsonl", headers=headers)

    def _erase(self, request: HttpRequest, user_id: str) -> HttpResponse:
        tasks, _, gone = data.erase(user_id)
        said = f"{tasks} task{pluralize(tasks)} erased."
        self._log(request, said, DELETION)  # Without the user's id, which must not be kept either.
        if not gone:
            said = f"{said[:-1]}, {data.STILL_READ} Then run manage.py erase_user for this user."
        self.message_user(request, said, messages.SUCCESS if gone else messages.WARNING)
        return HttpResponseRedirect(reverse("admin:tasks_task_changelist"))

    def _log(self, request: HttpRequest, said: str, flag: int) -> None:
        """Write an entry of the admin's log that names no task."""
        LogEntry.objects.create(
            user_id=request.user.pk,  # type: ignore[misc]  # The admin only shows pages to users who are signed in.
            content_type=ContentType.objects.get_for_model(Task),
            object_repr=said,
            action_flag=flag,
        )

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        task = self.get_object(request, unquote(object_id))
        if task is None or not self.has_delete_permission(request, task):
            return super().delete_view(request, object_id, extra_context)  # It answers with the reason.
        response = self.delete_selected(request, Task.objects.filter(pk=task.pk))
        return response or self.response_post_save_change(request, task)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Task | None:
        task = super().get_object(request, object_id, from_field)
        if task is not None and connection.in_atomic_block:
            # A form is about to be checked and saved, so the row is locked in the meantime.
            return Task.objects.select_for_update().filter(user_id=task.user_id, pk=task.pk).first()
        return task

    def get_readonly_fields(self, request: HttpRequest, obj: Task | None = None) -> list[str]:
        # A task never changes its owner.
        return ["user_id", *self.readonly_fields] if obj else list(self.readonly_fields)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Task], search_term: str
    ) -> tuple[QuerySet[Task], bool]:
        # A user's tasks are found by the index. Only a term that is no user id is searched for in the whole table.
        term = search_term.strip()
        if not term:
            return queryset, False
        by_user = queryset.filter(user_id=term)
        if by_user.exists():
            return by_user, False
        pattern = regex_pattern(term)
        matching = queryset.filter(Q(title__regex=pattern) | Q(user_id__regex=f"^{pattern}"))
        if request.method == "GET":
            # If few tasks match, the search reads the whole table. Do it once, not again for count and page.
            found = list(matching.order_by().values_list("pk", flat=True)[: COUNT_BOUND + 1])
            if len(found) <= COUNT_BOUND:
                return queryset.filter(pk__in=found), False
        return matching, False

    def save_model(self, request: HttpRequest, obj: Task, form: forms.ModelForm, change: bool) -> None:
        if change and not form.changed_data:
            return  # Nothing changed, so the entity tag must not change.
        obj.save(update_fields=form.changed_data if change else None)

    @admin.action(description="Complete the selected tasks", permissions=["change"])
    def complete(self, request: HttpRequest, queryset: QuerySet[Task]) -> HttpResponse | None:
        open_tasks = queryset.filter(completed=False)
        return self._write(request, open_tasks, "completed", lambda tasks: tasks.update(completed=True))

    @admin.action(description="Reopen the selected tasks", permissions=["change"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[Task]) -> HttpResponse | None:
        completed_tasks = queryset.filter(completed=True)
        return self._write(request, completed_tasks, "reopened", lambda tasks: tasks.update(completed=False))

    @admin.action(description="Delete the selected tasks", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> HttpResponse | None:
        return self._write(request, queryset, "deleted", lambda tasks: tasks.delete())

    def _write(
        self, request: HttpRequest, tasks: QuerySet[Task], done: str, write: Callable[[TaskQuerySet], object]
    ) -> HttpResponse | None:
        """Write these tasks in batches with log entries; deletes and writes across pages ask for confirmation first.

        The confirmation carries the number of tasks that the page showed and the latest time at which one of them was
        written. No more tasks than that are written, and none that has changed since. It is signed together with the
        query, because the same search term may later find other tasks: once no user has this id, it is searched for in
        titles.
        """
        salt = f"{done} {tasks.query}"
        try:
            count, last_write = signing.loads(request.POST.get("asked", ""), salt=salt)
            tasks = tasks.filter(updated_at__lte=last_write)
        except signing.BadSignature:
            found = tasks.aggregate(count=Count("pk"), last_write=Max("updated_at"))
            count = found["count"]
            if count and (done == "deleted" or request.POST.get("select_across", "0") != "0"):
                context = {
                    **self.admin_site.each_context(request),
                    "title": "Are you sure?",
                    "opts": self.opts,
                    "media": self.media,
                    "preserved_filters": self.get_preserved_filters(request),
                    "question": f"{count} task{pluralize(count)} will be {done}.",
                    "tasks": tasks[:MAX_NAMED_TASKS],
                    "more": count - MAX_NAMED_TASKS,
                    "asked": signing.dumps([count, found["last_write"].isoformat()], salt=salt),
                    "sent": [(name, value) for name in SELECTION for value in request.POST.getlist(name)],
                }
                return TemplateResponse(request, "admin/tasks/task/question.html", context)

        written = last = 0
        while written < count:
            following = tasks.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)
            ids = list(following[: min(BATCH_SIZE, count - written)])
            if not ids:
                break
            with transaction.atomic():
                unchanged = tasks.filter(pk__in=ids)
                # Locks them as FOR UPDATE does, which Citus refuses where they are on several nodes.
                unchanged.update(updated_at=F("updated_at"))
                batch = list(unchanged.order_by("pk").only("pk"))
                LogEntry.objects.log_actions(
                    request.user.pk,  # type: ignore[arg-type]  # The admin only runs actions for users who are signed in.
                    batch,
                    DELETION if done == "deleted" else CHANGE,
                    "" if done == "deleted" else [{"changed": {"fields": ["Completed"]}}],
                )
                write(Task.objects.filter(pk__in=[task.pk for task in batch]))
            written, last = written + len(batch), ids[-1]
        said = f"{written} task{pluralize(written)} {done}."
        if written > 1:
            # One entry for the whole action, besides the entries for each task.
            self._log(request, said, DELETION if done == "deleted" else CHANGE)
        if left := count - written:
            said += f" {left} changed or gone in the meantime, and left alone."
        self.message_user(request, said, messages.SUCCESS)
        return None
