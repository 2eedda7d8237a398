"""The application with a common mistake: an update reads the task, then writes all of it, so updates get lost."""

import time
from collections.abc import Mapping
from typing import Any

from todo_project.wsgi import application as application

# isort: split
from tasks import statements  # After the application, which configures the settings.
from tasks.models import Task
from tasks.statements import Condition, TaskRow

write = statements.update


def update(
    owner: str, task_id: int, values: Mapping[str, Any], *, condition: Condition | None = None
) -> TaskRow | None:
    task = statements.read(owner, task_id)
    if task is None or (condition and condition.among is not None and task["updated_at"] not in condition.among):
        return None
    time.sleep(0.005)
    return write(owner, task_id, {**{name: task[name] for name in Task.CLIENT_FIELDS}, **values})


statements.update = update
