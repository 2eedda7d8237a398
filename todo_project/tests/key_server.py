"""Key pairs, tokens signed with them, and a small HTTP server that publishes keys, or lies about them."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ALGORITHMS = ("EdDSA", "ES256", "ES512", "RS256", "PS256")


@cache
def key_pair(algorithm: str, kid: str = "key-1") -> Any:
    """A private key; each name has its own."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in {"ES256", "ES512"}:
        return ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP521R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def entry(algorithm: str = "EdDSA", kid: str = "key-1") -> dict[str, Any]:
    """The public half, as Better Auth lists it: with `alg` and `kid`, without `use`."""
    kind = OKPAlgorithm if algorithm == "EdDSA" else ECAlgorithm if algorithm.startswith("ES") else RSAAlgorithm
    public = kind.to_jwk(key_pair(algorithm, kid).public_key(), as_dict=True)
    return {name: value for name, value in public.items() if name != "key_ops"} | {"alg": algorithm, "kid": kid}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims_of(subject: Any = "alice", **claims: Any) -> dict[str, Any]:
    now = int(time.time())
    merged = {"sub": subject, "iat": now, "exp": now + 900, **claims}
    return {name: value for name, value in merged.items() if value is not None}


def signed(subject: str = "alice", algorithm: str = "EdDSA", kid: str = "key-1", **claims: Any) -> str:
    """A token as Better Auth's plugin signs it, with a published key."""
    return jwt.encode(claims_of(subject, **claims), key_pair(algorithm, kid), algorithm, {"kid": kid, "typ": None})


def forged(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, secret: bytes) -> str:
    """Any header and payload, bytes as they are, with an HMAC over them."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    text = ".".join(map(b64, parts))
    return f"{text}.{b64(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def answer_json(document: Any, status: int = 200) -> Callable[[BaseHTTPRequestHandler], None]:
    return answer_bytes(json.dumps(document).encode(), status)


def answer_bytes(body: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class KeyServer:
    """Answers as `answer` says; counts how often, when, and how many at a time."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.publish(*entries)
        self.asked_at: list[float] = []
        self.at_once = self.most_at_once = 0
        self.stopping = threading.Event()
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    server.asked_at.append(time.monotonic())
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                try:
                    server.answer(self)
                except OSError:
                    pass  # The other side has given up.
                finally:
                    with lock:
                        server.at_once -= 1

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def publish(self, *entries: dict[str, Any]) -> None:
        self.answer = answer_json({"keys": list(entries)})

    @property
    def fetched(self) -> int:
        return len(self.asked_at)

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "KeyServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.stopping.is_set():
            self.stop()
