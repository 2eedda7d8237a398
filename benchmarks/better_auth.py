"""Better Auth's part: tokens as its jwt() plugin issues them, and an address where their keys are published."""

import time
from functools import cache
from typing import Any

import jwt

from todo_project.tests.key_server import KeyServer, entry, key_pair

SECRET = "benchmarks-only: forty-two bytes, no meaning"
PUBLISHED = ("EdDSA", "ES256", "RS256")  # Better Auth's default, and two of its options.
ALGORITHMS = (*PUBLISHED, "HS256")


@cache
def url() -> str:
    """Better Auth's address: a server on 127.0.0.1, in a thread that ends with this process."""
    return KeyServer(*map(entry, PUBLISHED, PUBLISHED)).url.removesuffix("/jwks")


def token(user: str, algorithm: str = "EdDSA", key: Any = None, **claims: Any) -> str:
    """A token with the header and the claims of jwt(), and a life that is long enough for a run."""
    now, moment = int(time.time()), "2025-01-01T00:00:00.000Z"
    claims = {
        "iat": now, "name": "Alice Example", "email": f"{user}@example.com", "emailVerified": True, "image": None,
        "createdAt": moment, "updatedAt": moment, "id": user, "sub": user, "exp": now + 12 * 3600, "iss": url(), "aud": url(),
    } | claims  # fmt: skip
    if algorithm not in PUBLISHED:
        return jwt.encode(claims, None if algorithm == "none" else key or SECRET, algorithm)
    return jwt.encode(claims, key or key_pair(algorithm, algorithm), algorithm, {"kid": algorithm, "typ": None})
