"""The project's URLs, and a view that authenticates, permits and answers nothing."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from todo_project.urls import *  # noqa: F403
from todo_project.urls import urlpatterns as project_urlpatterns


class NoOp(APIView):
    """The project's own authentication and permission, and no query."""

    def get(self, request: Request, user_id: str) -> Response:
        return Response({})


urlpatterns = [path("api/<str:user_id>/noop", NoOp.as_view()), *project_urlpatterns]
