"""Counts how often something comes from an address, for all workers of the instance together, without a lock.

It must not know what is counted, nor what follows from it. A count is a bucket that holds as many as may come in a
minute, and is filled up again at that rate. One number says how full it is: when it will be full again (the
"generic cell rate algorithm"). So a bucket is one word of the shared memory, two workers that write it at the same
moment lose one count, and an old bucket needs no cleaning up.

Names are hashed to two words each, and the fuller one counts (a count-min sketch the other way round): whoever shares
one word with a busy source isn't slowed down by it. The hash has a key, so that nobody can choose whom to share with.
"""

from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network
from time import monotonic

from django.conf import settings

from apps.lifecycle import memory
from apps.lifecycle.forwarded import parsed

MINUTE = 60.0
EVERYBODY = "*"
WORDS = memory.SHARED_BYTES // memory.WORD
# Half of the words are buckets, and half say when a credential was last found to be valid.
BUCKETS = KNOWN = WORDS // 2
KNOWN_FOR = 24 * 3600.0  # seconds


@dataclass(frozen=True)
class Limit:
    """`most` of `kind` per minute, and so many at once; 0 is no limit."""

    kind: str
    most: int

    def wait(self, source: str, *, count: int = 0) -> float:
        """Count so many of `source`; 0, or the seconds until the next one may come, and then nothing was counted."""
        if not self.most:
            return 0
        words = memory.current().shared().cast("d")
        now, interval = monotonic(), MINUTE / self.most
        places = _places(f"{self.kind} {source}")
        full = [max(now, words[place]) for place in places]
        excess = min(full) + max(1, count) * interval - (now + MINUTE)
        if excess > interval / 1000:  # of rounding: the last one of a full bucket is let in
            return excess
        for place, at in zip(places, full, strict=True):
            if count:
                words[place] = at + count * interval
        return 0

    def add(self, source: str) -> None:
        """Count one that has happened already, even if that is one too many."""
        if self.most and self.wait(source, count=1):
            words = memory.current().shared().cast("d")
            for place in _places(f"{self.kind} {source}"):
                words[place] = monotonic() + MINUTE


@dataclass(frozen=True)
class Limits:
    """The limit of one kind of request for each address, and the one for all together."""

    each: Limit
    total: Limit

    def wait(self, source: str, *, count: int) -> float:
        """As `Limit.wait`."""
        return self.each.wait(source, count=count) or self.total.wait(EVERYBODY, count=count)

    def add(self, source: str) -> None:
        """As `Limit.add`."""
        self.each.add(source)
        self.total.add(EVERYBODY)


def limits(kind: str, *, of: str = "") -> Limits:
    """What RATE_LIMIT_{kind} and RATE_LIMIT_{kind}_TOTAL say; `of` is counted apart with the same numbers."""
    each, total = (getattr(settings, f"RATE_LIMIT_{kind}{end}") for end in ("", "_TOTAL"))
    return Limits(Limit(of or kind, each), Limit(of or kind, total))


def source(address: str) -> str:
    """Whose address that is: of IPv6 the /64, which is what one machine or one line has."""
    found = parsed(address)
    return str(IPv6Network((found, 64), strict=False)) if isinstance(found, IPv6Address) else str(found)


def remember(credential: str) -> None:
    """The credential is valid: for a day `is_known` says so, even if its source is over a limit."""
    words = memory.current().shared().cast("d")
    for place in _places(credential):
        words[BUCKETS + place] = monotonic()


def disown(credential: str) -> None:
    """The credential isn't valid (any more)."""
    words = memory.current().shared().cast("d")
    for place in _places(credential):
        words[BUCKETS + place] = 0


def is_known(credential: str) -> bool:
    """Whether the credential was found to be valid lately. It is no proof: it still has to be checked."""
    words = memory.current().shared().cast("d")
    latest = monotonic() - KNOWN_FOR
    return all(words[BUCKETS + place] > max(0.0, latest) for place in _places(credential))


def forget() -> None:
    """Empty all counts, as at the start of the instance."""
    memory.current().shared()[:] = bytes(memory.SHARED_BYTES)


def _places(name: str) -> tuple[int, int]:
    key = memory.current().identity.bytes
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
    return int.from_bytes(digest[:4], "big") % BUCKETS, int.from_bytes(digest[4:], "big") % BUCKETS
