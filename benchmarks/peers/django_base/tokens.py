"""The verification of Better Auth's tokens that both Django peers share."""

import os

import jwt

URL = os.environ["BETTER_AUTH_URL"]
KEYS = jwt.PyJWKClient(f"{URL}/api/auth/jwks")


def subject_of(token: str) -> str:
    """The subject of a valid token.

    Raises:
        jwt.PyJWTError: it is not valid.
    """
    key = KEYS.get_signing_key_from_jwt(token)
    required = {"require": ["exp", "sub"]}
    return jwt.decode(token, key, algorithms=["EdDSA"], issuer=URL, audience=URL, options=required)["sub"]
