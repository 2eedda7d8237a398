"""The task, as both Django peers see it."""

from django.db import models


class Task(models.Model):
    """One row of the table that the project's migrations made."""

    id = models.BigAutoField(primary_key=True)
    title = models.CharField(max_length=200)
    description = models.TextField(null=True, blank=True, max_length=5000)
    completed = models.BooleanField(default=False)
    user_id = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        managed = False
        db_table = "tasks_task"
        ordering = ["-created_at", "-id"]
