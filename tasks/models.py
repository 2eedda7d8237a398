"""The task model. Requests reach its rows through `tasks.statements`; the ORM serves migrations, admin and tests."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from django.db import models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Length
from django.db.models.lookups import GreaterThanOrEqual, LessThanOrEqual
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone

from tasks.dialects import dialect_of

DESCRIPTION_LENGTH = 5000


def _length(field: str, minimum: int, maximum: int) -> models.Q:
    length = Length(field)
    return models.Q(GreaterThanOrEqual(length, minimum), LessThanOrEqual(length, maximum))


class NextUpdatedAt(models.Expression):
    """A time strictly later than the row's `updated_at`, by the same SQL as in `tasks.statements`."""

    output_field = models.DateTimeField()

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[str | int, ...]]:
        return dialect_of(connection).next_updated_at, ()


class TaskQuerySet(models.QuerySet["Task"]):
    """Tasks of every user, for operators, migrations and tests: no API view may use it."""

    def update(self, **kwargs: Any) -> int:
        """Update the rows, and move `updated_at` unless a value for it is given."""
        return super().update(**{"updated_at": NextUpdatedAt(), **kwargs})


class Task(models.Model):
    """One task of one user."""

    # What a client may set. Serializers, statements, the idempotency fingerprint, forms and the OpenAPI document are
    # derived from these names and their fields.
    CLIENT_FIELDS = ("title", "description", "completed")

    # `binary` sorts by code point, so that order by title is the same on both databases.
    user_id = models.CharField(max_length=255, db_collation="binary")
    title = models.CharField(max_length=200, db_collation="binary")
    description = models.TextField(null=True, blank=True, max_length=DESCRIPTION_LENGTH)
    completed = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    # The key and the fingerprint of the create that made this task, so that the create can be retried.
    idempotency_key = models.CharField(max_length=255, null=True, editable=False, db_collation="binary")
    idempotency_fingerprint = models.CharField(max_length=64, null=True, editable=False)

    objects = TaskQuerySet.as_manager()

    class Meta:
        # Serves both orders by created_at. An index on updated_at would have to be maintained by every write.
        indexes = [models.Index(fields=["user_id", "created_at", "id"], name="tasks_owner_created")]
        constraints = [
            # Partial, so that a create without a key does not have to maintain it.
            models.UniqueConstraint(
                fields=["user_id", "idempotency_key"],
                condition=models.Q(idempotency_key__isnull=False),
                name="tasks_idempotency_key",
            ),
            models.CheckConstraint(condition=_length("user_id", 1, 255), name="tasks_user_id_length"),
            models.CheckConstraint(condition=_length("title", 1, 200), name="tasks_title_length"),
            models.CheckConstraint(
                condition=_length("description", 0, DESCRIPTION_LENGTH), name="tasks_description_length"
            ),
        ]

    def __str__(self) -> str:
        # Django writes this into the admin's log, its messages and errors, where no title belongs.
        return f"#{self.pk}"

    def save(
        self,
        *,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Save the task; if it exists already, move `updated_at` past its stored value. The owner cannot be changed.

        Raises:
            ValueError: `user_id` differs from the stored one.
        """
        if self._state.adding or force_insert:
            super().save(force_insert=force_insert, using=using, update_fields=update_fields)
            return
        written = {field.name for field in self._meta.concrete_fields} - self.get_deferred_fields() - {"id", "user_id"}
        if update_fields is not None:
            written = set(update_fields) - {"user_id"}
            if not written:
                return
        using = using or router.db_for_write(type(self), instance=self)
        before = self.updated_at
        try:
            with transaction.atomic(using=using):
                rows = Task.objects.using(using)
                row = rows.filter(user_id=self.user_id, pk=self.pk).select_for_update()
                stored = row.values_list("updated_at", flat=True).first()
                if stored is None:
                    if rows.filter(pk=self.pk).exists():
                        raise ValueError("A task does not change hands.")
                    stored = before  # The task is gone, which Django finds out.
                self.updated_at = max(timezone.now(), stored + timedelta(microseconds=1))
                super().save(force_update=force_update, using=using, update_fields={*written, "updated_at"})
        except BaseException:
            self.updated_at = before
            raise

    def _do_update(self, base_qs: models.QuerySet["Task"], *arguments: Any) -> Any:
        # With the owner in the statement, a table that is spread by owner is asked in one place.
        return super()._do_update(base_qs.filter(user_id=self.user_id), *arguments)


@cache
def client_fields() -> "dict[str, models.Field[Any, Any]]":
    """Return the fields that a client may set, by name."""
    fields = {field.name: field for field in Task._meta.concrete_fields}
    return {name: fields[name] for name in Task.CLIENT_FIELDS}


def with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for each client field: the given one, or the model's default."""
    return {name: values[name] if name in values else field.get_default() for name, field in client_fields().items()}
