"""Plain Django REST Framework: a ModelViewSet and a ModelSerializer."""

from typing import Any

import jwt
from django.db.models import QuerySet
from django.urls import include, path
from django_base.models import Task
from django_base.tokens import subject_of
from rest_framework import authentication, exceptions, permissions, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter


class Subject:
    """Who the token speaks for."""

    is_authenticated = True

    def __init__(self, sub: str) -> None:
        self.sub = sub


class TokenAuthentication(authentication.BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Subject, str] | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            return Subject(subject_of(token)), token
        except jwt.PyJWTError as error:
            raise exceptions.AuthenticationFailed("Invalid token") from error

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class IsPathOwner(permissions.IsAuthenticated):
    def has_permission(self, request: Request, view: Any) -> bool:
        return super().has_permission(request, view) and request.user.sub == view.kwargs["user_id"]


class ListParameters(serializers.Serializer):
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=100)


class TaskSerializer(serializers.ModelSerializer):
    class Meta:
        model = Task
        fields = ["id", "title", "description", "completed", "user_id", "created_at", "updated_at"]
        read_only_fields = ["user_id"]


class TaskViewSet(viewsets.ModelViewSet):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsPathOwner]
    serializer_class = TaskSerializer

    def get_queryset(self) -> QuerySet[Task]:
        return Task.objects.filter(user_id=self.request.user.sub)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        parameters = ListParameters(data=request.query_params)
        parameters.is_valid(raise_exception=True)
        tasks = self.get_queryset()[: parameters.validated_data["limit"]]
        return Response(self.get_serializer(tasks, many=True).data)

    def perform_create(self, serializer: TaskSerializer) -> None:
        serializer.save(user_id=self.request.user.sub)

    @action(detail=True, methods=["patch"])
    def complete(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        task = self.get_object()
        task.completed = not task.completed
        task.save(update_fields=["completed", "updated_at"])
        return Response(self.get_serializer(task).data)


router = SimpleRouter(trailing_slash=False)
router.register("tasks", TaskViewSet, basename="task")
urlpatterns = [path("api/<str:user_id>/", include(router.urls))]
