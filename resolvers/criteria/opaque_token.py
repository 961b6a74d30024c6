"""Opaque tokens, which clients only store and send back: bytes as base64url without padding. Pure."""

import base64
import hashlib


def encode_token(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode_token(token: str) -> bytes:
    """Raises ValueError for any character that `encode_token` does not write."""
    return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)


def digest_content(content: bytes, size: int) -> bytes:
    """The first bytes of a digest. They detect damage and mix-ups; they are not secret."""
    return hashlib.sha256(content).digest()[:size]
