"""Starts the Better Auth server beside this file and speaks to it as a frontend does.

For example:

    with BetterAuthServer.start(mode="hs256", secret=SECRET) as server:
        session = server.sign_up("ann@example.com")
        token = server.token(session)
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import unquote, urlencode

HERE = Path(__file__).resolve().parent
OLDEST_NODE = 20
SESSION_DATA_COOKIE = "better-auth.session_data"
TIMEOUT = 30.0


def why_unavailable() -> str | None:
    """What is missing before the server can start, to say in a skipped test; None: nothing."""
    node = shutil.which("node")
    if node is None:
        return f"Node is not installed (needs {OLDEST_NODE} or newer)"
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = answer.stdout.strip()
    major = version.removeprefix("v").split(".")[0]
    if not major.isdigit() or int(major) < OLDEST_NODE:
        return f"Node is {version or 'broken'} (needs {OLDEST_NODE} or newer)"
    wanted: dict[str, str] = json.loads((HERE / "package.json").read_text())["dependencies"]
    for name, pin in wanted.items():
        manifest = HERE / "node_modules" / name / "package.json"
        # An older install must not pass for the pinned one.
        if not manifest.is_file() or json.loads(manifest.read_text())["version"] != pin:
            return f"{name} {pin} is not installed (run npm ci in tests/better_auth)"
    return None


def available() -> bool:
    return why_unavailable() is None


class BetterAuthError(Exception):
    """The server did not start, or answered a request with an error."""


@dataclass(frozen=True)
class Session:
    """One signed-up user with a browser's cookies."""

    user_id: str
    email: str
    # The opaque session token, as the sign-up answer's body has it.
    session_token: str
    # The same with Better Auth's signature, as the header set-auth-token has it.
    bearer_token: str
    cookies: CookieJar


class BetterAuthServer:
    def __init__(self, process: subprocess.Popen[str], base_url: str) -> None:
        self._process = process
        # Also the issuer and the audience of its tokens.
        self.base_url = base_url
        self.jwks_url = f"{base_url}/api/auth/jwks"

    @classmethod
    def start(
        cls,
        mode: Literal["jwks", "hs256"] = "jwks",
        secret: str | None = None,
        alg: Literal["EdDSA", "ES256", "ES512", "RS256", "PS256"] = "EdDSA",
        port: int = 0,
        **env: str,
    ) -> BetterAuthServer:
        """Start a server and wait until it answers.

        `env` goes to the server as it is; server.mjs lists what it reads.
        """
        node = shutil.which("node")
        if node is None:
            raise BetterAuthError("Node is not installed")
        # A fresh environment: the caller's own BETTER_AUTH_* settings must not reach the server.
        environment = {"PATH": os.environ.get("PATH", ""), "EXIT_WITH_STDIN": "1"}
        environment |= {"MODE": mode, "ALG": alg, "PORT": str(port)}
        if secret is not None:
            environment["BETTER_AUTH_SECRET"] = secret
        environment |= env
        process = subprocess.Popen(
            [node, "server.mjs"],
            cwd=HERE,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], TIMEOUT)
        word, _, number = (process.stdout.readline() if readable else "").strip().partition(" ")
        server = cls(process, f"http://127.0.0.1:{number}")
        if word != "ready":
            server.stop()
            raise BetterAuthError("the server did not start; standard error has its words")
        return server

    def stop(self) -> None:
        """End the server. What it held is gone. A second call does nothing."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> BetterAuthServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def sign_up(self, email: str, **members: str) -> Session:
        return self._enter("sign-up", email, name="Test", **members)

    def sign_in(self, email: str) -> Session:
        return self._enter("sign-in", email)

    def _enter(self, how: str, email: str, **members: str) -> Session:
        cookies = CookieJar()
        body = {"email": email, "password": "correct horse battery", **members}
        answer, headers = self._call("POST", f"/api/auth/{how}/email", cookies, body)
        return Session(
            user_id=answer["user"]["id"],
            email=email,
            session_token=answer["token"],
            bearer_token=headers["set-auth-token"],
            cookies=cookies,
        )

    def is_signed_in(self, session: Session) -> bool:
        """Return whether Better Auth still takes the session's cookie."""
        answer, _ = self._call("GET", "/api/auth/get-session", session.cookies)
        return answer is not None and bool(answer["user"]["id"] == session.user_id)

    def restart(self, **secrets: str) -> None:
        """Start Better Auth anew with these variables; its database stays."""
        self._call("POST", f"/restart?{urlencode(secrets)}")

    def token(self, session: Session) -> str:
        """The jwt plugin's token: signed with a published key in mode jwks, with the shared secret in mode hs256."""
        answer, _ = self._call("GET", "/api/auth/token", session.cookies)
        return str(answer["token"])

    def header_token(self, session: Session) -> str:
        """The jwt plugin's token, from the header set-auth-jwt on /get-session."""
        _, headers = self._call("GET", "/api/auth/get-session", session.cookies)
        return str(headers["set-auth-jwt"])

    def own_token(self, session: Session) -> str:
        """The token of the frontend's own endpoint, signed with the shared secret."""
        answer, _ = self._call("GET", "/own-token", session.cookies)
        return str(answer["token"])

    def session_data_cookie(self, session: Session) -> str:
        """The session-data cookie. With COOKIE_CACHE_KEY="jwks" it is signed with the published key."""
        return self._cookie(session, SESSION_DATA_COOKIE)

    def delete_user(self, session: Session) -> None:
        """Delete the user's account, as its owner does."""
        self._call("POST", "/api/auth/delete-user", session.cookies, {})

    def erase_tasks(self, user_id: str) -> None:
        """Let the frontend's own job erase the tasks of a user, who may be gone."""
        self._call("POST", f"/erase-tasks?user={user_id}")

    def verification_token(self, email: str) -> str:
        """The verification token in the newest e-mail to this address."""
        mails, _ = self._call("GET", "/mailbox")
        for mail in reversed(mails):
            if mail["email"] == email.lower():  # Better Auth stores it so
                return str(mail["token"])
        raise BetterAuthError(f"no e-mail to {email}")

    def session_token(self, session: Session) -> str:
        """The session token, as the sign-up answer has it; `session.bearer_token` is the signed form."""
        return session.session_token

    def rotate_keys(self, withdraw: bool = False) -> str:
        """Make Better Auth rotate; gives the new key's id.

        The old key stays in the JWKS, as it does for 30 days. With `withdraw` they are over too.
        """
        answer, _ = self._call("POST", "/rotate-keys?withdraw" if withdraw else "/rotate-keys")
        (made,) = answer["made"]
        return str(made)

    def keys(self, state: Literal["on", "off", "hang"]) -> None:
        """The JWKS endpoint answers (on), answers 500 (off), or never answers (hang)."""
        self._call("POST", f"/keys-{state}")

    def keys_fetched(self) -> int:
        """How often the JWKS endpoint was asked, whatever it answered."""
        answer, _ = self._call("GET", "/keys-fetched")
        return int(answer["fetched"])

    def jwks(self) -> list[dict[str, Any]]:
        answer, _ = self._call("GET", "/api/auth/jwks")
        keys: list[dict[str, Any]] = answer["keys"]
        return keys

    def _cookie(self, session: Session, name: str) -> str:
        for cookie in session.cookies:
            if cookie.name == name and cookie.value is not None:
                return unquote(cookie.value)
        raise BetterAuthError(f"no cookie {name}")

    def _call(
        self,
        method: str,
        path: str,
        cookies: CookieJar | None = None,
        body: dict[str, str] | None = None,
    ) -> tuple[Any, Any]:
        # An empty ProxyHandler: a proxy set for the machine has no business with a local address.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(cookies if cookies is not None else CookieJar()),
        )
        request = urllib.request.Request(
            self.base_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            # Better Auth refuses a change that carries cookies but no Origin.
            headers={"Origin": self.base_url, "Content-Type": "application/json"},
        )
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                return json.load(response), response.headers
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace")
            raise BetterAuthError(f"{method} {path}: {error.code} {said}") from error
