"""The workflows of the forge: two linters read them. What they do on the forge can't be run here."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.deploy.engine import ROOT, run

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"


def test_workflows_pass_actionlint() -> None:
    program = shutil.which("actionlint")
    if program is None:
        # It is in no package of Debian or PyPI, so only a machine with Go can be asked to have it.
        if os.environ.get("PACSYNC_REQUIRE_ALL") == "1" and shutil.which("go"):
            pytest.fail(f"missing program: go install {ACTIONLINT}")
        pytest.skip(f"go install {ACTIONLINT}")
    run(program, "-no-color", *WORKFLOWS, cwd=ROOT)


def test_workflows_pass_zizmor() -> None:
    """Permissions, unpinned actions, credentials that stay, text of strangers in commands, poisoned caches."""
    run(Path(sys.executable).with_name("zizmor"), "--offline", "--no-progress", "--quiet", *WORKFLOWS, cwd=ROOT)


def test_continuous_integration_installs_the_actionlint_that_the_test_names() -> None:
    assert re.findall(r"go install (\S+)", (ROOT / ".ci/run").read_text()).count(ACTIONLINT) == 1


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_say_their_version(workflow: Path) -> None:
    used = re.findall(r"uses: (?!\./)(.*)", workflow.read_text())
    assert used
    assert [text for text in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", text)] == []
