"""deploy/backup/backup.sh, run as its container runs it, with the programs of one PostgreSQL version.

It must not know what a test does with the backups.
"""

import os
import subprocess
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.support.postgres import program_directory

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "backup" / "backup.sh"


class Backups:
    """The backups in `folder` of the database that `url` names. `programs` is the folder of pg_dump and pg_restore."""

    def __init__(self, url: str, folder: Path, programs: Path | None = None) -> None:
        self.folder, named = folder, conninfo_to_dict(url)
        self.environment = {
            "PATH": f"{programs or program_directory()}:{os.environ['PATH']}",
            "PGHOST": str(named["host"]),
            "PGPORT": str(named["port"]),
            "PGUSER": str(named["user"]),
            "PGDATABASE": str(named["dbname"]),
            "BACKUP_FOLDER": str(folder),
        }

    def run(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """`backup.sh …`, whatever its exit code."""
        env = self.environment | {name: str(value) for name, value in options.items()}
        return subprocess.run([SCRIPT, *arguments], env=env, capture_output=True, text=True, timeout=250)

    def make(self, **options: object) -> str:
        """`backup.sh once`, which succeeds; the name of the backup."""
        before = set(self.names())
        done = self.run("once", **options)
        assert done.returncode == 0, done.stdout + done.stderr
        (name,) = set(self.names()) - before
        return name

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`backup.sh …` in the background."""
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([SCRIPT, *arguments], env=self.environment, **output)  # type: ignore[call-overload,no-any-return]

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("pacsync-*.dump"))

    def unfinished(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob(".*.part"))
