from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def make_index(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the index of the constraint while others write: AddConstraint would keep them waiting.

    The second migration once made it, so it may be there.
    """
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.drop_invalid_index("tasks_task", "tasks_idempotency_key")
    schema_editor.execute(
        f"CREATE UNIQUE INDEX {concurrently(schema_editor)} IF NOT EXISTS tasks_idempotency_key"
        " ON tasks_task (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL"
    )


def drop_index(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute(f"DROP INDEX {concurrently(schema_editor)} IF EXISTS tasks_idempotency_key")


def concurrently(schema_editor: BaseDatabaseSchemaEditor) -> str:
    return "CONCURRENTLY" if schema_editor.connection.vendor == "postgresql" else ""


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("tasks", "0003_description_length"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(make_index, drop_index)],
            state_operations=[
                migrations.AddConstraint(
                    model_name="task",
                    constraint=models.UniqueConstraint(
                        condition=models.Q(("idempotency_key__isnull", False)),
                        fields=("user_id", "idempotency_key"),
                        name="tasks_idempotency_key",
                    ),
                ),
            ],
        ),
    ]
