"""What is made of the words of a real pacman: the first cause first, whose hook or scriptlet failed, and what helps."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import AgentError
from apps.agent.pacsync_agent.examination import pacnew_files
from apps.agent.pacsync_agent.pacman import error_output
from apps.agent.pacsync_agent.pacman.execution import Run
from apps.agent.pacsync_agent.planning import plan
from apps.agent.pacsync_agent.transaction import pacman_errors
from tests.support import direct
from tests.support.disk import small_disk
from tests.support.pacman import Fleet, Machine

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"
GONE = [f"gone{number}" for number in range(7)]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A library with a new soname, packages that go with the sync, and `leaf`, which needs the old soname."""
    fleet = Fleet(tmp_path)
    make = fleet.package
    old = [make("lib", "1-1", provides=["lib.so=1-64"]), *(make(name, "1-1") for name in GONE)]
    leaf = make("leaf", "1-1", depends=["lib.so=1-64"])
    fleet.snapshot(OLD, [*old, leaf])
    new = make("lib", "2-1", provides=["lib.so=2-64"], replaces=GONE, conflicts=GONE)
    fleet.snapshot(NEW, [new])
    return fleet


def refusal(machine: Machine, goal: dict[str, tuple[str, str]], held: tuple[str, ...] = ()) -> AgentError:
    with pytest.raises(AgentError) as error:
        direct.agent_of(machine).prepare(direct.packages(goal), held=held)
    return error.value


def test_rehearsal_with_answered_questions_says_the_true_cause_first_and_helps_with_a_foreign_package(
    fleet: Fleet,
) -> None:
    machine = fleet.machine("m", OLD)
    machine.install("lib", "leaf", *GONE)
    machine.go_to(NEW)
    goal = {"lib": ("2-1", "explicit"), "leaf": ("1-1", "explicit")}
    error = refusal(machine, goal)
    assert error.code == "rehearsal_failed"
    cause = "breaks dependency 'lib.so=1-64' required by leaf"
    assert cause in error.log, error.log
    assert cause in error.message.partition(":")[0].partition(", ")[0], error.message
    assert "[y/N]" not in error.message and "gone" not in error.message
    assert "No repository of this machine has leaf" in error.hint and "`pacman -R leaf`" in error.hint
    assert "exclude lib in the pool" in error.hint
    held = refusal(machine, goal, held=("le*",))
    assert held.hint.startswith("Nothing was changed. leaf is held here (IgnorePkg)"), held.hint
    assert "lift the hold" in held.hint and "pacman -R" not in held.hint
    # It does help.
    machine.pacman("-R", "leaf")
    direct.bring(machine, direct.packages({"lib": ("2-1", "explicit")}))
    assert machine.state() == {"lib": ("2-1", "explicit")}


def test_questions_that_pacman_answered_are_no_causes() -> None:
    said = (
        "resolving dependencies...\nlooking for conflicting packages...\n"
        ":: new and old1 are in conflict. Remove old1? [y/N] \n:: new and old2 are in conflict. Remove old2? [y/N] y\n"
        ":: Replace x with core/y? [Y/n] \n"
        "error: failed to prepare transaction (could not satisfy dependencies)\n"
        ":: removing plug breaks dependency 'plug' required by host\n"
    )
    assert error_output.causes(1, said) == [
        "removing plug breaks dependency 'plug' required by host",
        "failed to prepare transaction (could not satisfy dependencies)",
    ]


HOOK = """[Trigger]
Operation = Install
Type = Package
Target = *
[Action]
Description = {description}
When = {when}
{more}"""


def with_shell(machine: Machine) -> None:
    for name in ("bin", "dev", "etc", "tmp"):
        (machine.root / name).mkdir(exist_ok=True)
    for name in ("bash", "sh"):
        shutil.copy("/bin/bash-static", machine.root / "bin" / name)


def hook(machine: Machine, name: str, when: str, script: str, more: str = "") -> None:
    """A hook with a description of its own, which runs this script in the root."""
    path = machine.root / f"{name}.sh"
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    text = HOOK.format(description=f"Doing {name}...", when=when, more=f"Exec = /{name}.sh\n{more}")
    (machine.directory / "hooks" / f"{name}.hook").write_text(text)


@pytest.mark.needs("bash-static")
@pytest.mark.skipif(os.geteuid() != 0, reason="hooks run in a root, which takes root")
def test_hooks_and_scriptlets_that_failed_are_named_with_their_own_words(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    script = "post_install() { echo '(1/3) working'; echo 'cannot reach the moon'; false; }\n"
    packages = [fleet.package("tool", "1-1"), fleet.package("moon", "1-1", install=script)]
    fleet.snapshot(OLD, packages)
    machine = fleet.machine("m", OLD)
    with_shell(machine)
    hook(machine, "aa-fine", "PostTransaction", "echo all is well")
    # It says what pacman says of a package and of its next hook.
    words = "echo 'installing it...'\necho '(1/3) working'\necho 'no space on the ESP' >&2"
    hook(machine, "bb-image", "PostTransaction", f"{words}\nexit 3")
    hook(machine, "cc-silent", "PostTransaction", "exit 1")
    hook(machine, "dd-fine", "PostTransaction", "echo all is well")
    agent = direct.agent_of(machine)
    goal = direct.packages({"tool": ("1-1", "explicit"), "moon": ("1-1", "explicit")})
    prepared = agent.prepare(goal, held=())
    run = agent.apply(prepared)
    assert run is not None and run.status == 0  # pacman itself calls that a success
    assert agent.running.complaints(agent.conf)[:3] == (
        "the scriptlet of moon failed: cannot reach the moon",
        "the hook bb-image.hook (Doing bb-image) failed: installing it... / (1/3) working / no space on the ESP",
        "the hook cc-silent.hook (Doing cc-silent) failed, and said nothing",
    )
    assert not any("command failed" in text for text in agent.running.complaints(agent.conf))

    machine.pacman("-R", "tool")
    hook(machine, "aa-guard", "PreTransaction", "echo 'the snapshot could not be made'\nexit 1", "AbortOnFail\n")
    run = agent.apply(agent.prepare(goal, held=()))
    assert run is not None and run.status != 0
    error = pacman_errors.of_run(run, agent.conf, agent.state_dir, ["tool"])
    assert error.code == "pacman_failed"
    first = "pacman could not do it: the hook aa-guard.hook (Doing aa-guard) failed: the snapshot could not be made;"
    assert error.message.startswith(first), error.message
    assert "remove the hook" in error.hint


def test_hook_whose_log_cannot_be_read_is_named_by_its_description() -> None:
    said = ":: Running post-transaction hooks...\n(1/1) Doing it...\nno\nerror: command failed to execute correctly\n"
    assert [str(one) for one in error_output.failed_commands(said)] == ["the hook 'Doing it' failed: no"]
    said = said.replace("no\n", "error: no\n")
    assert [str(one) for one in error_output.failed_commands(said)] == ["the hook 'Doing it' failed: error: no"]


def test_file_system_that_is_read_only_is_not_a_full_disk(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.snapshot(OLD, [fleet.package("tool", "1-1")])
    machine = fleet.machine("m", OLD, options="CheckSpace")
    with small_disk(machine.root / "usr", "8m") as disk:
        agent = direct.agent_of(machine)
        prepared = agent.prepare(direct.packages({"tool": ("1-1", "explicit")}), held=())
        subprocess.run(["mount", "-o", "remount,ro", disk.path], check=True)
        run = agent.apply(prepared)
        assert run is not None and run.status != 0, run
        error = pacman_errors.of_run(run, agent.conf, agent.state_dir, ["tool"])
        assert error.code == "read_only", run.output
        assert str(disk.path) in error.message and "not enough" not in error.hint and "Free some" not in error.hint
        subprocess.run(["mount", "-o", "remount,rw", disk.path], check=True)
        disk.fill()
        run = agent.apply(prepared)
        assert run is not None and run.status != 0
        assert pacman_errors.of_run(run, agent.conf, agent.state_dir, ["tool"]).code == "disk_full", run.output


def broken_pacman(directory: Path, *names: str) -> Path:
    """A directory with a pacman that the system can't start: its library is asked for by a name that doesn't exist."""
    directory.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found is not None
        content = Path(found).read_bytes()
        assert b"libalpm.so.13" in content
        made = directory / name
        made.write_bytes(content.replace(b"libalpm.so.13", b"libalpm.so.99"))
        made.chmod(0o755)
    return directory


def test_pacman_that_does_not_start_is_told_from_one_that_fails(tmp_path: Path) -> None:
    directory = broken_pacman(tmp_path / "bin", "pacman")
    done = subprocess.run([directory / "pacman", "-Q"], capture_output=True, text=True)
    reason = error_output.did_not_start(done.returncode, done.stdout + done.stderr)
    assert "libalpm.so.99" in reason and "loading shared libraries" in reason
    shell = subprocess.run(["sh", "-c", "nowhere-pacman -Q"], capture_output=True, text=True)
    assert "not found" in error_output.did_not_start(shell.returncode, shell.stderr)
    wrong = subprocess.run(["pacman", "--config", "/dev/null", "-Qk", "nosuch"], capture_output=True, text=True)
    assert wrong.returncode != 0 and error_output.did_not_start(wrong.returncode, wrong.stderr) == ""
    assert Run(wrong.returncode, wrong.stdout + wrong.stderr).errors


def test_configuration_files_beside_others_are_found_after_the_way_back(tmp_path: Path) -> None:
    """pacman itself says nothing of a .pacsave when the package comes back: the twin at the end."""
    fleet = Fleet(tmp_path)
    files = {"etc/tool.conf": b"theirs\n", "etc/other.conf": b"theirs\n"}
    fleet.snapshot(OLD, [fleet.package("tool", "1-1", files=files, backup=list(files)), fleet.package("plain", "1-1")])
    machine = fleet.machine("m", OLD)
    machine.install("tool", "plain")
    conf = direct.agent_of(machine).conf
    assert pacnew_files.warnings(conf, ["tool", "plain", "gone"]) == ()
    (machine.root / "etc/tool.conf").write_text("mine\n")
    assert ".pacsave" in machine.pacman("-R", "tool")
    assert ".pacsave" not in machine.pacman("-S", "tool")
    (machine.root / "etc/other.conf.pacnew").write_text("newer\n")
    saved, new = f"{machine.root}/etc/tool.conf.pacsave", f"{machine.root}/etc/other.conf.pacnew"
    found = pacnew_files.warnings(conf, ["tool", "plain"])
    assert [text.split(" is there")[0] for text in found] == [new, saved]
    assert pacnew_files.warnings(conf, ["plain"]) == ()
    assert len(pacnew_files.warnings(conf, ["tool"], [f"warning: {saved} is old"])) == 1


def test_way_back_that_nobody_has_is_told_before_the_sync(fleet: Fleet) -> None:
    machine = fleet.machine("m", OLD, trusting=False)
    machine.install("lib", *GONE[:2])
    goal = direct.packages({"lib": ("2-1", "explicit"), **dict.fromkeys(GONE[:2], ("1-1", "explicit"))})
    machine.go_to(NEW)
    agent = direct.agent_of(machine)
    steps = plan.make(agent.installed(), goal)
    assert agent.without_way_back(agent.installed(), steps) == []  # the cache has it
    machine.empty_cache()
    [said] = agent.without_way_back(agent.installed(), steps)
    assert said.startswith("No way back to lib 1-1: no cache and no repository of this machine has its file")
    machine.go_to(OLD)  # its own repository has it
    assert direct.agent_of(machine).without_way_back(agent.installed(), steps) == []
    machine.go_to(NEW)
    machine.configure(f"{fleet.base_url}/repos/{NEW}/$repo/os/$arch", "SigLevel = Required DatabaseNever TrustAll")
    agent = direct.agent_of(machine)
    [said] = agent.without_way_back(agent.installed(), steps)
    assert said.startswith("A way back to lib 1-1 is only in an archive")
