"""pacman's databases: desc blocks, sync databases in every compression, broken ones, the local database."""

import bz2
import gzip
import io
import lzma
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from apps.agent.pacsync_agent.databases import entry_repair, local_db
from apps.agent.pacsync_agent.errors import Busy, Local
from apps.agent.pacsync_agent.packages.package_file import PackageFile
from apps.agent.pacsync_agent.pacman import database_lock
from apps.agent.pacsync_agent.pacman.own_lock import OwnLock
from apps.fleet.alpm import archive, desc, libzstd, syncdb
from tests.support.archives import tar_bytes
from tests.support.pacman import Fleet

DESC = (
    "%FILENAME%\na-1-1-any.pkg.tar.zst\n\n%NAME%\na\n\n%VERSION%\n1-1\n\n"
    "%CSIZE%\n10\n\n%SHA256SUM%\n{sum}\n\n%ARCH%\nany\n\n"
)
SUM = "0" * 64
PLAIN = tar_bytes({"a-1-1/desc": DESC.format(sum=SUM).encode(), "a-1-1/files": b"%FILES%\n"})
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_sync_db_any_compression_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "core.db"
    path.write_bytes(COMPRESSORS[kind](PLAIN))
    [package] = syncdb.read(path)
    assert (package.name, package.version, package.sha256, package.size) == ("a", "1-1", SUM, 10)


@pytest.mark.parametrize("kind", COMPRESSORS)
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.97])
def test_sync_db_truncated_is_an_error(kind: str, keep: float, tmp_path: Path) -> None:
    path = tmp_path / "core.db"
    whole = COMPRESSORS[kind](PLAIN if kind != "none" else PLAIN[:2560])
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(archive.ArchiveError, match="truncated or corrupt"):
        syncdb.read(path)


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2"])
def test_sync_db_flipped_byte_is_an_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "core.db"
    whole = bytearray(COMPRESSORS[kind](PLAIN))
    whole[-6] ^= 0xFF  # in the checksum at the end
    path.write_bytes(whole)
    with pytest.raises(archive.ArchiveError):
        syncdb.read(path)


def test_sync_db_garbage_and_directory_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "core.db"
    path.write_bytes(b"<html>not found</html>" * 50)
    with pytest.raises(ValueError):
        syncdb.read(path)
    with pytest.raises(OSError):
        syncdb.read(tmp_path)


def test_sync_db_empty_repository_offers_nothing(tmp_path: Path) -> None:
    path = tmp_path / "core.db"
    path.write_bytes(gzip.compress(tar_bytes({})))
    assert syncdb.read(path) == []


def test_sync_db_entry_that_makes_no_sense_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "core.db"
    path.write_bytes(gzip.compress(tar_bytes({"a-1-1/desc": DESC.format(sum="short").encode()})))
    with pytest.raises(ValueError, match="a-1-1"):
        syncdb.read(path)


@pytest.mark.parametrize("by", ["libzstd", "bsdtar", ""])
def test_sync_db_zstd_without_a_module_uses_the_systems_means_or_says_what_to_install(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "core.db"
    path.write_bytes(COMPRESSORS["zst"](PLAIN))
    monkeypatch.setattr(archive, "_zstd_module", lambda name: None)
    if by == "libzstd":
        assert libzstd.library is not None, "apt-get install libzstd1"
        monkeypatch.setenv("PATH", str(tmp_path))  # no program helps out
    else:
        monkeypatch.setattr(libzstd, "library", None)
    if by == "bsdtar" and not archive.shutil.which("bsdtar"):
        pytest.skip("apt-get install libarchive-tools")
    if by:
        assert len(syncdb.read(path)) == 1
        path.write_bytes(COMPRESSORS["zst"](PLAIN)[:-5])
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(archive.ArchiveError, match="truncated or corrupt" if by else "install it"):
        syncdb.read(path)


@pytest.mark.parametrize("size", [0, 1, libzstd.BLOCK, 5 * libzstd.BLOCK + 7])
def test_libzstd_gives_every_byte_of_every_frame_and_an_error_for_a_damaged_one(size: int) -> None:
    assert libzstd.library is not None, "apt-get install libzstd1"
    plain = random.Random(size).randbytes(size // 2) + b"a" * (size - size // 2)
    packed = COMPRESSORS["zst"](plain)

    def unpacked(content: bytes) -> bytes:
        with libzstd.stream(io.BytesIO(content), libzstd.library) as stream:
            return stream.read()

    assert unpacked(packed + packed) == plain + plain
    assert unpacked(b"") == b""
    with pytest.raises(EOFError):
        unpacked(packed + packed[:-1])
    with pytest.raises(libzstd.ZstdError):
        unpacked(packed + b"no zstd")


def test_sync_db_entry_without_end_is_read_no_further_than_any_could_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "core.db"
    bomb = DESC.format(sum=SUM).encode() + b"%DESC%\n" + b"x" * (8 << 20)
    path.write_bytes(gzip.compress(tar_bytes({"a-1-1/desc": bomb})))
    read: list[int] = []
    parse = desc.parse

    def counting(text: str) -> dict[str, list[str]]:
        read.append(len(text))
        return parse(text)

    monkeypatch.setattr(syncdb.desc, "parse", counting)
    [package] = syncdb.read(path)
    assert package.name == "a" and read == [syncdb.DESC_LIMIT]


def test_desc_is_read_as_libalpm_does() -> None:
    text = "%NAME%\na\n\n%UNKNOWN%\n%VERSION%\n1-1\n\n%DEPENDS%\nb\nc>1\n\n%DESC%\n\n%ARCH%\nany\n%PROVIDES%\nx=1"
    assert desc.parse(text) == {
        "NAME": ["a"],
        "VERSION": ["1-1"],
        "DEPENDS": ["b", "c>1"],
        "DESC": [""],
        "ARCH": ["any"],
        "PROVIDES": ["x=1"],
    }
    assert desc.split_entry("lib-foo-1:2-3/") == ("lib-foo", "1:2-3")
    with pytest.raises(ValueError):
        desc.split_entry("foo-1")


def entry(dbpath: Path, name: str, text: str | None, *, files: bool = True) -> None:
    directory = dbpath / "local" / name
    directory.mkdir(parents=True)
    if text is not None:
        (directory / "desc").write_text(text)
    if files:
        (directory / "files").write_text("%FILES%\n")


def test_local_db_missing_and_half_written_entries(tmp_path: Path) -> None:
    with pytest.raises(Local) as error:
        local_db.read(tmp_path)
    assert error.value.code == "pacman_database_missing"
    entry(tmp_path, "a-1-1", "%NAME%\na\n\n%VERSION%\n1-1\n\n%ARCH%\nx86_64\n\n%REASON%\n1\n\n")
    entry(tmp_path, "b-1-1", None, files=False)
    entry(tmp_path, "c-1-1", "%NAME%\nc\n\n%VERSION%\n1-1\n\n", files=False)
    found = local_db.read(tmp_path)
    assert {name: package.broken for name, package in found.items()} == {"a": False, "b": True, "c": True}
    assert local_db.state_text(found).splitlines()[0] == b"a 1-1 x86_64 dependency"


def test_repair_completes_or_drops_broken_entries_under_the_lock(tmp_path: Path) -> None:
    package = Fleet(tmp_path).package("known", "1-1", provides=["x=1"])
    entry(tmp_path, "known-1-1", None, files=False)
    entry(tmp_path, "fresh-1-1", None, files=False)
    broken = local_db.read(tmp_path)
    lock = database_lock.path_of(tmp_path)
    lock.touch()
    file = PackageFile(package.path, "known", "1-1", "any", provides=("x=1",))
    own = OwnLock(tmp_path, tmp_path / "log")
    with pytest.raises(Busy):
        entry_repair.repair_entries(tmp_path, broken, newcomers=["fresh"], find=lambda wanted: file, own=own)
    assert lock.exists() and not own.is_there(tmp_path)
    lock.unlink()

    def find(wanted: object) -> PackageFile:
        assert not lock.exists()  # what takes long is done without the lock
        return file

    entry_repair.repair_entries(tmp_path, broken, newcomers=["fresh"], find=find, own=own)
    repaired = local_db.read(tmp_path)
    assert list(repaired) == ["known"]
    assert not repaired["known"].broken and repaired["known"].provides == ("x=1",)
    listed = (tmp_path / "local/known-1-1/files").read_text()
    assert listed == "%FILES%\nusr/\nusr/share/\nusr/share/known/\nusr/share/known/version\n\n"
    assert not lock.exists()


def test_repair_lock_is_known_before_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnLock(tmp_path, tmp_path / "log")
    note = OwnLock.note

    def watched(self: OwnLock, lock: os.stat_result) -> None:
        assert not database_lock.is_locked(tmp_path)
        note(self, lock)

    monkeypatch.setattr(OwnLock, "note", watched)
    with entry_repair.locked(tmp_path, own):
        assert own.is_there(tmp_path, seen=True) and database_lock.holder(tmp_path) == os.getpid()
    assert not database_lock.is_locked(tmp_path)


def test_repair_leaves_an_entry_that_a_pacman_made_whole_meanwhile(tmp_path: Path) -> None:
    entry(tmp_path, "fresh-1-1", None, files=False)
    broken = local_db.read(tmp_path)
    entry_path = tmp_path / "local/fresh-1-1"
    (entry_path / "desc").write_text("%NAME%\nfresh\n\n%VERSION%\n1-1\n\n")
    (entry_path / "files").write_text("%FILES%\n")
    own = OwnLock(tmp_path, tmp_path / "log")
    entry_repair.repair_entries(tmp_path, broken, newcomers=["fresh"], find=lambda wanted: None, own=own)
    assert list(local_db.read(tmp_path)) == ["fresh"]


def test_lock_stale_one_is_removed_and_a_held_one_is_not(tmp_path: Path) -> None:
    lock = database_lock.path_of(tmp_path)
    assert not database_lock.remove_if_stale(tmp_path)
    with lock.open("w"):
        assert database_lock.holder(tmp_path) is not None
        assert database_lock.held_by_ancestor(tmp_path)
        assert not database_lock.remove_if_stale(tmp_path)
        database_lock.wait_until_free(tmp_path, 0.2)
        assert database_lock.holder(tmp_path) is not None
    assert database_lock.remove_if_stale(tmp_path)
    assert not lock.exists()


def test_local_db_is_read_once_and_every_change_is_seen(tmp_path: Path) -> None:
    entry = tmp_path / "local/app-1-1"
    entry.mkdir(parents=True)
    (entry / "desc").write_text("%NAME%\napp\n\n%ARCH%\nany\n\n%REASON%\n1\n\n")
    (entry / "files").touch()
    time.sleep(0.3)  # the time of the files has to be over
    before = local_db.read(tmp_path)["app"]
    assert local_db.read(tmp_path)["app"] is before
    for reason in "0101010101":  # in place, with the same size, as fast as it goes
        with open(entry / "desc", "r+") as file:
            file.seek(file.read().index("%REASON%") + 9)
            file.write(reason)
        assert local_db.read(tmp_path)["app"].reason == ("dependency" if reason == "1" else "explicit")
    assert not local_db.read(tmp_path)["app"].broken
    (entry / "files").unlink()
    assert local_db.read(tmp_path)["app"].broken
    (entry / "desc").unlink()
    assert local_db.read(tmp_path)["app"].incomplete


def test_file_of_a_file_system_with_whole_seconds_is_read_again_for_longer() -> None:
    second = 1_000_000_000
    now = 100 * second + 1
    assert local_db.shows_changes(99 * second + 7, now)
    assert not local_db.shows_changes(99 * second, now)
    assert local_db.shows_changes(97 * second, now)
    assert not local_db.shows_changes(now - second // 20, now)
