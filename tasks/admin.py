"""The operators' view of the tasks: the one deliberately unscoped reader."""

import json
import re
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import CharField, QuerySet, TextField
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import linebreaksbr
from django.utils.functional import cached_property
from django.utils.html import format_html

from tasks.models import Task, TaskQuerySet
from tasks.search import regex_pattern

COUNT_BOUND = 10_000


class BoundedPaginator(Paginator):
    """Counts to 10,000 and no further: a full count reads the whole table."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Task] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:COUNT_BOUND].count()


class LineField(forms.CharField):
    """A text in one line. A browser shows a stored one without its line breaks, and that alone is no change."""

    def to_python(self, value: Any) -> str:
        return re.sub("[\r\n]", "", super().to_python(value) or "")


class LinesField(forms.CharField):
    """A text whose line breaks a browser sends as CRLF, whatever they were: that alone is no change."""

    def to_python(self, value: Any) -> str:
        return re.sub("\r\n?", "\n", super().to_python(value) or "")


class ShownInput(forms.HiddenInput):
    """What a form shows of a field, as JSON: there a browser finds no line break to change."""

    def format_value(self, value: Any) -> str:
        return json.dumps(value)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        try:
            return json.loads(data.get(name, "null"))
        except (ValueError, RecursionError):
            return None


class TaskForm(forms.ModelForm):
    """Tells what the operator changed of what the form showed, and refuses it where a user has changed that since."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            return
        for field in self.fields.values():
            field.show_hidden_initial, field.hidden_widget = True, ShownInput
            # A browser that comes back to the page must not put what was typed beside what is now shown.
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


@admin.register(Task)
class TaskAdmin(admin.ModelAdmin):
    """Every user's tasks. Filters and the search narrow them; numbers stop at 10,000."""

    form = TaskForm
    list_display = ["id", "title", "user_id", "completed", "created_at", "updated_at"]
    list_filter = ["completed"]
    search_fields = ["user_id", "title"]  # get_search_results says how.
    search_help_text = "A whole user id, or a part of a title"
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
    actions = ["complete", "reopen"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = "Tasks of every user: this page is not scoped by owner"
        return super().changelist_view(request, {**(extra_context or {}), "title": title})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Task | None:
        task = super().get_object(request, object_id, from_field)
        if task is not None and connection.in_atomic_block:
            # A form is about to be checked and written: until then nobody else writes the task.
            return Task.objects.select_for_update().filter(pk=task.pk).first()
        return task

    def get_readonly_fields(self, request: HttpRequest, obj: Task | None = None) -> list[str]:
        # A task does not change hands.
        return ["user_id", *self.readonly_fields] if obj else list(self.readonly_fields)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Task], search_term: str
    ) -> tuple[QuerySet[Task], bool]:
        # A user's tasks come straight from the index; only what is no user id is looked for in the titles.
        term = search_term.strip()
        if not term:
            return queryset, False
        by_user = queryset.filter(user_id=term)
        return (by_user if by_user.exists() else queryset.filter(title__regex=regex_pattern(term))), False

    def save_model(self, request: HttpRequest, obj: Task, form: forms.ModelForm, change: bool) -> None:
        if change and not form.changed_data:
            return  # Nothing was written, so no tag moves.
        obj.save(update_fields=form.changed_data if change else None)

    @admin.action(description="Complete the selected tasks", permissions=["change"])
    def complete(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._set_completed(request, queryset, True)

    @admin.action(description="Reopen the selected tasks", permissions=["change"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self._set_completed(request, queryset, False)

    def _set_completed(self, request: HttpRequest, queryset: QuerySet[Task], completed: bool) -> None:
        assert isinstance(queryset, TaskQuerySet)
        changed = queryset.filter(completed=not completed).update(completed=completed)
        self.message_user(request, f"{changed} tasks {'completed' if completed else 'reopened'}.", messages.SUCCESS)
