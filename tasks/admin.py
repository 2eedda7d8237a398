"""The operators' view of the tasks: the one deliberately unscoped reader."""

import re
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet, TextField
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

from tasks.models import Task, TaskQuerySet
from tasks.search import regex_pattern

COUNT_BOUND = 10_000


class BoundedPaginator(Paginator):
    """Counts to 10,000 and no further: a full count reads the whole table."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Task] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:COUNT_BOUND].count()


class DescriptionField(forms.CharField):
    """A text whose line breaks a browser sends as CRLF: that alone is no change."""

    def to_python(self, value: Any) -> str:
        return re.sub("\r\n?", "\n", super().to_python(value) or "")

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.to_python(initial), data)


@admin.register(Task)
class TaskAdmin(admin.ModelAdmin):
    """Every user's tasks. Filters and the search narrow them; numbers stop at 10,000."""

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
    formfield_overrides = {TextField: {"form_class": DescriptionField, "strip": False}}
    actions = ["complete", "reopen"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = "Tasks of every user: this page is not scoped by owner"
        return super().changelist_view(request, {**(extra_context or {}), "title": title})

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
        # Only what the operator changed is written, so that a user's write since the form was loaded survives.
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
