import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm  # type: ignore[import-untyped]  # It has no types.

from tasks import data


class Command(BaseCommand):
    """Erases all tasks of a user for good. If it was interrupted, run it again."""

    help = "Say how many tasks USER has, and with --yes erase them, with their idempotency keys and the admin's log."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the user id")
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument("--yes", action="store_true", help="erase them")
        choice.add_argument("--dry-run", action="store_true", help="only say how many they are")

    def run_from_argv(self, argv: list[str]) -> None:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # The id may not be in its encoding.
        super().run_from_argv(argv)

    def handle(self, *args: Any, **options: Any) -> None:
        owner = options["user"]
        try:
            count = data.count(owner)
        except UnicodeEncodeError:
            raise CommandError(data.NOT_UTF_8) from None
        self.stdout.write(f"{owner} has {count} task{'' if count == 1 else 's'}.")
        if options["dry_run"]:
            return
        if not options["yes"]:
            raise CommandError("Nothing was erased. --yes erases them.")
        with tqdm(total=count, unit="task", disable=None) as bar:
            tasks, entries, gone = data.erase(owner, bar.update)
        erased = f"Erased {tasks} task{'' if tasks == 1 else 's'}, "
        if not gone:
            raise CommandError(f"{erased}{data.STILL_READ} Run it again.")
        self.stdout.write(f"{erased}and {entries} entr{'y' if entries == 1 else 'ies'} of the admin's log.")
