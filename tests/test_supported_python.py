"""The versions of Python: `make` refuses others in one line, before it makes anything."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MINOR = sys.version_info.minor


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What `make` needs to look at the interpreter, in a folder of its own."""
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "deploy/supported_python.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def supports(project: Path, oldest: int, end: int) -> None:
    """Change the range of versions. The interpreter stays the real one: only the range can be moved."""
    file = project / "pyproject.toml"
    text, found = re.subn(
        r"^requires-python = .*$", f'requires-python = ">=3.{oldest},<3.{end}"', file.read_text(), flags=re.MULTILINE
    )
    assert found == 1
    file.write_text(text)


@pytest.mark.parametrize("oldest, end", [(MINOR - 3, MINOR), (MINOR + 1, MINOR + 3)], ids=["newer", "older"])
def test_make_run_with_an_unsupported_python_says_which_versions_work(project: Path, oldest: int, end: int) -> None:
    supports(project, oldest, end)
    done = subprocess.run(["make", "run", f"PYTHON={sys.executable}"], cwd=project, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0
    assert len(said) == 1
    assert f"is Python 3.{MINOR}." in said[0]
    assert f"PacSync runs on Python 3.{oldest} to 3.{end - 1}." in said[0]
    assert not (project / ".venv").exists()


def make_run(project: Path, interpreter: str) -> list[str]:
    """What `make run` says in a project whose .venv has this interpreter, and none of our packages."""
    bin = project / ".venv" / "bin"
    bin.mkdir(parents=True)
    (bin / "python").symlink_to(interpreter)
    done = subprocess.run(["make", "run"], cwd=project, capture_output=True, text=True)
    assert done.returncode != 0
    return [line for line in done.stderr.splitlines() if not line.startswith("make")]


def test_make_run_with_an_interpreter_that_was_upgraded_says_to_delete_the_venv(project: Path) -> None:
    supports(project, MINOR - 3, MINOR)
    [said] = make_run(project, sys.executable)
    assert f"is Python 3.{MINOR}." in said
    assert "Delete .venv. Name one of these, for example: make run PYTHON=python3." in said


def test_make_run_with_the_packages_of_another_version_says_to_delete_the_venv(project: Path) -> None:
    (project / ".venv" / "lib" / f"python3.{MINOR - 1}").mkdir(parents=True)
    [said] = make_run(project, sys.executable)
    assert said.startswith(f".venv was made with another Python than 3.{MINOR}, which it has now: delete it")


@pytest.mark.parametrize("oldest, end", [(MINOR, MINOR + 1), (MINOR - 1, MINOR + 1), (MINOR, MINOR + 4)])
def test_supported_python_passes_without_a_word(project: Path, oldest: int, end: int) -> None:
    supports(project, oldest, end)
    done = subprocess.run([sys.executable, project / "deploy/supported_python.py"], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_range_of_the_project_has_the_python_that_runs_this_test() -> None:
    subprocess.run([sys.executable, ROOT / "deploy/supported_python.py"], check=True)


def test_make_resolve_tries_each_version_of_the_range() -> None:
    [(oldest, end)] = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    [versions] = re.findall(r"^PYTHONS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert versions.split() == [f"3.{minor}" for minor in range(int(oldest), int(end))]
