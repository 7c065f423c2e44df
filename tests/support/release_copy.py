"""A release: a copy of the project that a test may break, and a server that runs it. It knows no fault by name."""

import compileall
import shutil
from pathlib import Path

from tests.support.isolation import once
from tests.support.playground import Playground
from tests.support.server import ROOT

PARTS = ("apps", "pacsync", "deploy", "tests/support", "tests/__init__.py", "manage.py")


def copy(folder: Path) -> Path:
    """The project's code in a new folder, with the bytecode of each module: a release that was started before."""
    return Path(shutil.copytree(once("release", _make), folder, dirs_exist_ok=True))


def _make(folder: Path) -> None:
    for part in PARTS:
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / part, target)
    assert compileall.compile_dir(folder, quiet=1)


class ReleasePlayground(Playground):
    """The playground from the copy in `root`."""

    def __init__(self, root: Path, database_url: str, folder: Path, **env: object) -> None:
        super().__init__(database_url, folder, **{"PYTHONDONTWRITEBYTECODE": 1, **env})
        self.root = root
