#!/usr/bin/env python
"""Django's command line. A wrong setting, a database out of reach or a signal is one line, not a traceback."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import Error

from todo_project.database import is_refusal, report_unavailable

stopped: list[int] = []  # The signals that came.


def stop(number: int, frame: FrameType | None) -> NoReturn:
    stopped.append(number)
    raise KeyboardInterrupt  # For SIGTERM and SIGHUP too, so that a command cleans up.


def end() -> NoReturn:
    sys.stderr.write(f"Stopped by {signal.Signals(stopped[0]).name}.\n")
    sys.exit(128 + stopped[0])


def main() -> None:
    if sys.stdout is None:
        sys.exit("Standard output is closed.")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # With nohup it is.
            signal.signal(number, stop)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "todo_project.settings")
    try:
        settings.INSTALLED_APPS  # noqa: B018  # Without settings Django goes on for some commands, and fails elsewhere.
        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        end()
    except ImproperlyConfigured as error:
        sys.exit(f"Configuration: {error}")
    except Error as error:
        if stopped:  # SQLite makes an error of its own of what is raised in a function that it calls.
            end()
        if not is_refusal(error):
            if sys.argv[1:2] != ["migrate"] and report_unavailable(error):  # The database is not migrated.
                sys.exit(1)
            raise
        # psycopg lists one cause for each address it tried; the first says enough.
        sys.exit(f"Database: {str(error).strip().splitlines()[0]}")


if __name__ == "__main__":
    main()
