"""How gunicorn serves the project; the reasons and figures are in specs/002-backend-foundation/research.md."""

import os
from pathlib import Path

from dotenv import load_dotenv

load_dotenv(Path(__file__).resolve().parent / ".env")

# A container is reached from outside.
bind = f"{os.environ.get('HOST') or '0.0.0.0'}:{os.environ.get('PORT') or 8000}"  # noqa: S104
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)

# gthread keeps connections alive, which the sync worker does not.
worker_class = "gthread"
threads = int(os.environ.get("GUNICORN_THREADS") or 8)
keepalive = 75

# A cursor with a title in it can take 3,200 bytes, a search 2,400.
limit_request_line = 8190

# The project writes its own line for each request: it leaves out the query, which holds search words.
accesslog = None
# gunicorn's control socket would let whoever reaches it steer the server; nobody here needs it.
control_socket_disable = True
