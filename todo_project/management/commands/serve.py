import errno
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.http.request import split_domain_port, validate_host

from todo_project.environment import BASE_DIR, Server, env
from todo_project.pages import better_auth_token_page

# Clients cannot connect to an address that stands for all of a machine's.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class Command(BaseCommand):
    """Migrates, prints how to call the service, and becomes gunicorn, the server that production runs too."""

    help = "Migrate, print the address, a token and a first command, and serve with gunicorn."

    def handle(self, *args: Any, **options: Any) -> None:
        server: Server = settings.SERVER
        if not env("HOST"):
            server = server._replace(host="127.0.0.1")
        self.check_address(server)
        call_command("migrate", verbosity=0, interactive=False)
        for line in self.how_to_call(server._replace(host=LOOPBACK.get(server.host, server.host)).bind):
            self.stdout.write(line)
        self.stdout.flush()
        os.chdir(BASE_DIR)
        # gunicorn itself reads the last one, and does not take an empty one.
        os.environ.update(HOST=server.host, WEB_CONCURRENCY=str(server.processes))
        # At this level gunicorn does not push the lines above out of sight; the project's own log is not concerned.
        gunicorn = ["-m", "gunicorn", "-c", "gunicorn.conf.py", "--log-level", "warning", "todo_project.wsgi"]
        os.execv(sys.executable, [sys.executable, *gunicorn])  # noqa: S606

    def how_to_call(self, host: str) -> Iterator[str]:
        address = f"http://{host}"
        yield f"Todo API: {address}"
        name, _ = split_domain_port(host)
        if not (name and validate_host(name, settings.ALLOWED_HOSTS)):
            yield f"That address is answered with 400 until {name or host} is in DJANGO_ALLOWED_HOSTS."
        if settings.HTTPS:
            yield "That address only redirects to https, since DJANGO_HTTPS is true: it needs a proxy in front."
        if settings.BETTER_AUTH_SECRETS:
            printed = StringIO()
            call_command("issue_token", "demo", days=7, stdout=printed)
            token = printed.getvalue().strip()
            yield f"A token for the user demo, for a week: {token}"
            body = shlex.quote('{"title": "My first task"}')
            # The brackets of an IPv6 address would have a meaning of their own in a shell and to curl.
            yield (
                f"curl -s {shlex.quote(f'{address}/api/demo/tasks')} -H 'Authorization: Bearer {token}' "
                f"-H 'Content-Type: application/json' -d {body}"
            )
        else:
            yield (
                "There is no token to print, since BETTER_AUTH_SECRET is not set: sign in to your frontend, and take "
                f"the one that Better Auth shows there, at {better_auth_token_page()} (authClient.token() in code)."
            )
        yield f"Documentation: {address}/docs"

    def check_address(self, server: Server) -> None:
        with socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((server.host, server.port))
            except OSError as error:
                elsewhere = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
                advice = "HOST must be an address of this machine." if elsewhere else "PORT=8001 make run"
                raise CommandError(f"Cannot listen on {server.bind} ({error.strerror}). {advice}") from None
