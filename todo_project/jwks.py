"""The public keys that Better Auth publishes, fetched from the one configured address and kept in the process."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

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

    def run(self) -> None:
        try:
            opener = urllib.request.build_opener(_NoRedirect)
            with opener.open(self.url, timeout=TIMEOUT_SECONDS) as response:
                body = b""
                while len(body) <= MAX_BYTES and (chunk := response.read1(64 * 1024)):
                    body += chunk
                    if time.monotonic() - self.started > TIMEOUT_SECONDS:
                        return
            if response.status == 200 and len(body) <= MAX_BYTES:
                self.keys = usable_keys(json.loads(body))
        except (OSError, HTTPException, ValueError, RecursionError):
            pass  # keys stays None: the fetch failed.


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
        self._good_at = float("-inf")
        self._fetch: _Fetch | None = None

    def get(self, kid: str) -> PyJWK | None:
        """The key of that name, or None if the server lists none.

        A cached key is answered at once, also while the server is away; one that is not cached waits for a fetch.

        Raises:
            KeyServerUnavailable: the key is not cached and the last fetch failed or takes too long.
        """
        key = self._keys.get(kid)
        if key is not None and time.monotonic() - self._good_at <= MAX_AGE_SECONDS:
            return key
        fetch = self._current_fetch()
        patience = TIMEOUT_SECONDS if key is None else PATIENCE_SECONDS
        fetch.done.wait(max(0.0, fetch.started + patience - time.monotonic()))
        if fetch.keys is not None:
            return fetch.keys.get(kid)
        if key is None:
            raise KeyServerUnavailable
        return key

    def _current_fetch(self) -> _Fetch:
        """The fetch that runs or ended within the last second; else a new one."""
        with self._lock:
            last, now = self._fetch, time.monotonic()
            pause = PAUSE_SECONDS if last is None or last.done.is_set() else 2 * TIMEOUT_SECONDS
            if last is None or now - last.started > pause:
                last = self._fetch = _Fetch(self.url)
                threading.Thread(target=self._run, args=(last,), daemon=True).start()
            return last

    def _run(self, fetch: _Fetch) -> None:
        try:
            fetch.run()
            if fetch.keys is not None:  # A failed fetch leaves the keys we have.
                self._keys, self._good_at = fetch.keys, time.monotonic()
        finally:
            fetch.done.set()
