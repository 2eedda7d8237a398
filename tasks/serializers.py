"""Shapes and validation. JSON types are strict: a number is no title, "yes" is no boolean."""

from typing import Any, NoReturn

from django.db import models
from drf_spectacular.drainage import set_override
from rest_framework import serializers
from rest_framework.utils.html import is_html_input
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from tasks.models import Task
from tasks.statements import COLUMNS

# Of the members that do not belong there, so many are named: an answer is not to be larger than its request.
MAX_UNKNOWN = 20
# What DRF would say of a body in Python's words, or as if it were a field.
NOT_AN_OBJECT: dict[str, Any] = dict.fromkeys(("invalid", "null"), "The body is not a JSON object.")

# For the OpenAPI document: a NUL is no text, and blanks, as str.strip() knows them, are no title.
NO_NULL = r"^[^\x00]*$"
NOT_BLANK = r"^[^\x00]*[^\s\x00\x1c-\x1f\x85][^\x00]*$"


class ProhibitSurrogates(ProhibitSurrogateCharactersValidator):
    """DRF's looks at one character after the other: only a text that does hold one is worth that."""

    def __call__(self, value: str) -> None:
        try:
            value.encode()
        except UnicodeEncodeError:
            super().__call__(value)


class StrictCharField(serializers.CharField):
    """A string, and nothing that could be turned into one; trimmed, and then not empty."""

    default_error_messages = {"max_length": "At most {max_length} characters."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validators = [
            ProhibitSurrogates() if isinstance(validator, ProhibitSurrogateCharactersValidator) else validator
            for validator in self.validators
        ]
        set_override(self, "field", self.schema())

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": self.max_length, "pattern": NOT_BLANK}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictTextField(StrictCharField):
    """A text that is kept as sent, blanks included."""

    def __init__(self, *, allow_blank: bool = True, **kwargs: Any) -> None:
        # DRF is not told of allow_blank: with it a form's empty box would mean "", not null.
        style = {"template": "tasks/textarea.html"}
        super().__init__(trim_whitespace=False, **{**kwargs, "style": style})

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "nullable": self.allow_null, "maxLength": self.max_length, "pattern": NO_NULL}

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return "" if data == "" else super().run_validation(data)


class StrictBooleanField(serializers.BooleanField):
    """true or false; a form's checkbox counts too."""

    default_error_messages = {"invalid": "Must be true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool) and not is_html_input(getattr(self.root, "initial_data", None)):
            self.fail("invalid", input=data)
        return bool(super().to_internal_value(data))


class TaskInputSerializer(serializers.ModelSerializer[Task]):
    """What a client may set. A member that is not sent keeps its value; `null` clears the description."""

    default_error_messages = NOT_AN_OBJECT
    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: StrictCharField,
        models.TextField: StrictTextField,
        models.BooleanField: StrictBooleanField,
    }

    class Meta:
        model = Task
        fields: tuple[str, ...] = Task.CLIENT_FIELDS

    def save(self, **kwargs: Any) -> NoReturn:
        """Refuse: rows are written by `tasks.statements`, which names their owner."""
        raise NotImplementedError


# The statements return tasks in this shape already; it is here for the OpenAPI document.
class TaskSerializer(TaskInputSerializer):
    """A task as it was stored."""

    id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    user_id = serializers.CharField(max_length=255, help_text="The token's subject.")
    created_at = serializers.DateTimeField(help_text="RFC 3339 in UTC, with microseconds.")
    updated_at = serializers.DateTimeField(help_text="Strictly increases with every write.")

    class Meta(TaskInputSerializer.Meta):
        fields = COLUMNS

    def get_fields(self) -> dict[str, serializers.Field]:
        fields: dict[str, serializers.Field] = super().get_fields()
        for field in fields.values():
            field.required = True
        return fields


class CompleteSerializer(serializers.Serializer[dict[str, Any]]):
    """Nothing, to flip the flag; or `{"completed": true}`, which can be retried."""

    default_error_messages = NOT_AN_OBJECT

    completed = StrictBooleanField(required=False)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        # A client whose every request is JSON writes nothing as null: axios does, fetch and ky where they are told to.
        return super().run_validation({} if data is None else data)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        validated: dict[str, Any] = super().to_internal_value(data)
        unknown = set(data) - set(self.fields)
        if unknown:
            # A lone surrogate is no Unicode, so no answer can repeat it.
            names = [name.encode(errors="replace").decode() for name in sorted(unknown)[:MAX_UNKNOWN]]
            raise serializers.ValidationError(
                {name: ["Only completed may be sent here."] for name in names}, code="unknown"
            )
        return validated
