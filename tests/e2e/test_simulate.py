"""The simulator at work: a few agents for some seconds. What it measures isn't asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulate import cores
from tests.support.server import ROOT


@pytest.mark.timeout(240)
def test_simulation_of_a_new_target_carries_it_out(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    sizes = ("--endpoints=8", "--states=4", "--seconds=12", "--interval=3", "--speed=40", "--workers=1")
    command = [sys.executable, "-m", "tests.simulate", *sizes, "--auto-sync", "--operators=2", "--scenario=target"]
    done = subprocess.run([*command, f"--json={file}"], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    intervals = json.loads(file.read_text())["intervals"]
    assert sum(one["operations"] for one in intervals) > 0, done.stdout
    assert sum(one["answers"].get("201", 0) for one in intervals) == 1, done.stdout
    for measured in ("slowest_probe_ms", "reads_p99_ms"):
        assert any(one[measured] > 0 for one in intervals), done.stdout
    assert not done.stderr


def test_simulation_without_a_scenario_of_that_name_says_which_there_are() -> None:
    command = [sys.executable, "-m", "tests.simulate", "--scenario=nothing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "power-cut" in done.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [("--speed=-1", "must be above 0"), ("--interval=0", "must be above 0"), ("--states=many", "invalid int value")],
)
def test_simulation_refuses_numbers_with_which_it_would_not_end_or_measure_nothing(option: str, said: str) -> None:
    command = [sys.executable, "-m", "tests.simulate", option]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


@pytest.mark.needs("haproxy")
@pytest.mark.timeout(240)
def test_simulation_of_two_instances_asks_both_and_limits_their_cores(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    sizes = ("--endpoints=8", "--states=4", "--seconds=9", "--interval=3", "--speed=40", "--workers=1")
    limit = ["--cores=0.5"] if os.geteuid() == 0 and os.access(cores.ROOT / "cpu", os.W_OK) else []
    command = [sys.executable, "-m", "tests.simulate", *sizes, "--instances=2", *limit, f"--json={file}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    intervals = json.loads(file.read_text())["intervals"]
    assert sum(one["answers"].get("200", 0) for one in intervals) > 20, done.stdout
    assert not list(cores.ROOT.glob("**/pacsync-simulation-*"))
