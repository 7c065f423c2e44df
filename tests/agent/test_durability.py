"""Flushing file systems: all on disks beneath the root, and a disk that doesn't take what was written is said."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import Failed
from apps.agent.pacsync_agent.system import boot_id, durability
from tests.conftest import run
from tests.support.disk import small_disk
from tests.support.disk_image import after_a_power_cut, disk_in, loop_devices_work, mounted

needs_loop = pytest.mark.skipif(not loop_devices_work(), reason="mounting an image needs root and a loop device")


@needs_loop
@pytest.mark.alone  # the kernel writes everything back after half a minute
@pytest.mark.parametrize("flushed", [True, False])
def test_flush_writes_a_file_system_that_is_mounted_beneath_the_root(tmp_path: Path, flushed: bool) -> None:
    """The twin, without the flush, has lost the file."""
    folder = tmp_path / "ro ot"  # the kernel quotes the blank
    folder.mkdir()
    with disk_in(folder, size=64 << 20) as disk:
        run("sync", "-f", disk)
        (disk / "file").write_text("content")
        if flushed:
            durability.flush(folder, ())
        with after_a_power_cut(disk) as left:
            found = left / "file"
            assert (found.exists() and found.read_text() == "content") is flushed


@needs_loop
def test_flush_of_a_disk_that_takes_no_more_fails_and_names_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "12m") as small:
        image = small.path / "disk.img"
        with image.open("wb") as file:
            file.truncate(64 << 20)
        run("mkfs.ext4", "-q", "-O", "^has_journal", image)
        with mounted(image, tmp_path / "disk") as place:
            (place / "file").write_bytes(b"x" * (30 << 20))
            with pytest.raises(Failed, match="didn't take what pacman wrote") as failed:
                durability.flush(place, ())
            assert failed.value.code == "write_failed" and str(place) in failed.value.message


def test_flush_passes_over_directories_that_are_not_there(tmp_path: Path) -> None:
    durability.flush(tmp_path, [tmp_path / "missing"])


def test_boot_is_another_only_where_both_are_known() -> None:
    now = boot_id.current()
    assert len(now) == 36
    assert boot_id.is_another("00000000-0000-0000-0000-000000000000")
    assert not any(boot_id.is_another(known) for known in (now, "", None))
