"""The repositories of a day as a machine reports them: names, digests, mirrors. It must not know the database."""

import functools
from typing import NamedTuple

from apps.fleet.alpm import repository as repository_text
from demo import packages

MIRROR = "https://archive.archlinux.org/repos/{day:%Y/%m/%d}/{repository}/os/x86_64"


class Repository(NamedTuple):
    """`text` is its canonical text, `mirror` a base address with $repo and $arch replaced."""

    name: str
    digest: str
    mirror: str
    text: bytes

    def as_json(self) -> dict[str, object]:
        """In the form of a check-in."""
        return {"name": self.name, "digest": self.digest, "mirrors": [self.mirror]}


@functools.lru_cache(maxsize=64)
def on(day: int) -> tuple[Repository, ...]:
    """The repositories of a machine that refreshed its sync databases on that day, in pacman's order."""
    return tuple(_repository(name, day) for name in packages.REPOSITORIES)


def _repository(name: str, day: int) -> Repository:
    text = packages.repository(name, day)
    mirror = MIRROR.format(day=packages.date_of(day), repository=name)
    return Repository(name, repository_text.digest_of(text), mirror, text)
