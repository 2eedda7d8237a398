"""Liveness and readiness probes. Both answer under any host name."""

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from todo_project.database import is_migrated, report_unavailable
from todo_project.problems import RETRY_AFTER_SECONDS, problem_response


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while the process runs. The database is not asked, so that probes do not keep Neon awake."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if the database answers and is migrated to this code, else 503."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if is_migrated():
            return JsonResponse({"status": "ok"})
        detail = "The database is not migrated."
    except Error as error:
        if not report_unavailable(error):
            raise
        detail = "The database is out of reach."
    return problem_response(request, 503, "service_unavailable", detail, {"Retry-After": str(RETRY_AFTER_SECONDS)})
