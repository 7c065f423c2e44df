"""Reads the token out of an `Authorization: Bearer …` header (RFC 6750). It must not know whose token it is."""

# Ours have 47 characters. A text longer than this is no token, and isn't worth a hash.
MAX_TOKEN_LENGTH = 200


def from_header(header: str) -> str | None:
    """The token in the value of an Authorization header; None for another scheme, or if it can't be a token."""
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token.isascii() or len(token) > MAX_TOKEN_LENGTH:
        return None
    return token
