"""`service install` and `service remove` beneath a root directory: files, links, refusals; undone wholly."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from apps.agent import build
from apps.agent.pacsync_agent.service import service_files
from apps.agent.pacsync_agent.service.service_files import Setting
from tests.support import agent

ROOT = Path(__file__).resolve().parents[2]
ARCH = ROOT / "deploy/arch"
WANTS = "etc/systemd/system/multi-user.target.wants/pacsync-agent.service"
HOOK = "etc/pacman.d/hooks/zz-pacsync-agent.hook"
needs_systemctl = pytest.mark.needs("pacman", "systemctl")


@dataclass
class MachineRoot:
    """An Arch root directory that isn't running, with systemd, pacman's configuration and the agent."""

    root: Path

    @property
    def program(self) -> Path:
        return self.root / "usr/local/bin/pacsync-agent"

    def agent(self, *arguments: object, program: Path | None = None) -> agent.Done:
        command = [sys.executable, program or self.program, *arguments]
        options = ["--root", self.root, "--config", self.root / "etc/pacman.conf"]
        done = subprocess.run([*map(str, command + options)], capture_output=True, text=True, timeout=110, cwd="/")
        return agent.Done(done)

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def put_package(self) -> None:
        """What the package of deploy/arch has, as PKGBUILD says it."""
        recipe = (ARCH / "PKGBUILD").read_text()
        installed = r"install -Dm644 ([^\n]+?(?:\\\n[^\n]+?)?) -t \"\$pkgdir(/usr/lib[^\"]+)"
        for names, place in re.findall(installed, recipe):
            for name in names.replace("\\\n", " ").split():
                if name.startswith("pacsync"):
                    self._put(ARCH / name, place.strip("/") + f"/{name}")
        self._put(ARCH / "pacsync-agent.hook", "usr/share/libalpm/hooks/zz-pacsync-agent.hook")
        self._put(self.program, "usr/bin/pacsync-agent")

    def _put(self, source: Path, place: str) -> None:
        (self.root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, self.root / place)

    def tree(self) -> dict[str, str]:
        """Every file and directory, with what is in it or where it leads."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = f"-> {os.readlink(path)}"
            else:
                found[name] = "directory" if path.is_dir() else path.read_bytes().hex()
        return found


@pytest.fixture
def machine(tmp_path: Path) -> MachineRoot:
    root = tmp_path / "root"
    for directory in ("etc/pacman.d", "etc/systemd/system", "usr/lib/systemd", "usr/local/bin", "var/lib/pacman"):
        (root / directory).mkdir(parents=True)
    (root / "usr/lib/systemd/systemd").touch()
    (root / "etc/pacman.conf").write_text("[options]\nArchitecture = x86_64\n")
    shutil.copy(agent.agent_path(), root / "usr/local/bin/pacsync-agent")
    (root / "usr/local/bin/pacsync-agent").chmod(0o755)
    return MachineRoot(root)


def test_texts_of_the_agent_are_all_that_the_package_installs() -> None:
    known = {path.name for path in ARCH.iterdir() if path.suffix in {".service", ".timer", ".hook"}}
    assert known == set(service_files.NAMES)
    for name in known:
        assert service_files.text(name) == (ARCH / name).read_text()


@pytest.mark.parametrize("called", ["./agent", "agent", "{}/agent"])
def test_texts_are_carried_by_the_built_agent_however_it_is_called(tmp_path: Path, called: str) -> None:
    build.write(tmp_path / "agent")
    program = (
        f"import sys; sys.path.insert(0, {called.format(tmp_path)!r})\n"
        "from apps.agent.pacsync_agent.service import service_files as it\n"
        "print(''.join(map(it.text, it.NAMES)), end='')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "".join((ARCH / name).read_text() for name in service_files.NAMES)


def test_adapted_for_the_package_differs_by_its_mark_alone() -> None:
    for name in service_files.NAMES:
        first, _, rest = service_files.adapted(name, Setting()).partition("\n")
        assert (first, rest) == (service_files.MARK, (ARCH / name).read_text())


@pytest.mark.needs("systemd-analyze")
def test_adapted_to_odd_paths_is_what_systemd_reads(tmp_path: Path) -> None:
    """systemd itself says what it would run."""
    odd = f'{tmp_path}/a b%n"$HOME\\x;ü'
    setting = Setting("/usr/bin/true", odd, ("--state-dir", odd))
    for name in service_files.UNITS:
        (tmp_path / name).write_text(service_files.adapted(name, setting))
    units = [tmp_path / name for name in service_files.UNITS]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "pacsync" in line] == []
    text = (tmp_path / "pacsync-agent.service").read_text()
    assert f"ConditionPathExists={odd.replace('%', '%%')}/credentials.json" in text
    assert 'ExecStart=/usr/bin/true run --state-dir "' in text and "$$HOME" in text and "%%n" in text


@needs_systemctl
def test_install_writes_enables_and_says_when_it_begins(machine: MachineRoot) -> None:
    done = machine.agent("service", "install").ok()
    assert "systemd isn't running here, so pacsync-agent.service begins with the next start" in done.out
    assert "`pacsync-agent run --config" in done.out  # what to run where it never does, for that machine
    assert os.readlink(machine.root / WANTS) == "/etc/systemd/system/pacsync-agent.service"
    unit = machine.text("etc/systemd/system/pacsync-agent.service")
    assert "ExecStart=/usr/local/bin/pacsync-agent run\n" in unit
    assert "ConditionPathExists=/var/lib/pacsync-agent/credentials.json" in unit
    assert machine.text(HOOK).partition("\n")[2] == (ARCH / "pacsync-agent.hook").read_text()


@needs_systemctl
def test_install_again_changes_nothing_and_remove_leaves_nothing(machine: MachineRoot) -> None:
    before = machine.tree()
    written = machine.agent("service", "install", "--json").ok().last["files"]
    installed = machine.tree()
    assert len(written) == len(service_files.NAMES) and installed != before
    done = machine.agent("service", "install", "--json").ok().last
    assert (done["files"], done["state"], machine.tree()) == ([], "enabled", installed)
    done = machine.agent("service", "remove", "--json").ok().last
    assert (sorted(done["files"]), done["state"]) == (sorted(written), "none")
    assert {**before, "etc/systemd/system": "directory"} == machine.tree()
    assert "nothing was changed" in machine.agent("service", "remove").ok().out


@needs_systemctl
def test_install_with_the_package_takes_its_files(machine: MachineRoot) -> None:
    machine.put_package()
    before = machine.tree()
    machine.agent("service", "install").ok()
    added = set(machine.tree()) - set(before)
    assert added == {WANTS, os.path.dirname(WANTS)}
    assert os.readlink(machine.root / WANTS) == "/usr/lib/systemd/system/pacsync-agent.service"
    assert "files of package pacsync-agent stay" in machine.agent("service", "remove").ok().out
    assert machine.tree() == before


@needs_systemctl
def test_install_once_the_package_came_gives_way_to_it(machine: MachineRoot) -> None:
    """A unit in /etc goes over the package's: without giving way, the old program would run for ever."""
    machine.agent("service", "install").ok()
    machine.put_package()
    assert service_files.is_ours(machine.root / "etc/systemd/system/pacsync-agent.service")
    machine.agent("service", "install", program=machine.root / "usr/bin/pacsync-agent").ok()
    assert [path for path in machine.tree() if path.startswith("etc/") and "pacsync" in path] == [WANTS]
    assert os.readlink(machine.root / WANTS) == "/usr/lib/systemd/system/pacsync-agent.service"


@needs_systemctl
def test_install_leaves_an_enabled_timer_to_run_the_agent(machine: MachineRoot) -> None:
    machine.put_package()
    subprocess.run(["systemctl", "--root", machine.root, "enable", "pacsync-agent.timer"], check=True)
    assert "pacsync-agent.timer begins" in machine.agent("service", "install").ok().out
    assert not os.path.lexists(machine.root / WANTS)


@needs_systemctl
def test_install_where_the_agent_keeps_its_files_elsewhere_goes_over_the_package(machine: MachineRoot) -> None:
    machine.put_package()
    machine.agent("service", "install", "--state-dir", machine.root / "srv/agent").ok()
    unit = machine.text("etc/systemd/system/pacsync-agent.service")
    assert "ExecStart=/usr/bin/pacsync-agent run --state-dir /srv/agent\n" in unit
    assert "ConditionPathExists=/srv/agent/credentials.json" in unit
    shutdown = machine.text("etc/systemd/system/pacsync-agent-shutdown.service")
    assert "ExecStop=/usr/bin/flock /srv/agent/pacman.lock /usr/bin/true" in shutdown


@needs_systemctl
@pytest.mark.parametrize("masked", [False, True])
def test_install_meets_somebody_elses_unit_refuses_and_writes_nothing(machine: MachineRoot, masked: bool) -> None:
    unit = machine.root / "etc/systemd/system/pacsync-agent.service"
    if masked:
        unit.symlink_to("/dev/null")
    else:
        unit.write_text("[Service]\nExecStart=/usr/local/bin/pacsync-agent run\n")
    before = machine.tree()
    done = machine.agent("service", "install").refused(3)
    assert f"Somebody else's file is where the service would have its own: {unit}." in done.err
    assert ("systemctl unmask" in done.err) == masked
    machine.agent("service", "remove").ok()
    assert machine.tree() == before


@needs_systemctl
def test_install_program_that_others_may_change_is_refused(machine: MachineRoot) -> None:
    """root would run what anybody writes."""
    for path in (machine.program, machine.program.parent):
        mode = path.stat().st_mode
        path.chmod(mode | 0o002)
        done = machine.agent("service", "install").refused(3)
        assert f"users other than root may change {path}." in done.err
        path.chmod(mode)
    machine.agent("service", "install").ok()


@needs_systemctl
def test_install_for_a_root_without_an_agent_says_how_to_put_it_there(machine: MachineRoot, tmp_path: Path) -> None:
    machine.program.rename(tmp_path / "agent")
    done = machine.agent("service", "install", program=tmp_path / "agent").refused(3)
    [line] = re.findall(r"`(install -Dm755 [^`]+)`", done.err)
    subprocess.run(shlex.split(line), check=True)
    machine.agent("service", "install", program=tmp_path / "agent").ok()
    outside = ("--state-dir", tmp_path / "state")
    assert "(--state-dir): that is outside" in machine.agent("service", "install", *outside).refused(3).err


@pytest.mark.needs("pacman")
def test_install_without_systemd_says_what_to_run_instead(machine: MachineRoot) -> None:
    (machine.root / "usr/lib/systemd/systemd").unlink()
    before = machine.tree()
    done = machine.agent("service", "install", "--json").refused(7).last
    assert done["code"] == "systemd_missing"
    assert re.search(r"Have `pacsync-agent run --config \S+ --root \S+` started by", done["hint"]), done
    done = machine.agent("service", "remove", "--json").refused(7).last
    assert done["code"] == "systemd_missing" and "started by" not in done["hint"]
    assert done["message"] == "There is no systemd on this machine, so there is no service to remove."
    assert machine.tree() == before


@needs_systemctl
def test_remove_says_what_stays_only_where_the_machine_is_enrolled(machine: MachineRoot) -> None:
    machine.agent("service", "install").ok()
    assert machine.agent("service", "remove").ok().out == "The agent no longer runs automatically.\n"
    credentials = machine.root / "var/lib/pacsync-agent/credentials.json"
    credentials.parent.mkdir(parents=True)
    credentials.write_text("{}")
    machine.agent("service", "install").ok()
    assert "The machine stays enrolled, and the server will call it offline." in machine.agent("service", "remove").out


@needs_systemctl
@pytest.mark.parametrize("place", ["etc/pacman.d", "etc/systemd/system/multi-user.target.wants"])
def test_install_that_fails_half_way_leaves_nothing_and_says_so(machine: MachineRoot, place: str) -> None:
    """The directory of the hook can't be made; systemctl can't enable the unit."""
    if (machine.root / place).is_dir():
        (machine.root / place).rmdir()
    (machine.root / place).write_text("a file")
    before = machine.tree()
    done = machine.agent("service", "install")
    assert done.code != 0 and str(machine.root / place) in done.err and ".new" not in done.err, done
    assert "The service is not installed; no file of it is left." in done.err
    assert machine.tree() == before


@needs_systemctl
def test_install_that_fails_over_an_older_one_leaves_that_as_it_was(machine: MachineRoot) -> None:
    machine.agent("service", "install").ok()
    unit = machine.root / "etc/systemd/system/pacsync-agent.service"
    unit.write_text(unit.read_text() + "# of an older agent\n")
    (machine.root / HOOK).unlink()
    (machine.root / HOOK).parent.rmdir()
    (machine.root / HOOK).parent.write_text("a file")
    before = machine.tree()
    assert "no file of it is left" in machine.agent("service", "install").refused(7).err
    assert machine.tree() == before
    (machine.root / HOOK).parent.unlink()
    machine.agent("service", "install").ok()
    assert "of an older agent" not in unit.read_text()


def test_wrong_action_is_a_wrong_argument(machine: MachineRoot) -> None:
    assert "invalid choice" in machine.agent("service", "start").refused(2).err
