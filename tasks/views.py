"""The six endpoints: HTTP verbs and status codes, no rules."""

from typing import Any

from django.http import QueryDict
from rest_framework.exceptions import NotFound
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from tasks import statements
from tasks.conditions import etag, list_etag, not_modified, of_write
from tasks.idempotency import of_create
from tasks.pagination import Filters, ListQuery, address, links
from tasks.schema import TaskSchema
from tasks.serializers import CompleteSerializer, TaskInputSerializer
from tasks.statements import Condition
from todo_project.metadata import Metadata
from todo_project.parsers import FormParser, JSONParser, MultiPartParser, parsers_for
from todo_project.problems import Problem


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

    @property
    def default_response_headers(self) -> dict[str, str]:
        """`Allow` on OPTIONS and on 405; DRF would put it on every answer. `Vary` is RequestMiddleware's."""
        return super().default_response_headers if self.action in {None, "metadata"} else {}

    def get_parsers(self) -> list[BaseParser]:
        return parsers_for(getattr(self, "request", None), self.parser_classes)

    def list(self, request: Request, user_id: str) -> Response:
        """The user's tasks, newest first, at most `limit` of them. `Link: <...>; rel="next"` leads to the next page."""
        tasks, link = ListQuery.parse(self.owner, request.query_params).fetch(request)
        headers = {"Link": link} if link else {}
        return self.representation(tasks, list_etag(tasks, link), headers)

    def create(self, request: Request, user_id: str) -> Response:
        """Create a task. With an `Idempotency-Key` it can be sent again: the answer is the task it made."""
        values = self.validated(request)
        task = statements.create(self.owner, **values, idempotency=of_create(request, values))
        if task is None:
            detail = "This key was used for a task with other values."
            error = {"header": "Idempotency-Key", "code": "reused", "detail": detail}
            raise Problem(422, "idempotency_key_reused", detail, [error])
        location = f"{address(request)}/{task['id']}"
        return self.representation(task, etag(task), {"Location": location}, status=201)

    def retrieve(self, request: Request, user_id: str, task_id: int) -> Response:
        """One task. With `If-None-Match` the answer is 304 while it has not changed."""
        task = statements.read(self.owner, task_id)
        if task is None:
            raise no_such_task()
        return self.representation(task, etag(task))

    def update(self, request: Request, user_id: str, task_id: int) -> Response:
        """Write a task. A member that is not sent keeps its value; `null` clears the description.

        With `If-Match` nothing is written if the task has changed since.
        """
        values = self.validated(request)
        condition = of_write(request)
        task = statements.update(
            self.owner, task_id, set_description="description" in values, condition=condition, **values
        )
        if task is None:
            raise self.refusal(task_id, condition)
        return self.representation(task, etag(task), {"Content-Location": address(request)})

    def destroy(self, request: Request, user_id: str, task_id: int) -> Response:
        """Delete a task. With `If-Match` only as it was read."""
        condition = of_write(request)
        if not statements.delete(self.owner, task_id, condition=condition):
            raise self.refusal(task_id, condition)
        return Response(status=204)

    def complete(self, request: Request, user_id: str, task_id: int) -> Response:
        """Flip `completed`, or set it with `{"completed": true}`, which can be retried."""
        completed = self.validated(request).get("completed")
        condition = of_write(request)
        task = statements.complete(self.owner, task_id, completed=completed, condition=condition)
        if task is None:
            raise self.refusal(task_id, condition)
        return self.representation(task, etag(task))

    def representation(self, data: Any, tag: str, headers: dict[str, str] | None = None, status: int = 200) -> Response:
        """The state with its tag, or 304 for a reader who has it already. Pages carry no tag."""
        if self.request.accepted_renderer.format == "api":
            return Response(data, status=status, headers=headers)
        headers = {"ETag": tag, **(headers or {})}
        if self.request.method in {"GET", "HEAD"} and not_modified(self.request, tag):
            return Response(status=304, headers=headers)
        return Response(data, status=status, headers=headers)

    def refusal(self, task_id: int, condition: Condition | None) -> Exception:
        """Why a write found no row: there is no such task, or the condition did not hold of it."""
        current = statements.read(self.owner, task_id) if condition else None
        if current is None:
            return no_such_task()
        detail = "The condition does not hold of the task as it is now."
        return Problem(412, "precondition_failed", detail, headers={"ETag": etag(current)})

    def get_serializer_class(self) -> type[TaskInputSerializer] | type[CompleteSerializer]:
        return CompleteSerializer if self.action == "complete" else TaskInputSerializer

    def validated(self, request: Request) -> dict[str, Any]:
        """The body's values, or a validation error; a page's error carries the form it belongs to."""
        data = request.data
        if isinstance(data, QueryDict) and not data:
            data = {}  # No body, whatever its Content-Type says.
        if isinstance(data, QueryDict) or request.accepted_renderer.format == "api":
            form = self.get_serializer(data=data)
            form.is_valid(raise_exception=True)
            values: dict[str, Any] = form.validated_data
        else:
            values = VALIDATORS[self.get_serializer_class()].run_validation(data)
        return values


# Validation keeps no state, so one serializer of each kind serves every program: making one costs as much as a query.
VALIDATORS = {kind: kind() for kind in (TaskInputSerializer, CompleteSerializer)}


def no_such_task() -> NotFound:
    """The same for a task of somebody else and for one of nobody."""
    return NotFound("There is no such task.")
