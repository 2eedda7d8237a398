"""The URLs of the API, the pages, the probes and the admin, and the handlers of errors outside DRF."""

from django.conf import settings
from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

import tasks.urls
from todo_project import health, pages, schema

urlpatterns = [
    *tasks.urls.urlpatterns,
    path("", pages.index, name="index"),
    path("docs", schema.docs, name="docs"),
    path("docs/<slug:slug>", schema.guide, name="guide"),
    path("openapi.json", schema.openapi, name="openapi"),
    path("login", pages.login, name="login"),
    path("logout", pages.logout, name="logout"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path(settings.ADMIN_PATH, RedirectView.as_view(pattern_name="admin:index")),
    path(f"{settings.ADMIN_PATH}/", admin.site.urls),
]

handler400 = "todo_project.problems.bad_request"
handler403 = "todo_project.problems.permission_denied"
handler404 = "todo_project.problems.not_found"
handler500 = "todo_project.problems.server_error"
