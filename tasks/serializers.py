"""Shapes and validation. JSON types are strict: a number is no title, "yes" is no boolean."""

from typing import Any

from rest_framework import serializers
from rest_framework.utils.html import is_html_input


class StrictCharField(serializers.CharField):
    """A string, and nothing that could be turned into one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictBooleanField(serializers.BooleanField):
    """true or false; a form's checkbox counts too."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool) and not is_html_input(self.root.initial_data):
            self.fail("invalid", input=data)
        return bool(super().to_internal_value(data))


class TaskSerializer(serializers.Serializer[dict[str, Any]]):
    """A task. A member that is not sent keeps its value; `null` clears the description."""

    id = serializers.IntegerField(read_only=True, min_value=1, max_value=2**63 - 1)
    title = StrictCharField(max_length=200, help_text="1 to 200 characters after trimming.")
    description = StrictCharField(
        max_length=5000,
        required=False,
        allow_null=True,
        allow_blank=True,
        trim_whitespace=False,
        style={"base_template": "textarea.html", "rows": 4},
        help_text="At most 5000 characters, kept as sent.",
    )
    completed = StrictBooleanField(required=False)
    user_id = serializers.CharField(read_only=True, help_text="The token's subject.")
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True, help_text="Strictly increases with every write.")


class CompleteSerializer(serializers.Serializer[dict[str, Any]]):
    """Nothing, to flip the flag; or `{"completed": true}`, which can be retried."""

    completed = StrictBooleanField(required=False)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        validated: dict[str, Any] = super().to_internal_value(data)
        unknown = set(data) - set(self.fields)
        if unknown:
            raise serializers.ValidationError(
                {name: ["Only completed may be sent here."] for name in sorted(unknown)}, code="unknown"
            )
        return validated
