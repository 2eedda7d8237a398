"""The least that Django with DRF can be: one view that answers nothing."""

from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

settings.configure(
    SECRET_KEY="bare",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
)
application = get_wsgi_application()

from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


class Bare(APIView):
    permission_classes: list[Any] = []

    def get(self, request: Request, **kwargs: Any) -> Response:
        return Response({})


urlpatterns = [path("api/<path:anything>", Bare.as_view())]
