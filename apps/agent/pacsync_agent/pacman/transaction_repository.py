"""The generated repository from which the one transaction is made: exactly the package files of a plan.

Its database lies among the machine's sync databases while pacman runs, under a name that no configuration has, so one
that is left behind does no harm. It must not know why a package is wanted or run pacman.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from ..packages.package_file import PackageFile
from ..system import files

NAME = "pacsync-transaction"


def database_of(dbpath: Path) -> Path:
    """Where pacman looks for the repository's database."""
    return dbpath / "sync" / f"{NAME}.db"


def write(directory: Path, packages: Sequence[PackageFile]) -> Path:
    """Make the repository in `directory`: links to the package files, and the database, whose path is returned.

    pacman takes a file from the first of its cache directories that has one of this name; a directory of links, as the
    only one, makes sure that it is the very file that was accepted.
    """
    links = links_of(directory)
    links.mkdir(mode=0o700)
    path = database_in(directory)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for file in packages:
            (links / _filename(file)).symlink_to(file.path)
            content = _entry(file).encode(errors="surrogateescape")
            entry = tarfile.TarInfo(f"{file.name}-{file.version}/desc")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def database_in(directory: Path) -> Path:
    """The database of the repository in `directory`."""
    return directory / f"{NAME}.db"


def links_of(directory: Path) -> Path:
    """The cache directory of the repository in `directory`."""
    return directory / "files"


def hooks_of(directory: Path) -> Path:
    """The directory of hooks that belong to the transaction alone."""
    return directory / "own-hooks"


def section(directory: Path) -> list[str]:
    """The repository's lines of a pacman.conf. Its server has nothing: whatever isn't there is not fetched.

    No signature is asked for: the agent has verified each file by what its own repository asks for.
    """
    return [f"[{NAME}]", "SigLevel = Never", f"Server = file://{directory / 'nothing'}"]


def publish(database: Path, dbpath: Path) -> None:
    """Put the database where pacman looks for it. Raises OSError."""
    target = database_of(dbpath)
    target.parent.mkdir(mode=0o755, exist_ok=True)
    files.write_atomically(target, database.read_bytes(), mode=0o644)


def remove(dbpath: Path) -> None:
    """Take the database away, if it is there and this is root."""
    with contextlib.suppress(OSError):
        database_of(dbpath).unlink(missing_ok=True)


def _filename(file: PackageFile) -> str:
    """A name of our own: file names of caches and mirrors vary, and two might be equal."""
    return f"{file.name}-{file.version}-{file.arch}.pkg.tar"


def _entry(file: PackageFile) -> str:
    """What libalpm 7 compares with the file is what the file says, each word of it."""
    blocks = {
        "FILENAME": [_filename(file)],
        "NAME": [file.name],
        "VERSION": [file.version],
        "ARCH": [file.arch],
        "ISIZE": [str(file.installed_size)],
        "SHA256SUM": [file.sha256] if file.sha256 else [],
        "GROUPS": file.groups,
        "REPLACES": file.replaces,
        "DEPENDS": file.depends,
        "CONFLICTS": file.conflicts,
        "PROVIDES": file.provides,
    }
    return "".join(
        f"%{key}%\n" + "".join(f"{word}\n" for word in words) + "\n" for key, words in blocks.items() if words
    )
