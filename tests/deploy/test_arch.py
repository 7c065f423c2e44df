"""The agent's package, built by the real makepkg and installed by the real pacman, and the systemd units."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.engine import ROOT, run

ARCH, SYSTEMD = ROOT / "deploy" / "arch", ROOT / "deploy" / "systemd"
UNITS = sorted([*ARCH.glob("*.service"), *ARCH.glob("*.timer"), *SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.socket")])


@pytest.fixture(scope="module")
def package() -> Iterator[Path]:
    """The built package. makepkg refuses root, so nobody builds it then, in a copy of the checkout."""
    place = Path(tempfile.mkdtemp(prefix="pacsync-test-arch-"))
    place.chmod(0o755)  # pytest's own folders are closed to nobody
    checkout = place / "checkout"
    keep_out = shutil.ignore_patterns("__pycache__", "*.pkg.tar*", "src", "pkg")
    for name in ("apps", "deploy"):
        shutil.copytree(ROOT / name, checkout / name, ignore=keep_out)
    shutil.copy(ROOT / "LICENSE", checkout)
    as_nobody: dict[str, object] = {}
    if os.geteuid() == 0:
        run("chown", "-R", "nobody", checkout)
        as_nobody = {"user": "nobody"}
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout), "PKGEXT": ".pkg.tar.zst", "LC_ALL": "C"}
    run("makepkg", "--nodeps", "--nosign", "--force", cwd=checkout / "deploy/arch", env=environment, **as_nobody)
    (built,) = (checkout / "deploy" / "arch").glob("*.pkg.tar.zst")
    yield built
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.needs("makepkg", "bsdtar", "zstd", "fakeroot")
def test_package_holds_the_agent_its_units_and_its_hook(package: Path) -> None:
    names = set(run("bsdtar", "-tf", package).stdout.split())
    assert {
        "usr/bin/pacsync-agent",
        "etc/pacsync-agent.conf",
        "usr/lib/systemd/system/pacsync-agent.service",
        "usr/lib/systemd/system/pacsync-agent.timer",
        "usr/share/libalpm/hooks/zz-pacsync-agent.hook",
        "usr/lib/tmpfiles.d/pacsync-agent.conf",
    } <= names


@pytest.mark.needs("makepkg", "bsdtar", "zstd", "fakeroot", "pacman")
def test_package_installs_with_pacman_and_the_agent_runs(package: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "var/lib/pacman").mkdir(parents=True)
    options = ("--root", root, "--dbpath", root / "var/lib/pacman", "--noconfirm", "--nodeps", "--nodeps")
    options += ("--hookdir", tmp_path, "--logfile", "/dev/null", "--noscriptlet", "--config", "/dev/null")
    run("pacman", "-U", *options, package)
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
        assert "KillMode=mixed" in (ARCH / name).read_text()


def test_hook_does_not_make_pacman_wait_for_a_server() -> None:
    text = (ARCH / "pacsync-agent.hook").read_text()
    assert "When = PostTransaction" in text
    assert "--no-block pacsync-agent-report.service" in text
