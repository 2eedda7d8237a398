"""Serializers with strict JSON types: a number is not a title, "yes" is not a boolean."""

import re
from datetime import UTC, datetime
from typing import Any, NoReturn

from django.core.validators import MaxValueValidator
from django.db import models
from drf_spectacular.drainage import set_override
from rest_framework import serializers
from rest_framework.utils.html import is_html_input
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from tasks.models import Task
from tasks.statements import COLUMNS

# How many unknown members an error names, so that an answer does not outgrow its request.
MAX_UNKNOWN = 20
# DRF's own messages would call a body by its Python type, or treat it as a field.
NOT_AN_OBJECT: dict[str, Any] = dict.fromkeys(("invalid", "null"), "The body is not a JSON object.")

# Patterns for the OpenAPI document: no NUL in any text, and not only whitespace, as str.strip() has it, in a title.
NO_NULL = r"^[^\x00]*$"
NOT_BLANK = r"^[^\x00]*[^\s\x00\x1c-\x1f\x85][^\x00]*$"


class ProhibitSurrogates(ProhibitSurrogateCharactersValidator):
    """DRF's validator goes through a text character by character; this one first rules out most texts by encoding."""

    def __call__(self, value: str) -> None:
        try:
            value.encode()
        except UnicodeEncodeError:
            super().__call__(value)


class StrictCharField(serializers.CharField):
    """A JSON string that is not blank; it is trimmed, and other types are not converted."""

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
    """A text that is kept as it was sent, including whitespace."""

    def __init__(self, *, allow_blank: bool = True, **kwargs: Any) -> None:
        # allow_blank is kept from DRF: with it, a form's empty textarea would mean "" instead of null.
        style = {"template": "tasks/textarea.html"}
        super().__init__(trim_whitespace=False, **{**kwargs, "style": style})

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "nullable": self.allow_null, "maxLength": self.max_length, "pattern": NO_NULL}

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return "" if data == "" else super().run_validation(data)


class StrictBooleanField(serializers.BooleanField):
    """JSON true or false; only forms may send DRF's other spellings."""

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


# `tasks.statements` returns tasks in this shape already; this class is for the OpenAPI document.
class TaskSerializer(TaskInputSerializer):
    """A task as it was stored."""

    id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    user_id = serializers.CharField(max_length=255, help_text="The token's subject.")
    created_at = serializers.DateTimeField(help_text="RFC 3339 in UTC, with microseconds.")
    updated_at = serializers.DateTimeField(
        help_text="Strictly increases with every write. Its 20 digits, in quotes, are the task's ETag."
    )

    class Meta(TaskInputSerializer.Meta):
        fields = COLUMNS

    def get_fields(self) -> dict[str, serializers.Field]:
        fields: dict[str, serializers.Field] = super().get_fields()
        for field in fields.values():
            field.required = True
        return fields


class ExportedTaskSerializer(TaskInputSerializer):
    """A task in an export. Text is taken untrimmed, and a field that the export does not know yet gets its default."""

    default_error_messages = dict.fromkeys(("invalid", "null"), "The line is not a JSON object.")

    user_id = serializers.CharField()
    created_at = serializers.DateTimeField()
    # Every write moves it on, and there is no year 10000.
    updated_at = serializers.DateTimeField(validators=[MaxValueValidator(datetime(9999, 1, 1, tzinfo=UTC))])

    class Meta(TaskInputSerializer.Meta):
        fields = (*Task.CLIENT_FIELDS, "user_id", "created_at", "updated_at")

    def get_fields(self) -> dict[str, serializers.Field]:
        fields: dict[str, serializers.Field] = super().get_fields()
        for field in fields.values():
            if isinstance(field, serializers.CharField):
                field.trim_whitespace = False
        return fields

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        unknown = sorted(data.keys() - {*self.fields, "id"}) if isinstance(data, dict) else []
        if unknown:
            # The name of a field says which release the export is of. Any other name may be anything.
            fields = [name for name in unknown if re.fullmatch("[a-z][a-z0-9_]{0,39}", name)]
            named = f"The member {fields[0]}" if fields else "A member of it"
            raise serializers.ValidationError([f"{named} is not known here."], code="unknown")
        values: dict[str, Any] = super().to_internal_value(data)
        return values


class CompleteSerializer(serializers.Serializer[dict[str, Any]]):
    """Nothing, to flip the flag; or `{"completed": true}`, which can be retried."""

    default_error_messages = NOT_AN_OBJECT

    completed = StrictBooleanField(required=False)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        # Some clients send null where they have no body: axios does, and fetch and ky can be told to.
        return super().run_validation({} if data is None else data)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        validated: dict[str, Any] = super().to_internal_value(data)
        unknown = set(data) - set(self.fields)
        if unknown:
            # A lone surrogate cannot be encoded as UTF-8, so no answer can repeat it.
            names = [name.encode(errors="replace").decode() for name in sorted(unknown)[:MAX_UNKNOWN]]
            raise serializers.ValidationError(
                {name: ["Only completed may be sent here."] for name in names}, code="unknown"
            )
        return validated
