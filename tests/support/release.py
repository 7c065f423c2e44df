"""A copy of the project that a test may break, and what becomes of it. It must not know what is broken."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support import preloaded
from tests.support.server import ROOT, Server, environment

PARTS = ("apps", "pacsync", "deploy")
Break = Callable[["Release"], None]


class Release:
    """The project's folders in `root`. The checkout itself is never touched."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for part in PARTS:
            shutil.copytree(ROOT / part, root / part)
        shutil.copy2(ROOT / "manage.py", root)

    def append(self, path: str, text: str) -> None:
        self.write(path, (self.root / path).read_text() + text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text, f"{path} doesn't contain {old!r} any more"
        self.write(path, text.replace(old, new, 1))

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def run(self, *command: str, **env: object) -> subprocess.CompletedProcess[str]:
        """Run `python COMMAND…` in the copy, without any database that answers."""
        database = f"sqlite:///{self.root / 'nothing.sqlite3'}"
        env_of_copy = environment(database, **env) | {"PYTHONPATH": str(self.root)}
        return preloaded.run(command, cwd=self.root, env=env_of_copy)


class ReleaseServer(Server):
    """A gunicorn of that copy."""

    def __init__(self, release: Release, database_url: str, **env: object) -> None:
        super().__init__(database_url, **env)
        self.root = release.root
        self.environment.pop("PYTHONPATH", None)  # gunicorn.conf.py names the folder itself

    def discard(self) -> None:
        self.kill()
        os.unlink(self.log_path)
