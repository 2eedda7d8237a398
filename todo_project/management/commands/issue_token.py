import time
from typing import Any

import jwt
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from todo_project.authentication import verify


class Command(BaseCommand):
    """Prints a development token, signed with the shared secret as Better Auth's own would be."""

    help = "Print a token for USER, signed with BETTER_AUTH_SECRET, for development and tests."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the user id, which becomes the token's subject")
        parser.add_argument("--days", type=int, default=1, help="how long it is valid (default: 1)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.BETTER_AUTH_SECRETS:
            raise CommandError("BETTER_AUTH_SECRET is not set: only Better Auth itself can issue tokens here.")
        now = int(time.time())
        claims = {"sub": options["user"], "iat": now, "exp": now + options["days"] * 24 * 3600}
        if settings.BETTER_AUTH_ISSUER:
            claims["iss"] = settings.BETTER_AUTH_ISSUER
        if settings.BETTER_AUTH_AUDIENCE:
            claims["aud"] = settings.BETTER_AUTH_AUDIENCE
        token = jwt.encode(claims, settings.BETTER_AUTH_SECRETS[0], "HS256")
        try:
            verify(token.encode())
        except Exception as error:
            raise CommandError(f"This service would not accept that token: {error}") from None
        self.stdout.write(token)
