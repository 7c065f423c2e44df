"""The agent's package, built by the real makepkg and installed by the real pacman, and the systemd units."""

import stat
from pathlib import Path

import pytest

from tests.deploy.engine import ROOT, run

ARCH, SYSTEMD = ROOT / "deploy" / "arch", ROOT / "deploy" / "systemd"
UNITS = sorted([*ARCH.glob("*.service"), *ARCH.glob("*.timer"), *SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.socket")])


@pytest.mark.needs("makepkg", "bsdtar", "zstd", "fakeroot")
def test_package_holds_the_agent_its_units_and_its_hook(agent_package: Path) -> None:
    names = set(run("bsdtar", "-tf", agent_package).stdout.split())
    assert {
        "usr/bin/pacsync-agent",
        "etc/pacsync-agent.conf",
        "usr/lib/systemd/system/pacsync-agent.service",
        "usr/lib/systemd/system/pacsync-agent-shutdown.service",
        "usr/lib/systemd/system/pacsync-agent.timer",
        "usr/share/libalpm/hooks/zz-pacsync-agent.hook",
        "usr/lib/tmpfiles.d/pacsync-agent.conf",
        "usr/share/bash-completion/completions/pacsync-agent",
        "usr/share/zsh/site-functions/_pacsync-agent",
        "usr/share/fish/vendor_completions.d/pacsync-agent.fish",
    } <= names
    assert names & {"usr/share/man/man8/pacsync-agent.8", "usr/share/man/man8/pacsync-agent.8.gz"}


@pytest.mark.needs("makepkg", "bsdtar", "zstd", "fakeroot", "pacman")
def test_package_installs_with_pacman_and_the_agent_runs(agent_package: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "var/lib/pacman").mkdir(parents=True)
    options = ("--root", root, "--dbpath", root / "var/lib/pacman", "--noconfirm", "--nodeps", "--nodeps")
    options += ("--hookdir", tmp_path, "--logfile", "/dev/null", "--noscriptlet", "--config", "/dev/null")
    run("pacman", "-U", *options, agent_package)
    agent = root / "usr/bin/pacsync-agent"
    assert stat.S_IMODE(agent.stat().st_mode) == 0o755
    assert run(agent, "--version").stdout.startswith("pacsync-agent ")
    # The sample configuration is one that the agent accepts: it gets as far as saying that it isn't enrolled.
    sample = root / "etc/pacsync-agent.conf"
    state = tmp_path / "state"
    done = run(agent, "--agent-config", sample, "--state-dir", state, "once", check=False)
    assert "agent_config_invalid" not in done.stdout + done.stderr
    assert done.returncode in (4, 7), done.stderr


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_is_valid_for_systemd(unit: Path) -> None:
    done = run("systemd-analyze", "verify", unit, check=False)
    # What it starts isn't installed on this machine; everything else counts.
    problems = [line for line in done.stderr.splitlines() if unit.name in line and "is not executable" not in line]
    assert problems == []


def test_stopping_the_agent_never_kills_pacman() -> None:
    for name in ("pacsync-agent.service", "pacsync-agent-once.service"):
        assert "KillMode=process" in (ARCH / name).read_text()


def test_hook_does_not_make_pacman_wait_for_a_server() -> None:
    text = (ARCH / "pacsync-agent.hook").read_text()
    assert "When = PostTransaction" in text
    assert "--no-block pacsync-agent-report.service" in text
