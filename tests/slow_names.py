"""The application where the name server does not answer for `redis.internal`: a lookup takes as long as the system's resolver waits."""

import socket
import time
from typing import Any

from todo_project.wsgi import application as application

lookup = socket.getaddrinfo


def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
    if host == "redis.internal":
        time.sleep(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return lookup(host, *arguments, **options)


socket.getaddrinfo = getaddrinfo
