"""What repositories offer, read back from stored contents. It must not know endpoints, pools or operations."""

import zlib
from collections.abc import Collection, Iterator
from functools import lru_cache

from django.conf import settings

from .alpm import repository as canonical
from .alpm.repository import OfferedPackage
from .exceptions import NotFound, RepositoryTooLarge
from .models import RepositoryContent
from .plural import counted


def save(digest: str, text: bytes, count: int) -> tuple[RepositoryContent, bool]:
    """Keep the canonical text of `count` packages; (content, True if it was new)."""
    fields = {"package_count": count, "packages": zlib.compress(text)}
    return RepositoryContent.objects.get_or_create(digest=digest, defaults=fields)


def check_size(count: int) -> None:
    """Raise RepositoryTooLarge for more packages than the server takes."""
    limit = settings.REPOSITORY_MAX_PACKAGES
    if count > limit:
        raise RepositoryTooLarge(
            f"The repository has {counted(count, 'package')}, and this server takes at most {limit:,}: "
            "raise REPOSITORY_MAX_PACKAGES on the server if that is meant.",
            packages=count,
            limit=limit,
            setting="REPOSITORY_MAX_PACKAGES",
        )


@lru_cache(maxsize=16)  # contents never change; 16 of the size of `extra` are some 25 MB
def names(digest: str) -> frozenset[str]:
    """Every pkgname that the content offers. Raises NotFound when it isn't kept (any more)."""
    found = frozenset(line.split(b" ", 1)[0].decode() for line in lines(digest))
    if not found:  # raised, and so not remembered: it may be uploaded a moment later
        raise NotFound("No repository content has this digest.")
    return found


def versions(digest: str) -> dict[str, str]:
    """The version that the content offers of each pkgname; empty when it isn't kept any more."""
    return dict(line.decode().split(" ", 2)[:2] for line in lines(digest))


def offered(digest: str, wanted: Collection[str]) -> dict[str, OfferedPackage]:
    """What the content offers of the pkgnames in `wanted`; empty when it isn't kept any more."""
    keys = {name.encode() for name in wanted}
    found = [line for line in lines(digest) if line.split(b" ", 1)[0] in keys]
    text = b"".join(line + b"\n" for line in found)
    return {package.name: package for package in canonical.parse(text)} if found else {}


def lines(digest: str) -> Iterator[bytes]:
    """The lines of the content's text, unparsed; none if it isn't kept any more."""
    packages = RepositoryContent.objects.filter(pk=digest).values_list("packages", flat=True).first()
    return iter(zlib.decompress(bytes(packages)).splitlines() if packages is not None else ())
