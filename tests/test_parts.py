"""`make test`: its parts, ONLY, and that a test which is said to need no database can't use one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from tests import __main__ as parts
from tests.support import isolation

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import pytest
from django.db import connection

@pytest.mark.django_db
def test_marked(): pass

def test_fixture(db): pass

def test_other_fixture(transactional_db): pass

@pytest.mark.skipif(connection.vendor == "sqlite", reason="only there")
def test_condition(): pass

def test_plain(): pass

def test_liar():
    connection.ensure_connection()
"""


def chosen(*only: str) -> dict[str, list[str]]:
    """What `make test ONLY=…` runs: the places of each part."""
    names, paths = parts.choose(parts.argparse.ArgumentParser(), only)
    return {name: places for name in names if (places := parts.where(parts.PARTS[name], paths))}


def pytest_of(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "-p", "no:cacheprovider", *options, file]
    env = {name: value for name, value in os.environ.items() if name not in isolation.KEPT_BY_WORKERS}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "test_of_all_kinds.py"
    path.write_text(TESTS)
    return path


def test_database_option_shares_out_every_test_by_what_it_needs(file: Path) -> None:
    found = {kind: pytest_of(file, "--collect-only", "-q", f"--database={kind}").stdout for kind in ("with", "without")}
    names = {
        kind: {line.partition("::")[2] for line in text.splitlines() if "::" in line} for kind, text in found.items()
    }
    assert names["with"] == {"test_marked", "test_fixture", "test_other_fixture", "test_condition"}
    assert names["without"] == {"test_plain", "test_liar"}


def test_that_uses_a_database_without_saying_so_fails(file: Path) -> None:
    done = pytest_of(file, "--database=without")
    assert "1 failed, 1 passed" in done.stdout
    assert "Database access not allowed" in done.stdout


@pytest.mark.django_db
def test_database_is_the_one_of_this_worker() -> None:
    assert (isolation.worker() in str(connection.settings_dict["NAME"])) or isolation.worker() == "main"


@pytest.mark.parametrize("word", ["nonsense", "e2", "tests/nowhere.py"])
def test_only_unknown_word_is_refused_with_the_names(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        chosen("unit", word)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert word in said and all(name in said for name in parts.PARTS)


def test_only_nothing_is_every_part_but_containers_and_cluster() -> None:
    assert list(chosen()) == ["unit", "sqlite", "postgresql", "e2e", "alone"]


@pytest.mark.parametrize(
    ("only", "places"),
    [
        (("e2e", "unit"), {"unit": [str(parts.TESTS)], "e2e": [str(parts.E2E)]}),
        (("tests/api",), {key: ["tests/api"] for key in ("unit", "sqlite", "postgresql")}),
        (("tests/api", "sqlite"), {"sqlite": ["tests/api"]}),
        (("tests/e2e/test_api.py::test_x",), {key: ["tests/e2e/test_api.py::test_x"] for key in ("e2e", "alone")}),
        (("tests", "e2e"), {"e2e": [str(parts.E2E)]}),
        (("tests/deploy",), {}),
        (("tests/deploy", "deploy"), {"deploy": ["tests/deploy"]}),
        (("tests/cluster",), {}),
        (("tests/cluster", "cluster-all"), {"cluster-all": ["tests/cluster"]}),
        (("README.md",), {}),
    ],
)
def test_only_paths_go_to_the_parts_that_have_them(only: tuple[str, ...], places: dict[str, list[str]]) -> None:
    if any("::" in word for word in only):
        assert (ROOT / only[0].partition("::")[0]).exists()
    assert chosen(*only) == places


def test_report_lists_the_ten_slowest_of_all_parts(capsys: pytest.CaptureFixture[str]) -> None:
    results = {
        name: parts.Result(0, 20.0, "9 passed", [(float(number), f"{name}{number}") for number in numbers])
        for name, numbers in (("unit", range(0, 20, 2)), ("e2e", range(1, 20, 2)))
    }
    parts.report(results)
    listed = [line.split()[-1] for line in capsys.readouterr().out.partition("The parts")[0].splitlines()[2:] if line]
    assert listed == [f"{'e2e' if number % 2 else 'unit'}{number}" for number in range(19, 9, -1)]


FLAKY = """
from pathlib import Path

import pytest

def test_passes(): pass

@pytest.mark.parametrize("name", ["once", "a b"])
def test_fails_once(name):
    seen = Path(name)
    if not seen.exists():
        seen.touch()
        raise AssertionError(name)
"""


@pytest.mark.parametrize(
    ("again", "always", "failed", "names"),
    [
        (True, "", False, ("test_flaky.py::test_fails_once[once]", "test_flaky.py::test_fails_once[a b]")),
        (True, "def test_fails(): raise AssertionError", True, ()),
        (True, "\n".join(f"def test_fails{number}(): raise AssertionError" for number in range(4)), True, ()),
        (False, "", True, ()),
    ],
)
def test_part_that_may_again_passes_and_names_the_tests_that_failed_once(
    again: bool, always: str, failed: bool, names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_flaky.py").write_text(FLAKY + always)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(isolation, "run_folder", lambda: tmp_path)
    folder = parts.E2E if again else parts.TESTS
    part = parts.Part("", "sqlite", ("-p", "no:cacheprovider", "-p", "no:django"), folder=folder, share=0)
    result = parts.run("flaky", part, ["test_flaky.py"])
    assert (result.failed, result.again) == (failed, names)
    assert (tmp_path / "flaky-again.xml").exists() == (again and "fails3" not in always)
    if again and not failed:
        assert result.counts == "1 passed, 2 failed, 0 skipped; of these the second time: 2 passed, 0 failed, 0 skipped"


def test_documents_name_every_part() -> None:
    for document in ("CONTRIBUTING.md", "Makefile"):
        text = (ROOT / document).read_text()
        assert all(name in text for name in parts.DEFAULT), document
