"""The files of installed packages against the packages: what differs is found, what is the admin's is left aside."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases import local_db
from apps.agent.pacsync_agent.examination import installed_files
from apps.agent.pacsync_agent.examination.installed_files import Since
from apps.agent.pacsync_agent.packages import mtree
from apps.agent.pacsync_agent.pacman import configuration
from tests.support.mtree import with_mtree
from tests.support.pacman import Fleet, Machine

pytestmark = pytest.mark.needs("pacman")
DAY = "2025/01/01"
MODES = {"usr/bin/su": 0o4755, "etc/private": 0o700}
FILES: dict[str, bytes | str] = {
    "usr/bin/su": b"program",
    "usr/lib/app/a b#ü": b"odd name",
    "usr/lib/app/one": b"one",
    "usr/lib/app/link": "one",
    "etc/private/key": b"key",
    "etc/app.conf": b"setting",
    "usr/share/locale/de": b"de",
    "etc/kept": b"kept",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    app = fleet.package("app", "1-1", files=with_mtree(FILES, MODES), modes=MODES, backup=["etc/app.conf"])
    fleet.snapshot(DAY, [app, fleet.package("plain", "1-1")])
    machine = fleet.machine(
        "m1", DAY, options="NoExtract = usr/share/locale/* !usr/share/locale/en\nNoUpgrade = etc/kept"
    )
    machine.install("app", "plain")
    return machine


@pytest.fixture
def machine(original: Machine, tmp_path: Path) -> Machine:
    """A copy of it that a test may damage."""
    made = Machine(original.fleet.beside(tmp_path), "m1", original.repos, original.options)
    shutil.rmtree(made.root)
    shutil.copytree(original.root, made.root, symlinks=True)
    made.configure(f"{original.fleet.base_url}/repos/{DAY}/$repo/os/$arch")
    return made


def found(machine: Machine, since: Since = Since()) -> list[str]:  # noqa: B008 - immutable
    conf = configuration.read(machine.config, None, None)
    findings = installed_files.compare(conf, local_db.read(conf.dbpath).values(), since=since)
    return [f"{one.package} {one.path.removeprefix(str(machine.root))}: {one.why}" for one in findings]


def test_compare_of_an_untouched_machine_finds_nothing_as_pacman(machine: Machine) -> None:
    assert found(machine, Since(every=True)) == []
    assert [line for line in machine.altered() if "usr/share/locale " not in line] == []


def write(path: Path, content: bytes) -> None:
    """Another content, with the old time."""
    seen = path.lstat()
    path.write_bytes(content)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("usr/lib/app/one", lambda path: path.unlink(), "missing"),
    "odd name": ("usr/lib/app/a b#ü", lambda path: path.unlink(), "missing"),
    "missing directory": ("etc/private", shutil.rmtree, "missing"),
    "empty": ("usr/lib/app/one", lambda path: write(path, b""), "empty"),
    "size": ("usr/lib/app/one", lambda path: write(path, b"longer"), "another size"),
    "content": ("usr/lib/app/one", lambda path: path.write_bytes(b"two"), "another content"),
    "a link for a file": ("usr/lib/app/one", lambda path: link(path, "a"), "not a file"),
    "link": ("usr/lib/app/link", lambda path: link(path, "two"), "a link to another place"),
    "setuid gone": ("usr/bin/su", lambda path: path.chmod(0o755), "mode 0755 instead of 4755"),
    "setuid come": ("usr/lib/app/one", lambda path: path.chmod(0o4644), "mode 4644 instead of 0644"),
    "directory's mode": ("etc/private", lambda path: path.chmod(0o755), "mode 0755 instead of 0700"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_compare_finds_what_pacman_finds(machine: Machine, kind: str) -> None:
    name, damage, why = DAMAGE[kind]
    damage(machine.root / name)
    assert f"app /{name}: {why}" in found(machine)
    assert str(machine.root / name) in "".join(machine.altered())


def test_compare_without_mtree_a_missing_file_is_found(machine: Machine) -> None:
    (machine.root / "usr/share/plain/version").unlink()
    assert found(machine) == ["plain /usr/share/plain/version: missing"]


def test_compare_same_size_and_time_is_read_where_it_has_to_be(machine: Machine) -> None:
    write(machine.root / "usr/lib/app/one", b"two")
    what = ["app /usr/lib/app/one: another content"]
    assert found(machine) == []
    assert found(machine, Since(every=True)) == what
    changed = (machine.root / "usr/lib/app/one").stat().st_ctime
    assert found(machine, Since(moment=changed - 1)) == []  # just unpacked
    assert found(machine, Since(moment=changed + 1)) == what  # the transaction hasn't written it


@pytest.mark.parametrize("name", ["etc/app.conf", "etc/kept", "usr/share/locale/de"])
def test_compare_what_is_the_admins_is_left_aside(machine: Machine, name: str) -> None:
    (machine.root / name).unlink(missing_ok=True)
    assert found(machine) == []


def test_compare_a_directory_may_be_a_link_to_one(machine: Machine) -> None:
    shutil.move(machine.root / "usr/lib/app", machine.root / "srv")
    (machine.root / "usr/lib/app").symlink_to(machine.root / "srv")
    assert found(machine) == []
    shutil.rmtree(machine.root / "srv")
    assert "app /usr/lib/app: a link that leads nowhere, not a directory" in found(machine)


@pytest.mark.parametrize(("record", "why"), [("mtree", "its .MTREE"), ("files", "its list"), ("desc", "its entry")])
def test_compare_an_emptied_record_of_the_package_is_found(machine: Machine, record: str, why: str) -> None:
    (machine.dbpath / "local/app-1-1" / record).write_bytes(b"")
    (finding,) = found(machine)
    assert finding.startswith(f"app /var/lib/pacman/local/app-1-1: {why}")


def test_mtree_cut_off_in_the_middle_is_an_error(machine: Machine) -> None:
    path = machine.dbpath / "local/app-1-1/mtree"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(mtree.MtreeError):
        list(mtree.read(path))
