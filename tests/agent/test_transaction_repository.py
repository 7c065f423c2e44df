"""The generated repository: each entry says what its package file says.

libalpm 7 refuses any other (sync.c, check_pkg_matches_db). If a newer libalpm compares more, this is the place.
"""

import tarfile
from pathlib import Path

from apps.agent.pacsync_agent.packages import package_file
from apps.agent.pacsync_agent.pacman import transaction_repository
from apps.fleet.alpm import archive, desc
from tests.support.pacman import Fleet

# %KEY% of an entry by the key of a .PKGINFO.
COMPARED = {
    "NAME": "pkgname",
    "VERSION": "pkgver",
    "ISIZE": "size",
    "DEPENDS": "depend",
    "CONFLICTS": "conflict",
    "REPLACES": "replaces",
    "PROVIDES": "provides",
    "GROUPS": "group",
}


def test_repository_entry_says_what_libalpm_7_compares_with_the_file(tmp_path: Path) -> None:
    package = Fleet(tmp_path).package(
        "app",
        "1:2-1",
        "x86_64",
        size=12345,
        depends=["lib>=1", "libfoo.so=1-64"],
        conflicts=["app-git", "app<2"],
        replaces=["old-app", "older<3"],
        provides=["tool=2", "libapp.so=2-64"],
        groups=["suite", "base"],
    )
    database = transaction_repository.write(tmp_path, [package_file.read(package.path)])
    with tarfile.open(database) as entries:
        entry = entries.extractfile("app-1:2-1/desc")
        assert entry is not None
        said = desc.parse(entry.read().decode())
    info: dict[str, list[str]] = {}
    for line in pkginfo(package.path):
        key, _, value = line.partition(" = ")
        info.setdefault(key, []).append(value)
    assert {key: said[key] for key in COMPARED} == {key: info[name] for key, name in COMPARED.items()}


def pkginfo(path: Path) -> list[str]:
    return next(file.read().decode().splitlines() for name, file in archive.members(path) if name == ".PKGINFO")
