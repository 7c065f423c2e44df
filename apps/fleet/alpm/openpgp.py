"""The shape of a detached OpenPGP signature (RFC 9580): one packet, and who says that it made it.

It verifies nothing: that is gpg's work. It must not know what is signed.
"""

from __future__ import annotations

import base64
import binascii

LIMIT = 16 << 10  # bytes of a signature, as in libalpm
_BEGIN, _END = b"-----BEGIN PGP SIGNATURE-----", b"-----END PGP SIGNATURE-----"
_SIGNATURE = 2  # the type of a signature packet
_KEY_ID, _FINGERPRINT = 16, 33  # types of subpackets that name the issuer


def signature(data: bytes) -> bytes:
    """The one signature in `data` (binary, or armored text), as binary. ValueError: it is anything else or more."""
    if len(data) > 2 * LIMIT:
        raise ValueError("it is too large for a signature")
    binary = _dearmored(data) if data.lstrip().startswith(b"-----") else data
    if not binary or len(binary) > LIMIT:
        raise ValueError("it is too large for a signature" if binary else "it is empty")
    start, end = _packet(binary)
    if end != len(binary) or start >= end:
        raise ValueError("it is not exactly one detached signature")
    return binary


def _dearmored(data: bytes) -> bytes:
    lines = [line.rstrip() for line in data.strip().splitlines()]
    if lines[0] != _BEGIN or lines[-1] != _END or len(lines) < 4:
        raise ValueError("it is not an armored detached signature")
    if b"" not in lines:
        raise ValueError("its armor has no end of its headers")
    body = lines[lines.index(b"") + 1 : -1]
    if body and body[-1].startswith(b"="):  # a checksum, which only finds transmission errors
        body.pop()
    try:
        return base64.b64decode(b"".join(body), validate=True)
    except binascii.Error:
        raise ValueError("its armor is damaged") from None


def _packet(data: bytes) -> tuple[int, int]:
    """Where the body of the first packet begins and ends; ValueError unless it is a signature of a known length."""
    first = data[0]
    if not first & 0x80:
        raise ValueError("it is not an OpenPGP signature")
    tag = first & 0x3F if first & 0x40 else (first >> 2) & 0x0F
    if tag != _SIGNATURE:
        raise ValueError("it is not a detached signature")
    if first & 0x40:
        start, length = _new_length(data, 1)
    else:
        size = {0: 1, 1: 2, 2: 4}.get(first & 3, 0)
        if not size or len(data) < 1 + size:
            raise ValueError("its length is unknown")
        start, length = 1 + size, int.from_bytes(data[1 : 1 + size], "big")
    return start, start + length


def _new_length(data: bytes, place: int) -> tuple[int, int]:
    """Where what has this length begins, and the length (RFC 9580, 4.2.1 and 5.2.3.7)."""
    octets = data[place : place + 5]
    if octets and octets[0] < 192:
        return place + 1, octets[0]
    if len(octets) >= 2 and octets[0] < 224:
        return place + 2, ((octets[0] - 192) << 8) + octets[1] + 192
    if len(octets) == 5 and octets[0] == 255:
        return place + 5, int.from_bytes(octets[1:], "big")
    raise ValueError("its length is unknown")


def issuer(binary: bytes) -> str:
    """The fingerprint or key id in upper-case hex of the key that the signature names; empty if it names none.

    Anybody can write any name there. Only a verification shows who signed.
    """
    start, end = _packet(binary)
    body = binary[start:end]
    if body[:1] != b"\x04":
        return ""
    found: dict[int, str] = {}
    place = 4
    for _ in ("hashed", "unhashed"):
        size = int.from_bytes(body[place : place + 2], "big")
        area = body[place + 2 : place + 2 + size]
        for kind, value in _subpackets(area):
            found.setdefault(kind, value)
        place += 2 + size
    return found.get(_FINGERPRINT) or found.get(_KEY_ID, "")


def _subpackets(area: bytes) -> list[tuple[int, str]]:
    found, place = [], 0
    while place < len(area):
        try:
            start, length = _new_length(area, place)
        except ValueError:
            break
        body = area[start : start + length]
        if not body:
            break
        kind = body[0] & 0x7F
        if kind == _FINGERPRINT:
            found.append((kind, body[2:34].hex().upper()))
        elif kind == _KEY_ID:
            found.append((kind, body[1:9].hex().upper()))
        place = start + length
    return found
