"""Django Ninja: functions and Pydantic schemas on Django's ORM."""

from datetime import datetime
from typing import Annotated

import jwt
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import path
from django_base.models import Task
from django_base.tokens import subject_of
from ninja import Field, NinjaAPI, Query, Schema
from ninja.errors import HttpError
from ninja.security import HttpBearer


class TokenAuth(HttpBearer):
    """Gives the token's subject, which must be the user in the path."""

    def authenticate(self, request: HttpRequest, token: str) -> str | None:
        try:
            subject = subject_of(token)
        except jwt.PyJWTError:
            return None
        if subject != request.resolver_match.kwargs["user_id"]:
            raise HttpError(403, "Not your tasks")
        return subject


class TaskIn(Schema):
    title: Annotated[str, Field(min_length=1, max_length=200)]
    description: Annotated[str | None, Field(max_length=5000)] = None
    completed: bool = False


class TaskOut(Schema):
    id: int
    title: str
    description: str | None
    completed: bool
    user_id: str
    created_at: datetime
    updated_at: datetime


api = NinjaAPI(auth=TokenAuth(), docs_url=None)


@api.get("/{user_id}/tasks", response=list[TaskOut])
def list_tasks(request: HttpRequest, user_id: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> QuerySet[Task]:
    return Task.objects.filter(user_id=request.auth)[:limit]


@api.post("/{user_id}/tasks", response={201: TaskOut})
def create_task(request: HttpRequest, user_id: str, body: TaskIn) -> tuple[int, Task]:
    return 201, Task.objects.create(user_id=request.auth, **body.dict())


@api.get("/{user_id}/tasks/{int:task_id}", response=TaskOut)
def read_task(request: HttpRequest, user_id: str, task_id: int) -> Task:
    return get_object_or_404(Task, user_id=request.auth, id=task_id)


@api.put("/{user_id}/tasks/{int:task_id}", response=TaskOut)
def update_task(request: HttpRequest, user_id: str, task_id: int, body: TaskIn) -> Task:
    task = get_object_or_404(Task, user_id=request.auth, id=task_id)
    for name, value in body.dict(exclude_unset=True).items():
        setattr(task, name, value)
    task.save()
    return task


@api.delete("/{user_id}/tasks/{int:task_id}", response={204: None})
def delete_task(request: HttpRequest, user_id: str, task_id: int) -> tuple[int, None]:
    get_object_or_404(Task, user_id=request.auth, id=task_id).delete()
    return 204, None


@api.patch("/{user_id}/tasks/{int:task_id}/complete", response=TaskOut)
def complete_task(request: HttpRequest, user_id: str, task_id: int) -> Task:
    task = get_object_or_404(Task, user_id=request.auth, id=task_id)
    task.completed = not task.completed
    task.save(update_fields=["completed", "updated_at"])
    return task


urlpatterns = [path("api/", api.urls)]
