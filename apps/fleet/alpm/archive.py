"""Tar archives as pacman writes them, read as a stream. It must not know what the members mean.

Python before 3.14 has no zstd, so its `zstandard` package or the system's libzstd helps out, and else `bsdtar`.
Python's own streaming reader takes a truncated archive for a complete one; this one does not.
"""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import importlib
import lzma
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Optional, cast

from . import libzstd

_ZSTD = b"\x28\xb5\x2f\xfd"
_OPENERS = ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ\x00", lzma.open), (b"BZh", bz2.open))


class ArchiveError(ValueError):
    """The archive can't be read: truncated, corrupt, or compressed in a way that nothing here understands."""


class _Entry(tarfile.TarInfo):
    """A header that is missing or damaged is an error; only the end marker ends an archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Entry:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the regular end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


def entries(path: Path) -> Generator[tuple[tarfile.TarInfo, Optional[BinaryIO]], None, None]:
    """Every entry of the archive in its order, a regular file with its content; read that before taking the next.

    Raises ArchiveError, and OSError when the file itself can't be opened. Stop early with the generator's close().
    """
    try:
        with _decompressed(path) as plain, tarfile.open(fileobj=plain, mode="r|", tarinfo=_Entry) as archive:
            for entry in archive:
                yield entry, cast("Optional[BinaryIO]", archive.extractfile(entry) if entry.isreg() else None)
            while plain.read(65536):  # to the end, where the checksums are
                pass
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, libzstd.ZstdError, _zstd_error(), OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's; those of the decompressors have no number
        raise ArchiveError(f"{path} is truncated or corrupt ({error or type(error).__name__})") from None


def members(path: Path) -> Generator[tuple[str, BinaryIO], None, None]:
    """(name, open file) of each regular file. Raises and is stopped as `entries` is."""
    found = entries(path)
    try:
        for entry, file in found:
            if file is not None:
                yield entry.name, file
    finally:
        found.close()


@contextlib.contextmanager
def _decompressed(path: Path) -> Iterator[BinaryIO]:
    with open(path, "rb") as raw:
        magic = raw.read(262)
    with open(path, "rb") as raw:  # again: a program that it is handed to reads from where the kernel stands
        for start, opener in _OPENERS:
            if magic.startswith(start):
                with opener(raw, "rb") as plain:
                    yield cast(BinaryIO, plain)
                return
        if magic.startswith(_ZSTD):
            with _zstd(raw) as plain:
                yield plain
        elif magic[257:262] == b"ustar" or not magic.strip(b"\0"):
            yield raw
        else:
            with _program(["bsdtar", "-cf", "-", "--format=pax", "@-"], raw, "bsdtar (package libarchive)") as plain:
                yield plain


@functools.lru_cache(maxsize=None)
def _zstd_module(name: str) -> Any:
    """The module, or None; asked once, because Python searches for a missing module each time."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _zstd_error() -> type[Exception]:
    for module in ("compression.zstd", "zstandard"):
        found = _zstd_module(module)
        if found is not None:
            return cast("type[Exception]", found.ZstdError)
    return libzstd.ZstdError


@contextlib.contextmanager
def _zstd(raw: BinaryIO) -> Iterator[BinaryIO]:
    """The decompressed stream, by the first of: Python 3.14's module, `zstandard`, libzstd, the program bsdtar."""
    builtin, package = _zstd_module("compression.zstd"), _zstd_module("zstandard")
    if builtin is not None:
        with builtin.open(raw, "rb") as plain:
            yield plain
    elif package is not None:
        with package.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as plain:
            yield plain
    elif libzstd.library is not None:
        with libzstd.stream(raw, libzstd.library) as plain:
            yield plain
    else:
        with _program(
            ["bsdtar", "-cf", "-", "--format=pax", "@-"], raw, "libzstd (package zstd), or bsdtar (package libarchive)"
        ) as plain:
            yield plain


@contextlib.contextmanager
def _program(command: list[str], raw: BinaryIO, package: str) -> Iterator[BinaryIO]:
    if shutil.which(command[0]) is None:
        raise ArchiveError(f"{raw.name} needs {package} to be read: install it")
    with subprocess.Popen(command, stdin=raw, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout is not None and process.stderr is not None  # noqa: S101 - both were asked for
        try:
            yield cast(BinaryIO, process.stdout)
        except GeneratorExit:
            process.kill()
            raise
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise ArchiveError(f"{raw.name} is truncated or corrupt ({said or command[0] + ' failed'})")
