"""Files that lie in the machine's own cache: what counts, what is damaged, what is another package."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent.gather import file_check
from apps.agent.pacsync_agent.gather.candidates import Candidate
from apps.agent.pacsync_agent.gather.file_check import NotAccepted
from apps.agent.pacsync_agent.mirrors.network import GONE, NotThere, Refusal
from apps.agent.pacsync_agent.packages import package_file
from apps.agent.pacsync_agent.packages.package_file import Wanted, WrongPackage
from apps.agent.pacsync_agent.trust.acceptance import Evidence
from tests.agent.gathering import NEVER
from tests.agent.test_acceptance import A
from tests.support.archives import tar_bytes
from tests.support.pacman import Fleet, Package


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Fleet(tmp_path).package("tool", "1:1-1")


def candidate(
    *own: str, name: str = "tool", version: str = "1:1-1", arch: str = "any", said: str = "", accepted: str = ""
) -> Candidate:
    evidence = Evidence(NEVER, own, target=said or None, accepted=frozenset({accepted} - {""}), repository="core")
    return Candidate(Wanted(name, version, arch, sha256=said or None), evidence, (), ())


def test_cached_file_counts_with_its_checksum_or_as_the_caches_own(package: Package, tmp_path: Path) -> None:
    for known in (candidate(package.sha256), candidate(A, package.sha256)):
        found = file_check.cached(package.path, known, tmp_path)
        assert (found.version, found.sha256) == ("1:1-1", package.sha256)
    for known in (candidate(), candidate(said=package.sha256)):  # nobody says otherwise, and nobody vouches for it
        found = file_check.cached(package.path, known, tmp_path)
        assert (found.version, found.sha256) == ("1:1-1", "")


@pytest.mark.parametrize("at_last", [False, True])
def test_cached_file_with_another_checksum_than_is_known_is_refused(
    package: Package, tmp_path: Path, at_last: bool
) -> None:
    """pacman leaves a file there before it has verified it, so that it is there says nothing."""
    with pytest.raises(NotAccepted, match="the one that core says") as error:
        file_check.cached(package.path, candidate(A), tmp_path, at_last=at_last)
    assert error.value.code == file_check.OTHER_FILE
    with pytest.raises(NotAccepted, match="the one that the target says"):
        file_check.cached(package.path, candidate(said=A), tmp_path, at_last=at_last)


@pytest.mark.parametrize("changes", [{"version": "1-1"}, {"name": "loot"}, {"arch": "x86_64"}])
def test_cached_file_of_another_package_is_refused(package: Package, tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(NotAccepted, match="another package"):
        file_check.cached(package.path, candidate(**changes), tmp_path)


def test_cached_file_that_was_accepted_before_counts_at_last(package: Package, tmp_path: Path) -> None:
    """A repository that was rebuilt in place: the old build is in the cache, and the mirrors don't have it any more."""
    for known in (candidate(A, accepted=package.sha256), candidate(said=A, accepted=package.sha256)):
        with pytest.raises(NotAccepted, match="its checksum isn't the one that"):
            file_check.cached(package.path, known, tmp_path)
        assert file_check.cached(package.path, known, tmp_path, at_last=True).name == "tool"


def test_cached_file_that_is_cut_off_never_counts(package: Package, tmp_path: Path) -> None:
    package.path.write_bytes(package.path.read_bytes()[:-4])
    for at_last in (False, True):
        with pytest.raises(NotAccepted):
            file_check.cached(package.path, candidate(), tmp_path, at_last=at_last)


def test_package_information_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pkg.tar"
    path.write_bytes(tar_bytes({".PKGINFO": b"pkgname = tool\n" + b"x" * (3 << 20)}))
    found = package_file.read(path)
    assert found.name == "tool" and found.version == ""
    path.write_bytes(tar_bytes({"usr/x": b""}))
    with pytest.raises(WrongPackage):
        package_file.read(path)


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("its key is unknown here", "keyring"),
        ("its key is not trusted here", "keyring"),
        ("its key was revoked", "keyring"),
        ("it belongs to other content", "name another mirror"),
        ("it is too large for a signature", "name another mirror"),
    ],
)
def test_refused_signature_has_its_cause_once_and_the_remedy_for_it(reason: str, remedy: str) -> None:
    refusals = [("http://m.invalid", Refusal(f"its signature is refused: {reason}", "signature_invalid"))]
    error = file_check.refusal({Wanted("tool", "1-1", "any"): NotThere(refusals)})
    assert error.message == f"The signature of tool 1-1 is refused: {reason} (http://m.invalid)."
    assert remedy in error.hint and ("keyring" in error.hint) is (remedy == "keyring")


def test_file_of_the_cache_with_another_checksum_is_no_reason_to_put_one_there() -> None:
    wanted = Wanted("tool", "1-1", "any")
    there = Refusal("its checksum isn't the one that core says", file_check.OTHER_FILE, kind=GONE)
    error = file_check.refusal({wanted: NotThere([("/cache/tool-1-1-any.pkg.tar.zst", there)])})
    assert error.code == "package_unavailable" and "Remove the file of the cache" in error.hint
    assert "Put the package file into the cache" not in error.hint
    assert "Put the package file into the cache" in file_check.refusal({wanted: NotThere([])}).hint
