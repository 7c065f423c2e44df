"""Files that only the server's own user may read: the database, secrets, and the folder of both.

Their modes don't depend on the umask, and those of an earlier installation are corrected when they are next used. It
must not know what is in them. Standard library only: the settings use it.
"""

import contextlib
import logging
import os
import stat
from pathlib import Path

logger = logging.getLogger(__name__)

DATA = Path(__file__).resolve().parents[2] / "data"
"""The folder that belongs to this installation alone. Another folder may have other files, and keeps its mode."""
OTHERS = 0o077
ROOT = 0


def read(path: Path) -> str:
    """The text in a file of secrets, which is private from then on."""
    make_private(path)
    return path.read_text()


def settle_sqlite(name: str) -> None:
    """Make the database private, an empty one if there is none, before SQLite opens it. Nearly free if it already is.

    `name` is what SQLite opens. It gives its other files the mode of the database. What can't be made is left to
    SQLite, which says why.
    """
    database = Path(name)
    if not is_file(name) or (database.is_file() and not too_open(database)):
        return
    with contextlib.suppress(OSError):
        handle = os.open(database, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        os.fchmod(handle, 0o600)  # whatever the umask is
        os.close(handle)
    settle_files(name)


def settle_files(name: str) -> None:
    """Make the files that are there private, and none that isn't."""
    for path in of_sqlite(name):
        make_private(path)


def make_private(path: Path) -> None:
    """Take the rights of other users away, with a line in the log. Another user's file is left as it is."""
    excess = too_open(path)
    if not excess:
        return
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(path.stat().st_mode) & ~excess
        path.chmod(mode)
        logger.warning("other users could read %s: its mode is %04o now", path, mode)


def too_open(path: Path) -> int:
    """The bits of its mode that give rights to other users; 0 if none do, or there is no such file.

    The group root counts as root in a folder: in the image it stands for any user (`--user NUMBER`).
    """
    try:
        found = path.stat()
    except OSError:
        return 0
    of_root = stat.S_ISDIR(found.st_mode) and found.st_gid == ROOT
    return found.st_mode & (stat.S_IRWXO if of_root else OTHERS)


def is_file(name: str) -> bool:
    """Whether what SQLite opens under this name is a file: not in memory, and no URI."""
    return not name.startswith((":memory:", "file:"))


def of_sqlite(name: str) -> list[Path]:
    """The database and the files that SQLite may have beside it, and their folder if that is DATA."""
    database = Path(name)
    if not is_file(name) or not database.name:  # the folder /
        return []
    folder = [DATA] if database.parent.resolve() == DATA else []
    return [*folder, database, *(database.with_name(f"{database.name}-{end}") for end in ("wal", "shm", "journal"))]
