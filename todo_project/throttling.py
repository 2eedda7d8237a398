"""Fair use: THROTTLE_RATE limits each user's requests and, behind a trusted proxy, each address's guesses.

settings.py uses these classes only if THROTTLE_RATE is set.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from limits import RateLimitItem, parse
from limits.storage import RedisStorage
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from todo_project.authentication import Principal
from todo_project.logging import OncePerSecond
from todo_project.middleware import client_address
from todo_project.problems import problem_response

logger = logging.getLogger("todo_project.throttling")
logger.addFilter(OncePerSecond())

MAX_COUNTERS = 100_000
STORAGE_TIMEOUT = 0.25  # How many seconds a request waits for the storage before it goes uncounted.
STORAGE_PAUSE = 1.0  # For how many seconds a storage that failed is not asked again.


class ProcessCounters:
    """Counts in this process alone, for at most MAX_COUNTERS users and addresses.

    The memory storage of `limits` is not used: a request may have to go through all of its counters, and two threads
    that count at the same moment may both get the second one's number.
    """

    def __init__(self) -> None:
        self.windows: dict[str, tuple[int, float]] = {}
        self.swept = 0.0
        self.lock = threading.Lock()

    def hit(self, key: str, seconds: int, amount: int) -> tuple[int, float]:
        now = time.monotonic()
        with self.lock:
            if now - self.swept > seconds:
                self.windows = {name: window for name, window in self.windows.items() if window[1] > now}
                self.swept = now
            count, ends = self.windows.get(key, (0, 0.0))
            if ends <= now:
                self.windows.pop(key, None)  # Inserting it again below makes it the newest.
                count, ends = 0, now + seconds
            self.windows[key] = count + amount, ends
            if len(self.windows) > MAX_COUNTERS:
                del self.windows[next(iter(self.windows))]
        return count + amount, ends - now


class RedisCounters(RedisStorage):
    """Counts for all processes that use the same Redis, in one round trip."""

    SCRIPT = """
        local count = redis.call('INCRBY', KEYS[1], ARGV[1])
        if redis.call('PTTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
        return {count, redis.call('PTTL', KEYS[1])}
    """

    def initialize_storage(self, _uri: str) -> None:
        self.count = self.storage.register_script(self.SCRIPT)
        self.threads = ThreadPoolExecutor(settings.SERVER.threads, thread_name_prefix="redis")

    def hit(self, key: str, seconds: int, amount: int) -> tuple[int, float]:
        """Ask in another thread, because nothing else ends the wait for a name server.

        Raises:
            Exception: any, since something else than Redis may answer.
        """
        asked = self.threads.submit(self.count, [self.prefixed_key(key)], [amount, seconds])
        try:
            answer = asked.result(STORAGE_TIMEOUT)
        finally:
            asked.cancel()  # If it has not begun, nobody waits for it any more.
        match answer:
            case [int(count), int(milliseconds)]:
                return count, milliseconds / 1000
        raise ValueError("This is no answer of the script.")


class Allowance(NamedTuple):
    """How many requests are left (negative for a request over the rate), and for how many seconds."""

    left: int
    seconds: int


@cache
def rate() -> RateLimitItem:
    return parse(settings.THROTTLE_RATE)


def counters() -> ProcessCounters | RedisCounters:
    if not settings.THROTTLE_STORAGE:
        return ProcessCounters()
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return RedisCounters(
        settings.THROTTLE_STORAGE,
        socket_timeout=STORAGE_TIMEOUT,
        socket_connect_timeout=STORAGE_TIMEOUT,
        retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]  # limits passes every option on to redis.
    )


COUNTERS = counters()  # Not created by the first request, because two requests may be the first.
paused_until = 0.0


def count(kind: str, name: str, amount: int = 1) -> Allowance | None:
    """Count a request and return what is left, in a window that begins with its first request.

    None while Redis does not answer as it should: enforcing the rate is not worth an outage.
    """
    global paused_until
    limit = rate()
    key = limit.key_for(kind, name)
    if isinstance(COUNTERS, ProcessCounters):
        counted, seconds = COUNTERS.hit(key, limit.get_expiry(), amount)
    elif time.monotonic() < paused_until:
        return None
    else:
        try:
            counted, seconds = COUNTERS.hit(key, limit.get_expiry(), amount)
        except Exception as error:
            paused_until = time.monotonic() + STORAGE_PAUSE
            host = urlsplit(settings.THROTTLE_STORAGE).netloc.rpartition("@")[2]
            logger.warning("Requests go uncounted: Redis at %s cannot be asked (%s)", host, type(error).__name__)
            return None
    return Allowance(limit.amount - counted, max(1, math.ceil(round(seconds, 3))))


class UserThrottle(BaseThrottle):
    """Counts a request that is about to be served. DRF calls this after authentication and permissions."""

    allowance: Allowance | None

    def allow_request(self, request: Request, view: Any) -> bool:
        self.allowance = request._request.allowance = count("user", request.user.subject)  # type: ignore[attr-defined, union-attr]  # For the middleware below; the user is a Principal.
        return self.allowance is None or self.allowance.left >= 0

    def wait(self) -> float | None:
        return self.allowance and self.allowance.seconds


class FairUseMiddleware:
    """Tells each signed-in user what is left, and refuses an address after too many invalid tokens or sign-ins."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.sign_ins = {"/login", f"/{settings.ADMIN_PATH}/login/"}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method == "POST" and request.path_info in self.sign_ins:
            return self.refusal(request, "sign-in") or self.get_response(request)
        response = self.get_response(request)
        user = getattr(request, "user", None)
        if type(user) is Principal:  # Not isinstance, which would load the admin's lazy user.
            self.describe(request, user, response)
        # A missing or an expired token is no guess.
        elif response.status_code == 401 and getattr(response, "data", {}).get("code") == "token_invalid":
            return self.refusal(request, "address") or response
        return response

    def refusal(self, request: HttpRequest, kind: str) -> HttpResponseBase | None:
        """Count this request for its address, if a trusted proxy reports it; return a 429 if it is over the rate."""
        address = client_address(request) if settings.TRUSTED_PROXIES else None
        allowance = count(kind, address) if address else None
        if allowance is None or allowance.left >= 0:
            return None
        detail = f"Too many invalid tokens or sign-ins from your address. Try again in {allowance.seconds} seconds."
        return problem_response(request, 429, "throttled", detail, {"Retry-After": str(allowance.seconds)})

    def describe(self, request: HttpRequest, user: Principal, response: HttpResponseBase) -> None:
        """Set the fields of draft-ietf-httpapi-ratelimit-headers. A 403 has them too, although it was not counted."""
        response["RateLimit-Policy"] = f'"user";q={rate().amount};w={rate().get_expiry()}'
        if not hasattr(request, "allowance"):
            request.allowance = count("user", user.subject, 0)  # type: ignore[attr-defined]  # As above.
        if allowance := request.allowance:  # type: ignore[attr-defined]  # As above.
            response["RateLimit"] = f'"user";r={max(0, allowance.left)};t={allowance.seconds}'
