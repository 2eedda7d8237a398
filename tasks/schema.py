"""The OpenAPI description of the six endpoints beyond their serializers, as one record for each."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from tasks import examples
from tasks.pagination import MAX_LIMIT, MAX_SEARCH, ORDERINGS
from tasks.serializers import TaskInputSerializer, TaskSerializer
from todo_project.problems import PROBLEMS
from todo_project.schema import ProblemSerializer

USER_ID = OpenApiParameter(
    "user_id",
    {"type": "string", "minLength": 1, "maxLength": 255, "example": examples.USER},
    OpenApiParameter.PATH,
    description="The token's subject.",
)
TASK_ID = OpenApiParameter(
    "task_id",
    {"type": "integer", "format": "int64", "minimum": 1, "maximum": 2**63 - 1, "example": 1},
    OpenApiParameter.PATH,
)
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
        description="The tag of the task that you read, from `ETag` or made from its `updated_at`; "
        "412 and nothing is written if it has changed since.",
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
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": MAX_LIMIT}),
    OpenApiParameter("cursor", {"type": "string"}, description="Opaque; from the Link header of the page before."),
    OpenApiParameter("completed", OpenApiTypes.BOOL),
    OpenApiParameter(
        "search",
        {"type": "string", "maxLength": MAX_SEARCH, "pattern": r"^[^\x00]*$"},
        description="A part of the title or the description, in either case.",
    ),
    OpenApiParameter("ordering", {"type": "string", "enum": list(ORDERINGS), "default": ORDERINGS[0]}),
]


def header(
    name: str, statuses: Iterable[int], description: str, *, required: bool = True, **schema: Any
) -> OpenApiParameter:
    """Describe a response header of the answers with these statuses."""
    return OpenApiParameter(
        name,
        {"type": "string", **schema},
        OpenApiParameter.HEADER,
        description=description,
        required=required,
        response=list(statuses),
    )


LINK = header("Link", [200], 'The next page: `<...>; rel="next"`. Without it this is the last one.', required=False)
LOCATION = header("Location", [201], "The new task's address.", format="uri")
CONTENT_LOCATION = header("Content-Location", [200], "The task's address: the body is what was stored.", format="uri")


# One task's tag can be made from the task, as it stands in a list; a list's tag is opaque.
TASK_TAG = "Strong; another after every write. It is the task's `updated_at`: its 20 digits, in quotes."
LIST_TAG = "Strong and opaque; another after every write of its tasks."


def etag(*statuses: int, description: str = TASK_TAG) -> OpenApiParameter:
    return header("ETag", statuses, description)


# draft-ietf-httpapi-ratelimit-headers
RATE_FIELDS = {
    "RateLimit": 'Where a rate is configured, what is left of it: `"user";r=599;t=60` are 599 requests for 60 seconds.',
    "RateLimit-Policy": 'Where a rate is configured: `"user";q=600;w=60` are 600 requests in 60 seconds.',
}

# The problem codes, from problems.PROBLEMS, that every endpoint may answer, and those of endpoints with a body.
COMMON_CODES = (
    "bad_request",
    "not_authenticated",
    "token_expired",
    "token_invalid",
    "permission_denied",
    "not_found",
    "not_acceptable",
    "throttled",
    "internal_error",
    "service_unavailable",
)
BODY_CODES = ("parse_error", "payload_too_large", "unsupported_media_type", "validation_error")


@dataclass(frozen=True)
class Endpoint:
    """One endpoint's part of the contract."""

    summary: str
    success: int
    parameters: list[OpenApiParameter]
    headers: list[OpenApiParameter]
    refusals: tuple[str, ...]


ENDPOINTS = {
    "list": Endpoint(
        "List your tasks",
        200,
        parameters=[USER_ID, *QUERY, IF_NONE_MATCH],
        headers=[etag(200, 304, description=LIST_TAG), LINK],
        refusals=(*COMMON_CODES, "validation_error", "invalid_cursor"),
    ),
    "create": Endpoint(
        "Create a task",
        201,
        parameters=[USER_ID, IDEMPOTENCY_KEY],
        headers=[etag(201), LOCATION],
        refusals=(*COMMON_CODES, *BODY_CODES, "idempotency_key_reused", "invalid_idempotency_key"),
    ),
    "retrieve": Endpoint(
        "Read a task",
        200,
        parameters=[USER_ID, TASK_ID, IF_NONE_MATCH],
        headers=[etag(200, 304)],
        refusals=COMMON_CODES,
    ),
    "update": Endpoint(
        "Write a task",
        200,
        parameters=[USER_ID, TASK_ID, *CONDITIONS],
        headers=[etag(200, 412), CONTENT_LOCATION],
        refusals=(*COMMON_CODES, *BODY_CODES, "precondition_failed"),
    ),
    "destroy": Endpoint(
        "Delete a task",
        204,
        parameters=[USER_ID, TASK_ID, *CONDITIONS],
        headers=[etag(412)],
        refusals=(*COMMON_CODES, "precondition_failed"),
    ),
    "complete": Endpoint(
        "Complete or reopen a task",
        200,
        parameters=[USER_ID, TASK_ID, *CONDITIONS],
        headers=[etag(200, 412)],
        refusals=(*COMMON_CODES, *BODY_CODES, "precondition_failed"),
    ),
}


class TaskSchema(AutoSchema):
    """Writes an endpoint's record into the OpenAPI document."""

    view: Any

    @property
    def endpoint(self) -> Endpoint:
        return ENDPOINTS[self.view.action]

    @property
    def successes(self) -> list[int]:
        """The success status, and 304 if the endpoint takes `If-None-Match` on reads."""
        return [self.endpoint.success, *([304] if IF_NONE_MATCH in self.endpoint.parameters else [])]

    @property
    def refusals(self) -> dict[int, list[str]]:
        """The problem codes that the endpoint may answer, by status."""
        by_status: dict[int, list[str]] = {}
        for code, (status, _) in PROBLEMS.items():
            if code in self.endpoint.refusals:
                by_status.setdefault(status, []).append(code)
        return by_status

    def get_operation_id(self) -> str:
        action = self.view.action
        return "tasks_list" if action == "list" else f"task_{action}"

    def get_summary(self) -> str:
        return self.endpoint.summary

    def get_tags(self) -> list[str]:
        return ["tasks"]

    def get_auth(self) -> list[dict[str, list[str]]]:
        return [{"bearer": []}]

    def get_override_parameters(self) -> list[Any]:
        every = [*self.successes, *self.refusals]
        private = "Keep it for yourself, and ask again before using it."
        return [
            *self.endpoint.parameters,
            REQUEST_ID,
            *self.endpoint.headers,
            header("X-Request-ID", every, "The request's id."),
            header("Cache-Control", every, private, enum=["private, no-cache"]),
            header("Vary", self.successes, "What else the answer depends on."),
            header("WWW-Authenticate", [401], "As RFC 6750, section 3."),
            header("Retry-After", [429, 503], "Seconds."),
            *[
                # Before the token, nobody knows whose rate it is.
                header(name, [status for status in every if status not in {401, 406}], text, required=False)
                for name, text in RATE_FIELDS.items()
            ],
        ]

    def get_examples(self) -> list[OpenApiExample]:
        action, found = self.view.action, []
        if action in examples.BODIES:
            found.append(OpenApiExample("body", examples.BODIES[action], request_only=True))
        if action in examples.ANSWERS:
            found.append(OpenApiExample("task", examples.ANSWERS[action], response_only=True))
        return found

    def get_response_serializers(self) -> Any:
        success = self.endpoint.success
        responses: dict[Any, Any] = {
            success: None if success == 204 else TaskSerializer(many=self.view.action == "list")
        }
        if 304 in self.successes:
            responses[304] = OpenApiResponse(description="You have this state already.")
        for status, codes in self.refusals.items():
            description = " ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in codes)
            problems = [OpenApiExample(code, examples.problem(self.view.action, code)) for code in codes]
            responses[status, "application/problem+json"] = OpenApiResponse(
                ProblemSerializer, description=description, examples=problems
            )
        return responses

    def get_request_serializer(self) -> Any:
        if self.view.action == "complete":
            properties = {"completed": {"type": "boolean"}}
            return {"application/json": {"type": "object", "properties": properties, "additionalProperties": False}}
        return TaskInputSerializer if "parse_error" in self.endpoint.refusals else None
