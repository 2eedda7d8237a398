"""The operators' site. Invalid input to the admin's pages is refused with 400 or a warning, and never causes a 500."""

import time
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.apps import AdminConfig
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import logout
from django.core.exceptions import BadRequest, ValidationError
from django.db import DataError
from django.db.models import DateTimeField, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from todo_project.problems import problem_response


def locked_out(request: HttpRequest, response: HttpResponse | None, credentials: Any) -> HttpResponse:
    """Return the response to a sign-in that is locked, whether or not its password is right."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    detail = f"Too many failed sign-ins. Try again in {seconds // 60} minutes."
    return problem_response(request, 429, "throttled", detail, {"Retry-After": str(seconds)})


class OperatorsConfig(AdminConfig):
    """Django's admin app, with the site below."""

    default_site = "todo_project.admin.OperatorSite"


class StrictModelAdmin(admin.ModelAdmin):
    """Accepts only input that its pages offer."""

    filter_horizontal = ()  # A plain list has a label for screen readers; Django's pair of lists has none.

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # Django accepts every lookup of every field, but many fail in the database, such as a malformed regular
        # expression, a range without an end, or the year 99999.
        field, _, kind = lookup.rpartition("__")
        offered = [getattr(item, "parameter_name", item) for item in self.get_list_filter(request)]
        if lookup in offered or (field.removesuffix("__id") in offered and kind in {"exact", "isnull"}):
            return super().lookup_allowed(lookup, value, request)
        self.message_user(request, "The list cannot be filtered like that.", messages.WARNING)
        raise IncorrectLookupParameters  # Django then redirects to the unfiltered list.

    def response_action(self, request: HttpRequest, queryset: QuerySet, *args: Any) -> HttpResponse | None:
        try:
            for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.clean(key, None)
        except ValidationError as error:
            raise BadRequest from error
        return super().response_action(request, queryset, *args)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        # Only the service sets times, and Django's two inputs for a time have no labels.
        times = [field.name for field in self.opts.fields if isinstance(field, DateTimeField) and field.editable]
        return [*super().get_readonly_fields(request, obj), *times]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        return super().get_object(request, object_id, from_field or None)


class AccountAdmin(StrictModelAdmin):
    """Accounts and groups, which superusers alone change: whoever sets permissions or passwords has all of them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser and super().has_delete_permission(request, obj)


class OperatorSite(admin.AdminSite):
    """The admin site, whose pages accept only input that they offer."""

    site_header = site_title = "Todo operators"
    enable_nav_sidebar = False  # It would only take space from the columns.
    index_title = "This is the one place that shows every user's tasks"

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether an operator is signed in, and has been for less than SESSION_MOST_SECONDS."""
        if not super().has_permission(request):
            return False
        if time.time() < request.session.setdefault("ends", time.time() + settings.SESSION_MOST_SECONDS):
            return True
        logout(request)
        return False

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        admin_class = admin_class or admin.ModelAdmin
        models: Any = [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        for model in models:
            ours = AccountAdmin if model._meta.app_label == "auth" else StrictModelAdmin
            super().register(model, type(admin_class.__name__, (ours, admin_class), {}), **options)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        def refusing(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                response: HttpResponseBase = view(request, *args, **kwargs)
            except (DataError, OverflowError) as error:  # A NUL, or a number over 64 bits.
                raise BadRequest from error
            return response

        return super().admin_view(refusing, cacheable)
