"""The three paths of the six endpoints, listed one by one because a router would add others."""

from django.urls import path, register_converter

from tasks.views import TaskViewSet


class TaskIDConverter:
    """An id as the API writes it: decimal, without leading zeros, at most 64 bits."""

    regex = "0|[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        if int(value) >= 2**63:
            raise ValueError(value)  # To Django this means that the URL does not match.
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(TaskIDConverter, "task_id")

task_list = TaskViewSet.as_view({"get": "list", "post": "create"})
task_detail = TaskViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})
task_complete = TaskViewSet.as_view({"patch": "complete"})

urlpatterns = [
    path("api/<str:user_id>/tasks", task_list, name="task-list"),
    path("api/<str:user_id>/tasks/<task_id:task_id>", task_detail, name="task-detail"),
    path("api/<str:user_id>/tasks/<task_id:task_id>/complete", task_complete, name="task-complete"),
]
