import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm  # type: ignore[import-untyped]  # It has no types.

from tasks import data


class Command(BaseCommand):
    """Restores an export to a user who has no tasks. If it is not whole, nothing is restored."""

    help = "Restore FILE, which export_user wrote, to USER, who has no tasks. They get new ids and keep their times."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the user id; another one than in the file is allowed")
        parser.add_argument("file", type=Path, help="what export_user wrote")

    def handle(self, *args: Any, **options: Any) -> None:
        owner = options["user"]
        if not re.fullmatch("[^/\0\ud800-\udfff]{1,255}", owner):
            raise CommandError("No token has this user id: it is 1 to 255 characters, without a slash or a NUL.")
        try:
            with options["file"].open("rb") as file:
                imported = data.restore(owner, data.parse_export(lines(file)))
        except data.NotEmpty:
            raise CommandError("Nothing was imported: this user has tasks.") from None
        except data.BrokenExport as error:
            raise CommandError(f"Nothing was imported. {error}") from None
        except OSError as error:
            raise CommandError(f"Nothing was imported: {error}") from None
        self.stdout.write(f"Imported {imported} task{'' if imported == 1 else 's'}.")


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the file's lines, cutting off those that are too long, and show the progress."""
    size = os.fstat(file.fileno()).st_size
    with tqdm(total=size, unit="B", unit_scale=True, disable=None) as bar:
        while line := file.readline(data.MAX_LINE_BYTES + 1):
            yield line
            bar.update(len(line))
