"""Faults that are real: a database that is away, and the log as an operator reads it."""

import io
import logging
import socket

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections

from todo_project.logging import LineFormatter, OncePerSecond, refusals
from todo_project.postgresql.base import DatabaseWrapper


@pytest.fixture
def database_away(django_db_blocker):
    """The default database is a PostgreSQL server at a closed port."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # Taken, but nobody listens.
        there = connections["default"]
        address = {"HOST": "127.0.0.1", "PORT": closed.getsockname()[1], "USER": "u", "PASSWORD": "p", "NAME": "n"}
        options = {"ENGINE": "todo_project.postgresql", "OPTIONS": {"connect_timeout": 2}}
        connections["default"] = DatabaseWrapper({**there.settings_dict, **options, **address}, "default")
        try:
            with django_db_blocker.unblock():
                yield
        finally:
            connections["default"] = there


@pytest.fixture
def connection_stays_open() -> None:
    """For tests that call the WSGI application itself: its signals would close a test's own connection.

    Django's test client keeps them from that, and connects them again after each of its requests.
    """
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)


@pytest.fixture
def log():
    """What the project's own handler writes."""
    (handler,) = [one for one in logging.getLogger().handlers if isinstance(one.formatter, LineFormatter)]
    (limit,) = [one for one in refusals.filters if isinstance(one, OncePerSecond)]
    limit.last.clear()  # What another test had said must not keep this one's lines out.
    written = io.StringIO()
    before = handler.setStream(written)
    yield written
    handler.setStream(before)
