"""From a Better Auth token to a principal. Nothing here touches the database."""

import re
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from jwt import InvalidSignatureError, PyJWK
from jwt.algorithms import HMACAlgorithm
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request, is_form_media_type
from rest_framework_simplejwt.authentication import JWTAuthentication

from todo_project import jwks
from todo_project.logging import refusals
from todo_project.problems import log_csrf_failure, unavailable
from todo_project.strict import decode_base64url, decode_json

LEEWAY_SECONDS = 30
MAX_SUBJECT = 255
FORBIDDEN_IN_SUBJECT = re.compile("[/\0\ud800-\udfff]")
SIGN_IN_COOKIE = "todo_sign_in"
MAX_COOKIE_SECONDS = 400 * 24 * 3600  # Browsers keep none longer, and a date past the year 9999 cannot be written.
MAX_COOKIE_TOKEN = 3500  # Browsers drop a cookie over 4 KiB without a word.


@dataclass(frozen=True)
class Principal:
    """The authenticated caller: the token's subject and nothing else, never staff."""

    subject: str
    is_authenticated: ClassVar = True
    is_staff: ClassVar = False

    @property
    def pk(self) -> str:
        return self.subject

    def __str__(self) -> str:
        return self.subject


# --- Tokens ---------------------------------------------------------------------------------------------------


Key = str | PyJWK  # A shared secret, or a published key.
# The two together bound the memory that remembered tokens take in each process.
REMEMBERED_TOKENS = 10_000
MAX_REMEMBERED_TOKEN = 2048

_HS256 = HMACAlgorithm(HMACAlgorithm.SHA256)
_key_set: jwks.KeySet | None = None
_key_set_lock = threading.Lock()


def key_set() -> jwks.KeySet:
    """Return this process's cache of the keys published at BETTER_AUTH_JWKS_URL."""
    global _key_set
    with _key_set_lock:
        if _key_set is None or _key_set.url != settings.BETTER_AUTH_JWKS_URL:
            _key_set = jwks.KeySet(settings.BETTER_AUTH_JWKS_URL)
        return _key_set


def invalid(detail: str) -> AuthenticationFailed:
    """Return a 401 `token_invalid`, and log why: a wrong secret or issuer in our settings would refuse everybody."""
    refusals.warning("A token is refused: %s", detail)
    return AuthenticationFailed(detail, "token_invalid")


def verify(raw: bytes) -> Mapping[str, Any]:
    """The claims of a token that Better Auth, or whoever has its secret, signed for an API.

    HS256 is tried with the shared secrets alone, an asymmetric algorithm with the key of the token's `kid` alone.
    `exp` must be an integer, `sub` a string of 1 to 255 characters; 30 seconds of clock difference are allowed.

    Raises:
        AuthenticationFailed: `token_expired`, or `token_invalid` for everything else that is wrong with it.
        Problem: 503, the key server is out of reach and the key is not known.
    """
    try:
        header = _header(raw.partition(b".")[0])
        if header.get("typ", "JWT") != "JWT":
            # Better Auth signs its session cookie with the same key, and tells it apart by this.
            raise invalid("The token is not one for an API.")
        keys, issuer, audience = _keys_in_force(header)
        claims = _claims_signed_with(keys, raw)
    except (ValueError, RecursionError):
        raise invalid("The token is not valid here.") from None
    _verify_times(claims)
    if issuer and claims.get("iss") != issuer:
        raise invalid("The token is of another issuer.")
    if audience and audience not in _as_list(claims.get("aud")):
        raise invalid("The token is for another audience.")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT:
        raise invalid("The token's sub is not a string of 1 to 255 characters.")
    if FORBIDDEN_IN_SUBJECT.search(subject):
        raise invalid("The token's sub has a character that no user id has.")
    return claims


def _decode_part(part: bytes) -> Mapping[str, Any]:
    """Decode one part of a token, its header or its claims, from base64url JSON.

    Raises:
        ValueError: the part is not a JSON object in base64url, or a member occurs twice.
    """
    members = decode_json(decode_base64url(part))
    if not isinstance(members, dict):
        raise ValueError("not a JSON object")
    return MappingProxyType(members)  # It may be remembered, so nobody may change it.


# Most tokens share a few headers, so decoding is cached.
_header = lru_cache(maxsize=64)(_decode_part)


def _keys_in_force(header: Mapping[str, Any]) -> tuple[Sequence[Key], str, str]:
    """Return the keys that may have signed a token with this header, and its required issuer and audience ("" for any).

    The key decides the algorithm, never the token: HS256 is verified with the shared secrets alone, any
    other algorithm with the published key that is listed for it.
    """
    algorithm, kid = header.get("alg"), header.get("kid", "")
    if not isinstance(kid, str) or "crit" in header or "b64" in header:  # The two change what a signature covers.
        raise invalid("The token's header is not one this service takes.")
    if algorithm == "HS256" and settings.BETTER_AUTH_SECRETS:
        # More than one where a secret is being rotated.
        return settings.BETTER_AUTH_SECRETS, settings.BETTER_AUTH_ISSUER, settings.BETTER_AUTH_AUDIENCE
    if not (isinstance(algorithm, str) and algorithm in jwks.ALGORITHMS and settings.BETTER_AUTH_JWKS_URL):
        raise invalid("The token is signed in a way this service does not take.")
    if not kid:
        raise invalid("The token names no key.")
    try:
        key = key_set().get(kid)
    except jwks.KeyServerUnavailable:
        raise unavailable("The key server is out of reach, so the token cannot be verified. Try again.") from None
    if key is None or key.algorithm_name != algorithm:
        raise invalid("The token's key is not one of Better Auth's.")
    return [key], settings.BETTER_AUTH_JWKS_ISSUER, settings.BETTER_AUTH_JWKS_AUDIENCE


def _claims_signed_with(keys: Sequence[Key], raw: bytes) -> Mapping[str, Any]:
    """Return the token's claims if one of these keys signed it.

    Raises:
        ValueError: none of them did, or the token is malformed.
    """
    find = _claims_signed_by if len(raw) <= MAX_REMEMBERED_TOKEN else _claims_signed_by.__wrapped__
    for key in keys:
        with suppress(InvalidSignatureError):
            return find(key, raw)
    raise ValueError("wrong signature")


# The cache remembers only that these exact bytes carry a valid signature by this key. Every request still checks that
# the key is in force, and the token's times, issuer and audience. A token that is refused here is not remembered.
@lru_cache(maxsize=REMEMBERED_TOKENS)
def _claims_signed_by(key: Key, raw: bytes) -> Mapping[str, Any]:
    message, _, signature_part = raw.rpartition(b".")
    signature = decode_base64url(signature_part)
    if isinstance(key, str):
        valid = _HS256.verify(message, key.encode(), signature)
    else:
        valid = key.Algorithm.verify(message, key.key, signature)
    if not valid:
        raise InvalidSignatureError
    return _decode_part(message.partition(b".")[2])


def _verify_times(claims: Mapping[str, Any]) -> None:
    now = time.time()
    expires = claims.get("exp")
    if type(expires) is not int:  # True is an int to Python.
        raise invalid("The token's exp is not an integer.")
    if expires <= now - LEEWAY_SECONDS:
        raise AuthenticationFailed("The token has expired.", "token_expired")
    for name in ("iat", "nbf"):
        moment = claims.get(name, 0)
        if type(moment) not in {int, float} or moment > now + LEEWAY_SECONDS:
            raise invalid("The token is not valid yet.")


def _as_list(audience: object) -> list[object]:
    """`aud` is one audience or a list of them (RFC 7519, section 4.1.3)."""
    return audience if isinstance(audience, list) else [audience]


# --- Overrides of DRF -----------------------------------------------------------------------------------------


class BetterAuthAuthentication(JWTAuthentication):
    """`Authorization: Bearer <token>` (RFC 6750) by simplejwt's hooks; the scheme is case-insensitive."""

    www_authenticate_realm = "todo"

    def __init__(self) -> None:
        """Skip simplejwt's lookup of the user model: the users of this API have no row there."""

    def get_raw_token(self, header: bytes) -> bytes | None:
        scheme, *rest = header.split(None, 1) or [b""]
        if scheme.lower() != b"bearer":
            return None  # Another scheme, perhaps a proxy's own, is not this class's to judge.
        token = b"".join(rest).strip()
        if not token:
            # The client meant to send a token, so the sign-in cookie must not stand in for it.
            raise NotAuthenticated
        return token

    def get_validated_token(self, raw_token: bytes) -> Mapping[str, Any]:  # type: ignore[override]  # Plain claims, not simplejwt's Token.
        return verify(raw_token)

    def get_user(self, validated_token: Mapping[str, Any]) -> Principal:  # type: ignore[override]  # A Principal, not a Django user.
        return Principal(validated_token["sub"])


class SignInCookieAuthentication(BaseAuthentication):
    """The browsable API's sign-in: the same token, read from a signed cookie, with CSRF enforced."""

    def authenticate(self, request: Request) -> tuple[Principal, Mapping[str, Any]] | None:
        raw = cookie_token(request)
        if raw is None:
            return None
        try:
            claims = verify(raw)
        except AuthenticationFailed:
            return None  # Somebody whose token is refused counts as not signed in.
        check = CSRFCheck(lambda _: HttpResponse())
        # Only a form's body is read for the CSRF token. Any other body is parsed after its sender has been authorized.
        form = is_form_media_type(request.content_type)
        if reason := check.process_view(request if form else request._request, lambda _: HttpResponse(), (), {}):
            log_csrf_failure(str(reason))
            raise PermissionDenied("The page's CSRF token is missing or wrong. Load the page again.")
        return Principal(claims["sub"]), claims


def cookie_token(request: HttpRequest | Request) -> bytes | None:
    """Return the token in the sign-in cookie, not yet verified; None if there is none or its signature is wrong."""
    try:
        token = request.get_signed_cookie(SIGN_IN_COOKIE, salt=SIGN_IN_COOKIE)
        return token.encode() if token else None
    except (KeyError, UnicodeEncodeError):
        return None
    except signing.BadSignature:
        refusals.warning("A sign-in cookie is refused: it was not signed with this DJANGO_SECRET_KEY")
        return None


def set_sign_in_cookie(response: HttpResponse, raw: str, claims: Mapping[str, Any]) -> None:
    """Keep the token in the browser for as long as it is valid."""
    response.set_signed_cookie(
        SIGN_IN_COOKIE,
        raw,
        salt=SIGN_IN_COOKIE,
        max_age=min(max(0, claims["exp"] - int(time.time())), MAX_COOKIE_SECONDS),
        httponly=True,
        samesite="Lax",
        secure=settings.HTTPS,
    )
