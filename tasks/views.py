"""The six endpoints: HTTP verbs and status codes, no rules."""

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from tasks import statements
from tasks.pagination import Filters, ListQuery, address, links
from tasks.schema import TaskSchema
from tasks.serializers import CompleteSerializer, TaskInputSerializer
from tasks.statements import TaskRow
from todo_project.metadata import Metadata
from todo_project.parsers import FormParser, JSONParser, MultiPartParser, parsers_for


class TaskViewSet(GenericViewSet):
    """Tasks of the signed-in user. The path's user must be the token's, else the answer is 403."""

    serializer_class = TaskInputSerializer
    schema = TaskSchema()
    metadata_class = Metadata
    parser_classes = [JSONParser, FormParser, MultiPartParser]
    filter_template_name = "tasks/filters.html"

    @property
    def owner(self) -> str:
        """Layer 2 of isolation: whose rows the statements touch. The token's subject, never the path."""
        subject: str = self.request.user.subject  # type: ignore[union-attr]
        return subject

    def filter_links(self) -> Filters:
        """The list's filters and orders as links, for its page."""
        return links(self.request.GET)

    def get_parsers(self) -> list[BaseParser]:
        return parsers_for(getattr(self, "request", None), self.parser_classes)

    def list(self, request: Request, user_id: str) -> Response:
        """The user's tasks, newest first, at most `limit` of them. `Link: <...>; rel="next"` leads to the next page."""
        tasks, link = ListQuery.parse(self.owner, request.query_params).fetch(request)
        return Response(tasks, headers={"Link": link} if link else None)

    def create(self, request: Request, user_id: str) -> Response:
        """Create a task."""
        task = statements.create(self.owner, **self.validated(request))
        location = f"{address(request)}/{task['id']}"
        return Response(task, status=201, headers={"Location": location})

    def retrieve(self, request: Request, user_id: str, task_id: int) -> Response:
        """One task."""
        return Response(found(statements.read(self.owner, task_id)))

    def update(self, request: Request, user_id: str, task_id: int) -> Response:
        """Write a task. A member that is not sent keeps its value; `null` clears the description."""
        values = self.validated(request)
        task = found(statements.update(self.owner, task_id, set_description="description" in values, **values))
        return Response(task, headers={"Content-Location": address(request)})

    def destroy(self, request: Request, user_id: str, task_id: int) -> Response:
        """Delete a task."""
        if not statements.delete(self.owner, task_id):
            raise no_such_task()
        return Response(status=204)

    def complete(self, request: Request, user_id: str, task_id: int) -> Response:
        """Flip `completed`, or set it with `{"completed": true}`, which can be retried."""
        completed = self.validated(request).get("completed")
        return Response(found(statements.complete(self.owner, task_id, completed=completed)))

    def get_serializer_class(self) -> type[TaskInputSerializer] | type[CompleteSerializer]:
        return CompleteSerializer if self.action == "complete" else TaskInputSerializer

    def validated(self, request: Request) -> dict[str, Any]:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        return values


def no_such_task() -> NotFound:
    """The same for a task of somebody else and for one of nobody."""
    return NotFound("There is no such task.")


def found(task: TaskRow | None) -> TaskRow:
    if task is None:
        raise no_such_task()
    return task
