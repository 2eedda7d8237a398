from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import F
from django.utils import timezone

from tasks.models import Task

PROMISED_HOURS = 24
BATCH_SIZE = 1000


class Command(BaseCommand):
    """Clears the Idempotency-Keys of old tasks; clients see no change in the tasks."""

    help = "Clear the Idempotency-Keys of tasks that were created more than HOURS ago. Run it once a day or so."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--hours",
            type=int,
            default=PROMISED_HOURS,
            help=f"how long a key is held, at least {PROMISED_HOURS} (default: {PROMISED_HOURS})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["hours"] < PROMISED_HOURS:
            raise CommandError(f"Clients were promised that a key holds for {PROMISED_HOURS} hours.")
        try:
            before = timezone.now() - timedelta(hours=options["hours"])
        except OverflowError:
            raise CommandError(f"{options['hours']} hours ago there was no time yet.") from None
        old = Task.objects.filter(idempotency_key__isnull=False, created_at__lt=before)
        found = old.order_by("user_id").values_list("user_id", "pk")
        cleared, owner = 0, ""
        # In small batches, so that users' own writes do not wait long for the locks.
        while batch := list(found.filter(user_id__gte=owner)[:BATCH_SIZE]):
            owners, ids = zip(*batch, strict=True)
            owner = owners[-1]
            cleared += Task.objects.filter(user_id__in=set(owners), pk__in=ids).update(
                idempotency_key=None,
                idempotency_fingerprint=None,
                updated_at=F("updated_at"),  # Clients see no change, so the entity tags must not change.
            )
        self.stdout.write(f"Cleared {cleared} key{'' if cleared == 1 else 's'}.")
