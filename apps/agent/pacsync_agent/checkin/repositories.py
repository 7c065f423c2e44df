"""The sync databases of this machine as canonical texts for the server. It must not know what else is reported.

Where a sync database is missing, unreadable or refused by pacman (`sync_databases`), the current one of the machine's
own mirrors is reported (`private_databases`). If that fails too, the last reported one counts, and `Context.unreadable`
has the reason.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any, Optional

from apps.fleet.alpm import desc, repository, syncdb
from apps.fleet.alpm.archive import members

from ..context import Context
from ..databases import private_databases, sync_databases
from ..databases.local_db import Installed
from ..errors import Failed
from ..mirrors import addresses
from ..packages import dependency
from ..pacman.configuration import Repository
from ..system import files

# What the server accepts as a mirror; pacman itself accepts more.
MIRROR = re.compile(r"(https?|ftp|file)://[\x21-\x7e]{1,2000}")


def database(context: Context, repository: str) -> Optional[Path]:
    """The file used as the sync database of the repository, privately fetched or the machine's own, if any."""
    return context.databases.get(repository) or sync_databases.taken(context, repository)


def lists(path: Path, key: str) -> dict[str, tuple[str, ...]]:
    """The values of `key` of each package in a sync database; empty if it can't be read."""
    found = {}
    try:
        for entry, file in members(path):
            directory, _, kind = entry.rpartition("/")
            if kind == "desc":
                values = desc.parse(file.read().decode(errors="replace"))
                found[desc.split_entry(directory)[0]] = tuple(values.get(key, ()))
    except (OSError, ValueError):
        return {}
    return found


def _mirrors(repo: Repository) -> list[str]:
    return [url for url in map(addresses.reported, repo.servers) if MIRROR.fullmatch(url)]


class Repositories:
    """The sync databases as canonical texts. Their digests are kept on the disk, so a poll reads only what changed."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.path = context.state_dir / "repositories.json"
        self.texts: dict[str, bytes] = {}
        # Digests reported before, of databases that can't be read now: there is no text of them.
        self.remembered: set[str] = set()
        try:
            self.cache: dict[str, Any] = files.read_json(self.path) or {}
        except ValueError:
            self.cache = {}

    def report(self, *, max_age: float = 0) -> list[dict[str, Any]]:
        """What a check-in reports of them, in pacman's order. Missing ones are fetched privately.

        One that can't be fetched either is reported as before. Sets `unreadable` and `databases` of the context.
        `max_age`: as in `private_databases.fetch`.
        """
        context, before = self.context, dict(self.cache)
        configured = context.conf.repositories
        context.databases = {}
        digests = {repo.name: self._digest(repo.name) for repo in configured}
        missing = [name for name, digest in digests.items() if digest is None]
        fetched = private_databases.Databases()
        if missing:
            fetched = private_databases.fetch(context, missing, max_age=max_age)
        context.databases = {name: database.path for name, database in fetched.readable.items()}
        digests.update({name: self._digest(name) for name in fetched.readable})
        remembered = {name: self._digest_before(name) for name in fetched.reasons}
        self.remembered = set(remembered.values()) - {""}
        digests.update(remembered)
        self._say(fetched.reasons)
        if self.cache != before:
            files.keep_json(self.path, self.cache)
        return [
            {"name": repo.name, "digest": digest, "mirrors": _mirrors(repo)}
            for repo in configured
            if (digest := digests[repo.name])
        ]

    def _say(self, reasons: dict[str, str]) -> None:
        """Warn once of each that can't be read."""
        for name in sorted(set(reasons) - set(self.context.unreadable)):
            said = f"The database of {name} can't be read, nor fetched ({reasons[name]})"
            self.context.output.warn(f"{said}: correct the mirrors or the keyring.")
        self.context.unreadable = dict(reasons)

    def _digest(self, name: str) -> Optional[str]:
        """The digest of the database in use; empty when it offers nothing, None when it can't be read."""
        path = database(self.context, name)
        if path is None:
            return None
        known = self.cache.get(str(path), {})
        try:
            found = path.stat()
            stamp = [found.st_ctime_ns, found.st_mtime_ns, found.st_size, found.st_ino]
            if known.get("stamp") != stamp or "replaces" not in known:
                text = self.text(name)
                words = sorted({word for found in lists(path, "REPLACES").values() for word in found})
                known = {"stamp": stamp, "digest": repository.digest_of(text) if text else "", "replaces": words}
                self.cache[str(path)] = known
        except (OSError, ValueError):
            return None
        return str(known["digest"])

    def _digest_before(self, name: str) -> str:
        """The digest of the machine's own database when it was last readable; empty when it never was."""
        return str(self.cache.get(str(sync_databases.path_of(self.context.conf, name)), {}).get("digest", ""))

    def replaced(self, installed: Installed) -> list[str]:
        """The installed packages that pacman would replace by others of the repositories. After `report`."""
        known = [self.cache.get(str(self._path(repo.name)), {}) for repo in self.context.conf.repositories]
        words = [dependency.parse(word) for one in known for word in one.get("replaces", ())]
        present = [(word, installed.get(word.name)) for word in words]
        return sorted({word.name for word, package in present if package and word.holds_for(package.version)})

    def _path(self, name: str) -> Path:
        """Where the database in use is, or was."""
        return self.context.databases.get(name) or sync_databases.path_of(self.context.conf, name)

    def text(self, name: str) -> bytes:
        """The canonical text of a repository; empty when it offers nothing. Raises OSError, ValueError."""
        private = self.context.databases.get(name)
        offered = syncdb.read(private) if private else sync_databases.read(self.context, name)
        text = repository.to_text(offered) if offered else b""
        self.texts[repository.digest_of(text)] = text
        return text

    def upload(self, digest: str) -> bytes:
        """The text with this digest. Raises Failed when the database changed in the meantime."""
        with contextlib.suppress(OSError, ValueError):
            for name in [repo.name for repo in self.context.conf.repositories]:
                if digest in self.texts:
                    break
                if self.cache.get(str(self._path(name)), {}).get("digest") == digest:
                    self.text(name)
        if digest not in self.texts:
            raise Failed(
                "repository_changed", "A sync database changed while it was reported.", "Run the command again."
            )
        return self.texts[digest]
