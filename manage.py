#!/usr/bin/env python
"""Django's command line. A wrong setting or a database out of reach is one line, not a traceback."""

import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import Error

from todo_project.database import is_refusal, report_unavailable


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "todo_project.settings")
    try:
        settings.INSTALLED_APPS  # noqa: B018  # Without settings Django goes on for some commands, and fails elsewhere.
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Configuration: {error}")
    except Error as error:
        if not is_refusal(error):
            if sys.argv[1:2] != ["migrate"] and report_unavailable(error):  # The database is not migrated.
                sys.exit(1)
            raise
        # psycopg lists one cause for each address it tried; the first says enough.
        sys.exit(f"Database: {str(error).strip().splitlines()[0]}")


if __name__ == "__main__":
    main()
