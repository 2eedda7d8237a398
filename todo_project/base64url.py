"""Base64url without padding (RFC 7515, section 2), in its one spelling: what was signed has no second form."""

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def decode(text: bytes) -> bytes:
    """The bytes that `encode` makes this text of.

    Raises:
        ValueError: of none.
    """
    data = urlsafe_b64decode(text + b"==")
    if encode(data) != text:
        raise ValueError("not base64url")
    return data
