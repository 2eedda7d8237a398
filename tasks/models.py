"""What a task is. Requests reach its rows through `tasks.statements`; the ORM serves schema, admin and tests."""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Length
from django.db.models.lookups import GreaterThanOrEqual, LessThanOrEqual
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone

from tasks import statements


def _length(field: str, minimum: int, maximum: int) -> models.Q:
    length = Length(field)
    return models.Q(GreaterThanOrEqual(length, minimum), LessThanOrEqual(length, maximum))


class NextUpdatedAt(models.Expression):
    """A time strictly later than the row's `updated_at`, as the statements have it."""

    output_field = models.DateTimeField()

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[str | int, ...]]:
        return statements.dialect().next_updated_at, ()


class TaskQuerySet(models.QuerySet["Task"]):
    """For operators, migrations and tests: not scoped by owner, so no view may use it."""

    def update(self, **kwargs: Any) -> int:
        """Moves `updated_at` with every write, as clients were promised."""
        return super().update(**{"updated_at": NextUpdatedAt(), **kwargs})


class Task(models.Model):
    """One thing one user wants to do."""

    # `binary` sorts by code point, so that order by title is the same on both databases.
    user_id = models.CharField(max_length=255, db_collation="binary")
    title = models.CharField(max_length=200, db_collation="binary")
    description = models.TextField(null=True, blank=True)
    completed = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    # What the create that made this task was called, and what it asked for, so that it can be retried.
    idempotency_key = models.CharField(max_length=255, null=True, editable=False, db_collation="binary")
    idempotency_fingerprint = models.CharField(max_length=64, null=True, editable=False)

    objects = TaskQuerySet.as_manager()

    class Meta:
        # Serves both orders by created_at, from anywhere in a user's tasks; one on updated_at would make every write
        # pay for it.
        indexes = [models.Index(fields=["user_id", "created_at", "id"], name="tasks_owner_created")]
        constraints = [
            # Partial, so that a create without a key does not pay for it.
            models.UniqueConstraint(
                fields=["user_id", "idempotency_key"],
                condition=models.Q(idempotency_key__isnull=False),
                name="tasks_idempotency_key",
            ),
            models.CheckConstraint(condition=_length("user_id", 1, 255), name="tasks_user_id_length"),
            models.CheckConstraint(condition=_length("title", 1, 200), name="tasks_title_length"),
            models.CheckConstraint(condition=_length("description", 0, 5000), name="tasks_description_length"),
        ]

    def __str__(self) -> str:
        return self.title

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Moves `updated_at` when the task was there already."""
        if self._state.adding:
            super().save(*args, **kwargs)
            return
        self.updated_at = NextUpdatedAt()
        if (fields := kwargs.get("update_fields")) is not None:
            kwargs["update_fields"] = {*fields, "updated_at"}
        super().save(*args, **kwargs)
        self.refresh_from_db(fields=["updated_at"])
