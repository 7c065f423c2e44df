"""Files that survive a crash: written to a temporary file, flushed, then renamed. It must not know their content."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from . import disk_full


def sync_directory(directory: Path) -> None:
    """Make a rename or removal in `directory` durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace the file as a whole: a reader, or a crash at any moment, finds the old content or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with _named(path):
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            os.fchmod(handle, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    sync_directory(path.parent)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an OSError name `path`: nobody knows the temporary name, and a full disk gives no name at all."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def remove_unfinished(directory: Path) -> None:
    """Remove the temporary files of processes killed in `write_atomically`. To be called before this process writes."""
    for path in directory.glob(".*.new"):
        found = re.fullmatch(r"\..+\.(\d+)\.new", path.name)
        if found and (int(found[1]) == os.getpid() or not _is_alive(int(found[1]))):
            with contextlib.suppress(OSError):  # another user's, or gone by now
                path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def write_json(path: Path, value: Any, mode: int = 0o600) -> None:
    write_atomically(path, json.dumps(value, sort_keys=True).encode() + b"\n", mode)


def keep_json(path: Path, value: Any, mode: int = 0o600) -> bool:
    """Write a mere cache; False, with the old file unchanged, where there is no room."""
    return disk_full.spared(lambda: write_json(path, value, mode))


def read_json(path: Path) -> Optional[dict[str, Any]]:
    """The object in the file; None when there is no file. Raises ValueError when it isn't a JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is not a JSON object")
    return value


def remove(path: Path) -> None:
    """Remove the file, durably, if it is there."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def same(one: Path, other: Path) -> bool:
    """Whether both are regular files with the same bytes."""
    try:
        return other.is_file() and filecmp.cmp(one, other, shallow=False)
    except FileNotFoundError:
        return False


def place(part: Path, target: Path) -> None:
    """Move a private file to where all may read it; `target` is always missing, the old file, or the whole new one."""
    part.chmod(0o644)
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    with _named(target):
        try:
            os.replace(part, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _place_across(part, target)
    sync_directory(target.parent)


def _place_across(part: Path, target: Path) -> None:
    """The same across file systems, by a unique temporary name: machines may share a cache."""
    handle, name = tempfile.mkstemp(prefix=".pacsync-", suffix=".part", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, open(part, "rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    part.unlink()
