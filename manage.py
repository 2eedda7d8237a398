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

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
stopped: list[signal.Signals] = []  # The first of them that came.


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """Let the command clean up. Another signal does not interrupt that."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    stopped.append(signal.Signals(number))
    raise KeyboardInterrupt


def end() -> NoReturn:
    """End by the signal itself, so that a shell's loop ends, too."""
    number = stopped[0] if stopped else signal.SIGINT
    sys.stderr.write(f"Stopped by {number.name}.\n")
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    sys.exit(128 + number)


def main() -> None:
    if sys.stdout is None:
        sys.exit("Standard output is closed.")
    for number in SIGNALS:
        # With nohup one is ignored. A shell goes on after Ctrl-C.
        if signal.getsignal(number) != signal.SIG_IGN and sys.argv[1:2] != ["shell"]:
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
