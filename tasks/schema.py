"""What the OpenAPI document says about the six endpoints beyond their serializers."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from tasks.pagination import DEFAULT_LIMIT, MAX_LIMIT, MAX_SEARCH, ORDERINGS
from tasks.serializers import TaskInputSerializer, TaskSerializer
from todo_project.problems import PROBLEMS
from todo_project.schema import ProblemSerializer

SUCCESS = {"list": 200, "create": 201, "retrieve": 200, "update": 200, "destroy": 204, "complete": 200}
SUMMARY = {
    "list": "List your tasks",
    "create": "Create a task",
    "retrieve": "Read a task",
    "update": "Write a task",
    "destroy": "Delete a task",
    "complete": "Complete or reopen a task",
}
WITH_BODY = {"create", "update", "complete"}
READS = {"list", "retrieve"}
CONDITIONAL = {"update", "destroy", "complete"}
EVERY = [400, 401, 403, 404, 406, 500, 503]
BEYOND = {
    "list": [422],
    "create": [413, 415, 422],
    "update": [412, 413, 415, 422],
    "destroy": [412],
    "complete": [412, 413, 415, 422],
}
THROTTLED = [429]
# Codes that share a status with others, and that only these give.
ONLY = {
    "parse_error": WITH_BODY,
    "invalid_cursor": {"list"},
    "idempotency_key_reused": {"create"},
    "invalid_idempotency_key": {"create"},
}

PATH = {
    "user_id": OpenApiParameter(
        "user_id",
        {"type": "string", "minLength": 1, "maxLength": 255},
        OpenApiParameter.PATH,
        description="The token's subject.",
    ),
    "task_id": OpenApiParameter(
        "task_id", {"type": "integer", "format": "int64", "minimum": 1, "maximum": 2**63 - 1}, OpenApiParameter.PATH
    ),
}
REQUEST_ID = OpenApiParameter(
    "X-Request-ID",
    {"type": "string"},
    OpenApiParameter.HEADER,
    description="Comes back in the answer and stands in the log; one is made if it is missing.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    {"type": "string"},
    OpenApiParameter.HEADER,
    description="Tags you have; 304 without a body if one is current.",
)
CONDITIONS = [
    OpenApiParameter(
        "If-Match",
        {"type": "string"},
        OpenApiParameter.HEADER,
        description="The tag you read; 412 and nothing is written if the task has changed since.",
    ),
    OpenApiParameter(
        "If-None-Match", {"type": "string"}, OpenApiParameter.HEADER, description="412 if one of these tags is current."
    ),
]
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255},
    OpenApiParameter.HEADER,
    description="1 to 255 visible characters, new for each task. The same key and values again make no second task.",
)
QUERY = [
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
    OpenApiParameter("cursor", {"type": "string"}, description="Opaque; from the Link header of the page before."),
    OpenApiParameter("completed", OpenApiTypes.BOOL),
    OpenApiParameter(
        "search",
        {"type": "string", "maxLength": MAX_SEARCH, "pattern": r"^[^\x00]*$"},
        description="A part of the title or the description, in either case.",
    ),
    OpenApiParameter("ordering", {"type": "string", "enum": list(ORDERINGS), "default": ORDERINGS[0]}),
]


class TaskSchema(AutoSchema):
    """Names the parameters, headers and every status of each endpoint."""

    view: Any

    def get_operation_id(self) -> str:
        action = self.view.action
        return "tasks_list" if action == "list" else f"task_{action}"

    def get_summary(self) -> str:
        return SUMMARY[self.view.action]

    def get_tags(self) -> list[str]:
        return ["tasks"]

    def get_auth(self) -> list[dict[str, list[str]]]:
        return [{"bearer": []}]

    def get_override_parameters(self) -> list[Any]:
        action = self.view.action
        parameters = [PATH["user_id"]]
        if action not in {"list", "create"}:
            parameters.append(PATH["task_id"])
        if action == "list":
            parameters += QUERY
        if action in READS:
            parameters.append(IF_NONE_MATCH)
        if action in CONDITIONAL:
            parameters += CONDITIONS
        if action == "create":
            parameters.append(IDEMPOTENCY_KEY)
        return [*parameters, REQUEST_ID, *self._response_headers(action)]

    def _response_headers(self, action: str) -> list[OpenApiParameter]:
        success = SUCCESS[action]
        statuses = [success, *EVERY, *BEYOND.get(action, []), *THROTTLED]
        tagged = [] if action == "destroy" else [success]
        varied = [success]
        if action in READS:
            statuses.append(304)
            tagged.append(304)
            varied.append(304)
        if action in CONDITIONAL:
            tagged.append(412)

        def header(name: str, codes: list[int], description: str, **schema: Any) -> OpenApiParameter:
            return OpenApiParameter(
                name,
                {"type": "string", **schema},
                OpenApiParameter.HEADER,
                description=description,
                required=True,
                response=codes,
            )

        headers = [
            header("X-Request-ID", statuses, "The request's id."),
            header(
                "Cache-Control",
                statuses,
                "Keep it for yourself, and ask again before using it.",
                enum=["private, no-cache"],
            ),
            header("Vary", varied, "What else the answer depends on."),
            header("ETag", tagged, "Strong; another after every write."),
            header("WWW-Authenticate", [401], "As RFC 6750, section 3."),
            header("Retry-After", [429, 503], "Seconds."),
        ]
        if action == "list":
            link = header("Link", [200], 'The next page: `<...>; rel="next"`. Without it this is the last one.')
            link.required = False
            headers.append(link)
        if action == "create":
            headers.append(header("Location", [201], "The new task's address.", format="uri"))
        if action == "update":
            headers.append(
                header("Content-Location", [200], "The task's address: the body is what was stored.", format="uri")
            )
        return headers

    def get_response_serializers(self) -> Any:
        action = self.view.action
        success = SUCCESS[action]
        body = None if success == 204 else TaskSerializer(many=action == "list")
        responses: dict[Any, Any] = {success: body}
        if action in READS:
            responses[304] = OpenApiResponse(description="You have this state already.")
        for status in [*EVERY, *BEYOND.get(action, []), *THROTTLED]:
            codes = [code for code, (of, _) in PROBLEMS.items() if of == status and action in ONLY.get(code, {action})]
            responses[status, "application/problem+json"] = OpenApiResponse(
                ProblemSerializer, description=" ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in codes)
            )
        return responses

    def get_request_serializer(self) -> Any:
        if self.view.action == "complete":
            properties = {"completed": {"type": "boolean"}}
            return {"application/json": {"type": "object", "properties": properties, "additionalProperties": False}}
        return TaskInputSerializer if self.view.action in WITH_BODY else None
