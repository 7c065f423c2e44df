"""What a mirror may answer instead of a package's signature, and which file of the cache is taken without one."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases.private_databases import Databases
from apps.agent.pacsync_agent.errors import Refused
from apps.agent.pacsync_agent.trust.accepted_checksums import Accepted
from tests.agent.gathering import OK, REQUIRED, GatheringMachine, own, refused
from tests.support.hostile import DRIP, Behaviour, Hostile
from tests.support.keys import Keys
from tests.support.pacman import Package


def sig(behaviour: Behaviour, whole: bytes) -> Behaviour:
    """The package itself is right; what it does with the signature is the test's."""
    return lambda peer: behaviour(peer) if peer.path.endswith(".sig") else peer.answer(whole)


SIGNATURES: dict[str, tuple[Behaviour, str]] = {
    "none": (lambda peer: peer.answer(status="404 Not Found"), "signature_missing"),
    "a login page": (lambda peer: peer.answer(b"<html>Please log in</html>"), "signature_invalid"),
    "empty": (lambda peer: peer.answer(), "signature_invalid"),
    "endless": (lambda peer: (peer.send(OK + b"\r\n"), peer.endless(b"x" * 4096))[0], "mirror_failed"),
    "drips": (lambda peer: (peer.send(OK + b"\r\n"), peer.endless(b"x", pause=DRIP))[0], "network_failed"),
    "silent": (lambda peer: peer.silence(), "network_failed"),
    "a redirect to a file": (
        lambda peer: peer.answer(status="302 Found", Location="file:///etc/shadow"),
        "mirror_failed",
    ),
}


@pytest.mark.needs("gpg")
@pytest.mark.parametrize("case", SIGNATURES)
def test_mirror_with_a_signature_of_another_kind(case: str, package: Package, tmp_path: Path) -> None:
    behaviour, code = SIGNATURES[case]
    keys = Keys(tmp_path / "gnupg")
    with Hostile(sig(behaviour, package.path.read_bytes())) as server:
        assert refused(GatheringMachine(tmp_path, package, server.url, REQUIRED)).code == code
    keys.stop()


@pytest.mark.needs("gpg")
def test_mirror_whose_signature_becomes_right_is_asked_again(package: Package, tmp_path: Path) -> None:
    """A login page instead of the signature, at first: nothing of it stays, so the next try works."""
    packager, keys = Keys(tmp_path / "packager"), Keys(tmp_path / "gnupg")
    key = packager.make("packager")
    keys.learn(packager.export(key), key)
    right = packager.sign(package.path, key).read_bytes()
    answers = [b"<html>", right]
    with Hostile(sig(lambda peer: peer.answer(answers[0]), package.path.read_bytes())) as server:
        machine = GatheringMachine(tmp_path, package, server.url, REQUIRED)
        assert refused(machine).code == "signature_invalid"
        del answers[0]
        file = machine.gather()
        assert file.path.with_name(file.path.name + ".sig").read_bytes() == right
        # What lies in the cache without a good signature needs no second download.
        file.path.with_name(file.path.name + ".sig").write_bytes(b"<html>")
        asked = len(server.paths)
        assert machine.gather().path == file.path
        assert [path for path in server.paths[asked:] if not path.endswith(".sig")] == []
        assert file.path.with_name(file.path.name + ".sig").read_bytes() == right
    (package.path.with_name(package.path.name + ".sig")).unlink()
    packager.stop()
    keys.stop()


def test_file_of_the_cache_that_only_the_target_contradicts_must_have_been_accepted(
    package: Package, tmp_path: Path
) -> None:
    """No database knows the version, so nothing is asked for; a revert is the case."""
    with Hostile(lambda peer: peer.answer(b"")) as mirror:
        machine = GatheringMachine(tmp_path, package, mirror.url)
        machine.databases = own(machine.conf, {}, Databases())
        machine.cache_dir.mkdir()
        cached = machine.cache_dir / package.path.name
        cached.write_bytes(package.path.read_bytes())
        with pytest.raises(Refused) as error:
            machine.gather(sha256="b" * 64)
        assert error.value.code == "untrusted_file" and "The cache's file of tool" in error.value.message
        Accepted(machine.state_dir).add([(package.name, package.version, package.arch, package.sha256)])
        assert machine.gather(sha256="b" * 64).path == cached
        assert mirror.paths == []
