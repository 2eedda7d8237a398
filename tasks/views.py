"""The six endpoints. They map HTTP to `tasks.statements`, which hold the rules."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.encoding import escape_uri_path
from rest_framework.exceptions import NotFound
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from tasks import statements
from tasks.conditions import etag, list_etag, not_modified, parse_conditions
from tasks.idempotency import parse_idempotency_key
from tasks.pages import PAGE_LIMIT, edited, with_line_feeds
from tasks.pagination import ListQuery
from tasks.permissions import OwnerRequest
from tasks.schema import TaskSchema
from tasks.serializers import CompleteSerializer, TaskInputSerializer
from tasks.statements import Condition
from todo_project.parsers import FormParser, JSONParser, MultiPartParser, parsers_for
from todo_project.problems import Problem
from todo_project.renderers import Response
from todo_project.schema import Metadata


class TaskViewSet(GenericViewSet):
    """Tasks of the signed-in user. The path's user must be the token's, else the answer is 403."""

    request: OwnerRequest
    schema = TaskSchema()
    metadata_class = Metadata
    parser_classes = [JSONParser, FormParser, MultiPartParser]

    @property
    def owner(self) -> str:
        """Layer 2 of isolation: the user whose rows the SQL touches, taken from the token and never from the path."""
        return self.request.user.subject

    @property
    def address(self) -> str:
        """The request's absolute URL without its query; https if the proxy in front says so."""
        return f"{self.request.scheme}://{self.request.get_host()}{escape_uri_path(self.request.path)}"

    # --- The endpoints --------------------------------------------------------------------------------------------

    def list(self, request: Request, user_id: str) -> Response:
        """The user's tasks, newest first, at most `limit` of them. `Link: <...>; rel="next"` leads to the next page."""
        query = ListQuery.parse(self.owner, request.query_params)
        if request.accepted_renderer.format == "api" and "limit" not in request.query_params:
            query = query._replace(limit=PAGE_LIMIT)
        tasks, cursor = query.fetch()
        headers = {}
        if cursor is not None:
            parameters = [(name, value) for name, value in request.query_params.items() if name != "cursor"]
            headers["Link"] = f'<{self.address}?{urlencode([*parameters, ("cursor", cursor)])}>; rel="next"'
        return self.represent(tasks, list_etag(tasks, headers.get("Link")), headers)

    def create(self, request: Request, user_id: str) -> Response:
        """Create a task. With an `Idempotency-Key` it can be sent again: the answer is the task it made."""
        values = self.validate(request)
        task = statements.create(self.owner, values, idempotency=parse_idempotency_key(request, values))
        if task is None:
            detail = "This Idempotency-Key was used for a task with other values."
            error = {"header": "Idempotency-Key", "code": "reused", "detail": detail}
            raise Problem(422, "idempotency_key_reused", detail, [error])
        return self.represent(task, etag(task), {"Location": f"{self.address}/{task['id']}"}, status=201)

    def retrieve(self, request: Request, user_id: str, task_id: int) -> Response:
        """One task. With `If-None-Match` the answer is 304 while it has not changed."""
        task = statements.read(self.owner, task_id)
        if task is None:
            raise no_such_task()
        return self.represent(task, etag(task))

    def update(self, request: Request, user_id: str, task_id: int) -> Response:
        """Write a task. A member that is not sent keeps its value; `null` clears the description.

        With `If-Match` nothing is written if the task has changed since.
        """
        values, condition = self.validate(request), parse_conditions(request)
        task = statements.update(self.owner, task_id, values, condition=condition)
        if task is None:
            raise self.refusal(task_id, condition)
        return self.represent(task, etag(task), {"Content-Location": self.address})

    def destroy(self, request: Request, user_id: str, task_id: int) -> Response:
        """Delete a task. With `If-Match` only as it was read."""
        condition = parse_conditions(request)
        if not statements.delete(self.owner, task_id, condition=condition):
            raise self.refusal(task_id, condition)
        return Response(status=204)

    def complete(self, request: Request, user_id: str, task_id: int) -> Response:
        """Flip `completed`, or set it with `{"completed": true}`, which can be retried."""
        values, condition = self.validate(request), parse_conditions(request)
        if values:
            task = statements.update(self.owner, task_id, values, condition=condition)
        else:
            task = statements.toggle(self.owner, task_id, condition=condition)
        if task is None:
            raise self.refusal(task_id, condition)
        return self.represent(task, etag(task))

    # --- Shared by the endpoints ----------------------------------------------------------------------------------

    def get_serializer_class(self) -> type[TaskInputSerializer] | type[CompleteSerializer]:
        return CompleteSerializer if self.action == "complete" else TaskInputSerializer

    def validate(self, request: Request) -> dict[str, Any]:
        """Return the validated values of the body.

        For a page the serializer is made anew, so that an error can show its form again. Programs share one serializer
        per process: validation keeps no state in it, and making one is slow.

        Raises:
            ValidationError: 422 for a body that is not valid.
        """
        data = request.data
        if isinstance(data, QueryDict) and not data:
            data = {}  # No body, whatever its Content-Type says.
        values: dict[str, Any]
        if isinstance(data, QueryDict) or request.accepted_renderer.format == "api":
            form = self.get_serializer(data=with_line_feeds(data) if isinstance(data, QueryDict) else data)
            form.is_valid(raise_exception=True)
            values = edited(data, form.validated_data) if isinstance(data, QueryDict) else form.validated_data
        else:
            values = VALIDATORS[self.get_serializer_class()].run_validation(data)
        return values

    def represent(self, data: Any, tag: str, headers: dict[str, str] | None = None, status: int = 200) -> Response:
        """Return the data with its entity tag, or 304 if a reading client has it already. Pages carry no tag."""
        if self.request.accepted_renderer.format == "api":
            return Response(data, status=status, headers=headers)
        headers = {"ETag": tag, **(headers or {})}
        if self.request.method in {"GET", "HEAD"} and not_modified(self.request, tag):
            return Response(status=304, headers=headers)
        return Response(data, status=status, headers=headers)

    def refusal(self, task_id: int, condition: Condition | None) -> Exception:
        """Return why a write matched no row: 404 if there is no such task, 412 if its condition did not hold."""
        current = statements.read(self.owner, task_id) if condition else None
        if current is None:
            return no_such_task()
        detail = "The condition does not hold of the task as it is now."
        return Problem(412, "precondition_failed", detail, headers={"ETag": etag(current)})

    # --- Overrides of DRF -----------------------------------------------------------------------------------------

    @property
    def default_response_headers(self) -> dict[str, str]:
        """`Allow` on OPTIONS and on 405; DRF would put it on every answer. `Vary` is RequestMiddleware's."""
        return super().default_response_headers if self.action in {None, "metadata"} else {}

    def get_parsers(self) -> Sequence[BaseParser]:  # type: ignore[override]  # DRF's `list[...]` cannot be written where `list` is an endpoint.
        return parsers_for(getattr(self, "request", None), self.parser_classes)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(response, Response):
            response.add_post_render_callback(break_reference_cycles)
        return response


VALIDATORS = {serializer: serializer() for serializer in (TaskInputSerializer, CompleteSerializer)}


def no_such_task() -> NotFound:
    """Return a 404 that is the same for another user's task and for one that does not exist."""
    return NotFound("There is no such task.")


def break_reference_cycles(response: Response) -> None:
    """Break the references between view, request and response once rendered, so that they are freed at once.

    Otherwise the garbage collector has to find them, which costs throughput.
    """
    context: dict[str, Any] = response.renderer_context  # type: ignore[attr-defined]  # DRF's views set it.
    view, request = context["view"], context["request"]
    for method in view.action_map:
        view.__dict__.pop(method, None)  # `view.get` is `view.list`, which holds the view.
    request.parser_context.clear()
    context.clear()
