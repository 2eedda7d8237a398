from typing import Any

import django.db.models.functions.text
import django.db.models.lookups
import django.utils.timezone
from django.contrib.postgres.operations import CreateCollation
from django.db import migrations, models

CREATE_CASELESS = """
DO $$ BEGIN
    -- Folds Unicode for the search, whatever the database's own collation does. PostgreSQL 17 brings it along;
    -- before, ICU has it; the C library is the last resort.
    CREATE COLLATION caseless (provider = builtin, locale = 'C.UTF-8');
EXCEPTION WHEN OTHERS THEN
    BEGIN
        CREATE COLLATION caseless (provider = icu, locale = 'und');
    EXCEPTION WHEN OTHERS THEN
        CREATE COLLATION caseless (provider = libc, locale = 'C.UTF-8');
    END;
END $$
"""


def create_caseless(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE_CASELESS, params=None)


def drop_caseless(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP COLLATION caseless")


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        # Sorts by code point. SQLite has a collation of that name, and sorts that way anyway.
        CreateCollation("binary", locale="C"),
        migrations.RunPython(create_caseless, drop_caseless),
        migrations.CreateModel(
            name="Task",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("user_id", models.CharField(db_collation="binary", max_length=255)),
                ("title", models.CharField(db_collation="binary", max_length=200)),
                ("description", models.TextField(blank=True, null=True)),
                ("completed", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "indexes": [models.Index(fields=["user_id", "created_at", "id"], name="tasks_owner_created")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.GreaterThanOrEqual(
                                django.db.models.functions.text.Length("user_id"), 1
                            ),
                            django.db.models.lookups.LessThanOrEqual(
                                django.db.models.functions.text.Length("user_id"), 255
                            ),
                        ),
                        name="tasks_user_id_length",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.GreaterThanOrEqual(
                                django.db.models.functions.text.Length("title"), 1
                            ),
                            django.db.models.lookups.LessThanOrEqual(
                                django.db.models.functions.text.Length("title"), 200
                            ),
                        ),
                        name="tasks_title_length",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.GreaterThanOrEqual(
                                django.db.models.functions.text.Length("description"), 0
                            ),
                            django.db.models.lookups.LessThanOrEqual(
                                django.db.models.functions.text.Length("description"), 5000
                            ),
                        ),
                        name="tasks_description_length",
                    ),
                ],
            },
        ),
    ]
