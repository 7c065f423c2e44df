"""Counts how often something comes from an address, for all workers of the instance together, without a lock.

It must not know what is counted or what follows from it. A count is a bucket that holds as many as may come in a
minute, and is filled up again at that rate. One number says how full it is: when it will be full again (the
"generic cell rate algorithm"). So a bucket is one number in the shared memory, two workers that write it at the same
moment lose one count, and an old bucket needs no cleaning up.

A name is hashed to two buckets, and the one with more room counts, as in a count-min sketch: a source that shares one
bucket with a busy source isn't slowed down. The hash has a key, so that nobody can choose which bucket to share.
"""

from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network
from time import monotonic

from django.conf import settings

from apps.lifecycle.shared_memory import layout, memory
from apps.lifecycle.wsgi.forwarded_address import parsed

MINUTE = 60.0
EVERYBODY = "*"
WORDS = layout.SHARED_AREA_BYTES // layout.NUMBER_BYTES
# Half of the numbers are buckets; the other half say when a credential was last found to be valid.
BUCKETS = WORDS // 2
KNOWN_FOR = 24 * 3600.0  # seconds


@dataclass(frozen=True)
class Limit:
    """`most` of `kind` per minute, and as many at once; 0 is no limit."""

    kind: str
    most: int

    def wait(self, source: str, *, count: int = 0) -> float:
        """Add `count` to `source`. Returns 0, or the seconds until the next one may come; then nothing was counted."""
        if not self.most:
            return 0
        words = memory.current().shared_area().cast("d")
        now, interval = monotonic(), MINUTE / self.most
        places = _places(f"{self.kind} {source}")
        full = [max(now, words[place]) for place in places]
        excess = min(full) + max(1, count) * interval - (now + MINUTE)
        if excess > interval / 1000:  # allows for rounding: the last one that fits in a bucket is let in
            return excess
        for place, at in zip(places, full, strict=True):
            if count:
                words[place] = at + count * interval
        return 0

    def add(self, source: str) -> None:
        """Count one that has already happened, even if that is one too many."""
        if self.most and self.wait(source, count=1):
            words = memory.current().shared_area().cast("d")
            for place in _places(f"{self.kind} {source}"):
                words[place] = monotonic() + MINUTE


@dataclass(frozen=True)
class Limits:
    """The limit of one kind of request for each address, and the one for all together."""

    each: Limit
    total: Limit

    def wait(self, source: str, *, count: int) -> float:
        """Like `Limit.wait`."""
        return self.each.wait(source, count=count) or self.total.wait(EVERYBODY, count=count)

    def add(self, source: str) -> None:
        """Like `Limit.add`."""
        self.each.add(source)
        self.total.add(EVERYBODY)


def limits(kind: str, *, of: str = "") -> Limits:
    """What RATE_LIMIT_{kind} and RATE_LIMIT_{kind}_TOTAL say; `of` is counted separately, with the same numbers."""
    each, total = (getattr(settings, f"RATE_LIMIT_{kind}{end}") for end in ("", "_TOTAL"))
    return Limits(Limit(of or kind, each), Limit(of or kind, total))


def source(address: str) -> str:
    """Whose address that is: for IPv6 the /64, which is what one machine or one line has."""
    found = parsed(address)
    return str(IPv6Network((found, 64), strict=False)) if isinstance(found, IPv6Address) else str(found)


def remember(credential: str) -> None:
    """The credential is valid: for a day `is_known` says so, even if its source is over a limit."""
    words = memory.current().shared_area().cast("d")
    for place in _places(credential):
        words[BUCKETS + place] = monotonic()


def disown(credential: str) -> None:
    """The credential isn't valid (any more)."""
    words = memory.current().shared_area().cast("d")
    for place in _places(credential):
        words[BUCKETS + place] = 0


def is_known(credential: str) -> bool:
    """Whether the credential was recently found to be valid. That is no proof: it still has to be checked."""
    words = memory.current().shared_area().cast("d")
    latest = monotonic() - KNOWN_FOR
    return all(words[BUCKETS + place] > max(0.0, latest) for place in _places(credential))


def forget() -> None:
    """For tests: empty all counts, as at the start of the instance."""
    memory.current().shared_area()[:] = bytes(layout.SHARED_AREA_BYTES)


def _places(name: str) -> tuple[int, int]:
    key = memory.current().identity.bytes
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
    return int.from_bytes(digest[:4], "big") % BUCKETS, int.from_bytes(digest[4:], "big") % BUCKETS
