import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm  # type: ignore[import-untyped]  # It has no types.

from tasks import data


class Command(BaseCommand):
    """Writes all tasks of a user as JSON lines, and last how many they are."""

    help = "Write USER's tasks as JSON lines, oldest first, and their number to FILE or to standard output."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the user id")
        parser.add_argument("file", nargs="?", default="-", type=Path, help="a new file; - is standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        owner = options["user"]
        try:
            with opened(options["file"]) as file, tqdm(total=data.count(owner), unit="task", disable=None) as bar:
                # The last line is no task, so that its index is their number.
                for exported, line in enumerate(data.export_lines(owner)):
                    file.write(line)
                    bar.update(exported - bar.n)
        except UnicodeEncodeError:
            raise CommandError(data.NOT_UTF_8) from None
        except OSError as error:
            raise CommandError(f"It was not written: {error}") from None
        # To standard error, because standard output may have the tasks.
        self.stderr.write(f"Exported {exported} task{'' if exported == 1 else 's'}.", self.style.SUCCESS)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that only the operator can read, and that gets its name when it is complete."""
    if path == Path("-"):
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    if path.exists():
        raise CommandError(f"{path} exists already.")
    descriptor, unfinished = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # The tasks may be erased next, and then the power fails.
        os.link(unfinished, path)  # Which replaces no file that came up meanwhile, as a rename would.
    finally:
        os.unlink(unfinished)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
