import os
import shlex
import socket
import sys
from io import StringIO
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Migrates, prints how to call the service, and becomes gunicorn, the server that production runs too."""

    help = "Migrate, print the address, a token and a first command, and serve with gunicorn."

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
        self.check_address(host, port)
        call_command("migrate", verbosity=0, interactive=False)

        address = f"http://{host}:{port}"
        self.stdout.write(f"Todo API at {address}, documentation at {address}/docs")
        if settings.BETTER_AUTH_SECRETS:
            printed = StringIO()
            call_command("issue_token", "demo", days=7, stdout=printed)
            token = printed.getvalue().strip()
            self.stdout.write(f"A token for the user demo, for a week: {token}")
            body = shlex.quote('{"title": "My first task"}')
            self.stdout.write(
                f"curl -s {address}/api/demo/tasks -H 'Authorization: Bearer {token}' "
                f"-H 'Content-Type: application/json' -d {body}"
            )
        self.stdout.flush()
        os.chdir(settings.BASE_DIR)
        # gunicorn itself reads the last one, and does not take an empty one.
        os.environ.update(HOST=host, PORT=port, WEB_CONCURRENCY=os.environ.get("WEB_CONCURRENCY") or "2")
        os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "todo_project.wsgi"])  # noqa: S606

    def check_address(self, host: str, port: str) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError as error:
                raise CommandError(f"Cannot listen on {host}:{port} ({error.strerror}). PORT=8001 make run") from None
