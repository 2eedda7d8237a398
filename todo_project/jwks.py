"""The public keys that Better Auth publishes, fetched from the one configured address and kept in the process."""

import contextvars
import json
import logging
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from django.conf import settings
from jwt import PyJWK
from jwt.exceptions import PyJWTError

logger = logging.getLogger(__name__)

ALGORITHMS = frozenset({"EdDSA", "ES256", "ES512", "RS256", "PS256"})
TIMEOUT_SECONDS = 3.0
MAX_BYTES = 256 * 1024
# Older keys are fetched again. A key that is no longer listed is then refused, unless the server is away or slow.
MAX_AGE_SECONDS = 300.0
PATIENCE_SECONDS = 0.25  # How long a request whose key is cached waits for a fetch.
PAUSE_SECONDS = 1.0


class KeyServerUnavailable(Exception):
    """The keys could not be fetched, so the token can be neither accepted nor refused."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None  # urllib then raises HTTPError: the address is fixed.


class _Fetch:
    """One attempt to get the keys, in a thread of its own, so that a server that drips cannot hold a request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.started = time.monotonic()
        self.done = threading.Event()
        self.awaited = threading.Lock()  # Taken by the one request that waits until the end.
        self.keys: dict[str, PyJWK] | None = None
        self.reported = False

    def run(self) -> dict[str, PyJWK]:
        """Fetch the keys and return them by `kid`.

        Raises:
            OSError, HTTPException, ValueError: the fetch failed; `_explain` words it for the log.
        """
        opener = urllib.request.build_opener(_NoRedirect)
        # Some firewalls block urllib's default User-Agent.
        opener.addheaders = [("User-Agent", f"todo-backend/{settings.SPECTACULAR_SETTINGS['VERSION']}")]
        with opener.open(self.url, timeout=TIMEOUT_SECONDS) as response:
            body = b""
            while len(body) <= MAX_BYTES and (chunk := response.read1(64 * 1024)):
                body += chunk
                if time.monotonic() - self.started > TIMEOUT_SECONDS:
                    raise TimeoutError("the answer takes too long")
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        if len(body) > MAX_BYTES:
            raise ValueError(f"the answer has more than {MAX_BYTES} bytes")
        try:
            self.keys = usable_keys(json.loads(body))
        except (ValueError, RecursionError):
            raise ValueError(f"the answer, {response.headers.get_content_type()}, is no JWKS") from None
        return self.keys


def _explain(error: Exception) -> str:
    """Word a failed fetch for the log. http.client's messages are left out: they may quote the address's query."""
    if isinstance(error, urllib.error.HTTPError):
        target = error.headers.get("Location", "")
        return f"status {error.code}" + (f" to {_without_secrets(target)}" if target else "")
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    return type(error).__name__ + ("" if isinstance(error, HTTPException) else f": {error}")


def _without_secrets(address: str) -> str:
    """Return the address without its user, password, query and fragment."""
    return re.sub(r"[?#].*", "", re.sub(r"//[^/?#]*@", "//", address), flags=re.DOTALL)


def usable_keys(document: Any) -> dict[str, PyJWK]:
    """Return the signature keys of a JWKS (RFC 7517) by `kid`, skipping those this service cannot use.

    An empty result is valid: an idle Better Auth lists no key once its last one has expired.

    Raises:
        ValueError: the document is not a JWKS.
    """
    found: dict[str, PyJWK] = {}
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS")
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
            continue
        if "d" in entry:  # A private key that was published by mistake: anybody may sign with it.
            continue
        try:
            if "verify" not in entry.get("key_ops", ["verify"]):
                continue
            key = PyJWK(entry)
            key.key = key.Algorithm.prepare_key(
                key.key
            )  # Refuses a key that does not fit its algorithm, such as another curve.
        except (PyJWTError, ValueError, TypeError, LookupError, NotImplementedError):
            continue
        if key.algorithm_name in ALGORITHMS and not key.Algorithm.check_key_length(key.key):
            found[entry["kid"]] = key
    return found


class KeySet:
    """The keys published at `url`, cached. At most one fetch runs at a time, and at most one starts per second."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = float("-inf")
        self._fetch: _Fetch | None = None
        self._failing = False

    def get(self, kid: str) -> PyJWK | None:
        """Return the key with this `kid`, or None if the server does not list it.

        A fresh cached key is returned at once. For an old one a fetch is awaited briefly, and the old key is kept if
        the fetch fails or is slow. A key that is not cached waits for a fetch to end; if the server is slow, only one
        request does, so that a flood of unknown keys cannot hold every thread.

        Raises:
            KeyServerUnavailable: the key is not cached and the last fetch failed or takes too long.
        """
        key = self._keys.get(kid)
        if key is not None and time.monotonic() - self._fetched_at <= MAX_AGE_SECONDS:
            return key
        fetch = self._current_fetch()
        patient = key is None and fetch.awaited.acquire(blocking=False)
        patience = TIMEOUT_SECONDS if patient else PATIENCE_SECONDS
        done = fetch.done.wait(max(0.0, fetch.started + patience - time.monotonic()))
        if fetch.keys is not None:
            return fetch.keys.get(kid)
        if key is None:
            if patient and not done:
                self._report(fetch, f"no answer within {TIMEOUT_SECONDS:g} seconds")
            raise KeyServerUnavailable
        return key

    def _current_fetch(self) -> _Fetch:
        """Return the fetch that is running or started within the last second; otherwise start a new one."""
        with self._lock:
            last, now = self._fetch, time.monotonic()
            pause = PAUSE_SECONDS if last is None or last.done.is_set() else 2 * TIMEOUT_SECONDS
            if last is None or now - last.started > pause:
                last = self._fetch = _Fetch(self.url)
                # Run in this request's context, so that the fetch's log lines carry its id.
                run = contextvars.copy_context().run
                threading.Thread(target=run, args=(self._run, last), daemon=True).start()
            return last

    def _run(self, fetch: _Fetch) -> None:
        try:
            self._keys, self._fetched_at = fetch.run(), time.monotonic()
            if self._failing:
                logger.info("The keys are there again: %s", _without_secrets(self.url))
            self._failing = False
        except (OSError, HTTPException, ValueError) as error:  # The cached keys stay.
            self._report(fetch, _explain(error))
        finally:
            fetch.done.set()

    def _report(self, fetch: _Fetch, failure: str) -> None:
        """Log why a fetch failed, once per fetch and so at most once a second."""
        if not fetch.reported:
            fetch.reported = self._failing = True
            logger.error("No keys from %s: %r", _without_secrets(self.url), failure[:300])
