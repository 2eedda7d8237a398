from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tasks", "0002_idempotency_key"),
    ]

    operations = [
        # Django alone is told: in the database the CHECK constraint of the first migration bounds the length.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="task",
                    name="description",
                    field=models.TextField(blank=True, max_length=5000, null=True),
                ),
            ],
        ),
    ]
