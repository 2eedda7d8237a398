"""Whether the process answers, and whether its database does. Both answer under any host name."""

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from todo_project.problems import RETRY_AFTER_SECONDS, problem_response


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. It asks nothing of the database, so that a probe does not keep Neon awake."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """The database answers too; 503 if it does not."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        detail = "The database is out of reach."
        return problem_response(request, 503, "service_unavailable", detail, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return JsonResponse({"status": "ok"})
