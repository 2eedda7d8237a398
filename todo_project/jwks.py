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
# After this a cached key is asked for again: one no longer listed is refused, unless the server is away or slow.
MAX_AGE_SECONDS = 300.0
PATIENCE_SECONDS = 0.25  # How long a request waits for news of a key that is cached.
PAUSE_SECONDS = 1.0


class KeyServerUnavailable(Exception):
    """The keys could not be had, so nothing can be said about the token."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None  # urllib then raises HTTPError: the address is fixed.


class _Fetch:
    """One attempt to get the keys, in a thread of its own, so that a server that drips cannot hold a request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.started = time.monotonic()
        self.done = threading.Event()
        self.keys: dict[str, PyJWK] | None = None
        self.reported = False

    def run(self) -> dict[str, PyJWK]:
        """Fetch the keys, and return them.

        Raises:
            OSError, HTTPException, ValueError: there are none to be had; see `_explain`.
        """
        opener = urllib.request.build_opener(_NoRedirect)
        # Some firewalls turn urllib's own name away.
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
    """What went wrong, for the log. http.client's own words are left out: they may quote the address's query."""
    if isinstance(error, urllib.error.HTTPError):
        target = error.headers.get("Location", "")
        return f"status {error.code}" + (f" to {_without_secrets(target)}" if target else "")
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    return type(error).__name__ + ("" if isinstance(error, HTTPException) else f": {error}")


def _without_secrets(address: str) -> str:
    """The address without a user, a password or a query."""
    return re.sub(r"[?#].*", "", re.sub(r"//[^/?#]*@", "//", address), flags=re.DOTALL)


def usable_keys(document: Any) -> dict[str, PyJWK]:
    """The signature keys of a JWKS (RFC 7517) by `kid`; what we cannot use is passed over.

    None at all is an answer: an idle Better Auth lists none once the old key's time is over.

    Raises:
        ValueError: this is no JWKS.
    """
    found: dict[str, PyJWK] = {}
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError("no JWKS")
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
            continue
        if "d" in entry:  # A private key that is published is everybody's.
            continue
        try:
            key = PyJWK(entry)
            key.key = key.Algorithm.prepare_key(key.key)  # Refuses what does not fit, such as another curve.
        except (PyJWTError, ValueError, TypeError, LookupError, NotImplementedError):
            continue
        if key.algorithm_name in ALGORITHMS:
            found[entry["kid"]] = key
    return found


class KeySet:
    """The keys at `url`. At most one fetch runs at a time, and at most one starts in a second."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = float("-inf")
        self._fetch: _Fetch | None = None
        self._failing = False

    def get(self, kid: str) -> PyJWK | None:
        """The key of that name, or None if the server lists none.

        A cached key is answered at once, also while the server is away; one that is not cached waits for a fetch.

        Raises:
            KeyServerUnavailable: the key is not cached and the last fetch failed or takes too long.
        """
        key = self._keys.get(kid)
        if key is not None and time.monotonic() - self._fetched_at <= MAX_AGE_SECONDS:
            return key
        fetch = self._current_fetch()
        patience = TIMEOUT_SECONDS if key is None else PATIENCE_SECONDS
        done = fetch.done.wait(max(0.0, fetch.started + patience - time.monotonic()))
        if fetch.keys is not None:
            return fetch.keys.get(kid)
        if key is None:
            if not done:
                self._report(fetch, f"no answer within {TIMEOUT_SECONDS:g} seconds")
            raise KeyServerUnavailable
        return key

    def _current_fetch(self) -> _Fetch:
        """The fetch that runs or ended within the last second; else a new one."""
        with self._lock:
            last, now = self._fetch, time.monotonic()
            pause = PAUSE_SECONDS if last is None or last.done.is_set() else 2 * TIMEOUT_SECONDS
            if last is None or now - last.started > pause:
                last = self._fetch = _Fetch(self.url)
                # In the context of the request that asks, so that the log carries its id.
                run = contextvars.copy_context().run
                threading.Thread(target=run, args=(self._run, last), daemon=True).start()
            return last

    def _run(self, fetch: _Fetch) -> None:
        try:
            self._keys, self._fetched_at = fetch.run(), time.monotonic()
            if self._failing:
                logger.info("The keys are there again: %s", _without_secrets(self.url))
            self._failing = False
        except (OSError, HTTPException, ValueError) as error:  # The keys we have stay.
            self._report(fetch, _explain(error))
        finally:
            fetch.done.set()

    def _report(self, fetch: _Fetch, failure: str) -> None:
        """Log why a fetch failed: one line for each fetch, and so at most one a second."""
        if not fetch.reported:
            fetch.reported = self._failing = True
            logger.error("No keys from %s: %r", _without_secrets(self.url), failure[:300])
