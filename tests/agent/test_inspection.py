"""Files that lie in the machine's own cache: what counts, what is damaged, what is another package."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent import inspection, package_file
from apps.agent.pacsync_agent.acceptance import Evidence
from apps.agent.pacsync_agent.candidates import Candidate
from apps.agent.pacsync_agent.inspection import NotAccepted
from apps.agent.pacsync_agent.package_file import Wanted, WrongPackage
from tests.agent.test_acceptance import NEVER, A
from tests.support.pacman import Fleet, Package, tar_bytes


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Fleet(tmp_path).package("tool", "1:1-1")


def candidate(*own: str, name: str = "tool", version: str = "1:1-1", arch: str = "any", said: str = "") -> Candidate:
    return Candidate(Wanted(name, version, arch, sha256=said or None), Evidence(NEVER, own), (), ())


def test_cached_file_counts_with_its_checksum_or_as_the_caches_own(package: Package, tmp_path: Path) -> None:
    for known in (candidate(package.sha256), candidate(A, package.sha256), candidate(), candidate(said=A)):
        assert inspection.cached(package.path, known, tmp_path).version == "1:1-1"


@pytest.mark.parametrize("changes", [{"version": "1-1"}, {"name": "loot"}, {"arch": "x86_64"}])
def test_cached_file_of_another_package_is_refused(package: Package, tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(NotAccepted, match="another package"):
        inspection.cached(package.path, candidate(**changes), tmp_path)


def test_cached_file_with_another_checksum_than_the_database_counts_at_last(package: Package, tmp_path: Path) -> None:
    """A repository that was rebuilt in place: the old build is in the cache, and the mirrors don't have it any more."""
    with pytest.raises(NotAccepted, match="another checksum"):
        inspection.cached(package.path, candidate(A), tmp_path)
    assert inspection.cached(package.path, candidate(A), tmp_path, at_last=True).name == "tool"


def test_cached_file_that_is_cut_off_never_counts(package: Package, tmp_path: Path) -> None:
    package.path.write_bytes(package.path.read_bytes()[:-4])
    for at_last in (False, True):
        with pytest.raises(NotAccepted):
            inspection.cached(package.path, candidate(), tmp_path, at_last=at_last)


def test_package_information_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pkg.tar"
    path.write_bytes(tar_bytes({".PKGINFO": b"pkgname = tool\n" + b"x" * (3 << 20)}))
    found = package_file.read(path)
    assert found.name == "tool" and found.version == ""
    path.write_bytes(tar_bytes({"usr/x": b""}))
    with pytest.raises(WrongPackage):
        package_file.read(path)
