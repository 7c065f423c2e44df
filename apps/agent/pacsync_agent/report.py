"""Tells the server what this machine has: its packages, repositories and holds. It must not change the machine."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from apps.fleet.alpm import desc, repository, state, syncdb
from apps.fleet.alpm.archive import members

from . import __version__, addresses, database_lock, dependency, files, local_db, plan
from .api import ApiError
from .context import Context
from .errors import Failed
from .local_db import Installed
from .pacman_conf import PacmanConf

ROUNDS = 4
# What the server takes for a mirror; pacman itself would take more.
MIRROR = re.compile(r"(https?|ftp|file)://[\x21-\x7e]{1,2000}")


def next_seq(directory: Path) -> int:
    """A number above every one before: milliseconds of the clock, or one more where the clock went back."""
    path = directory / "seq.json"
    try:
        last = int((files.read_json(path) or {}).get("seq", 0))
    except (ValueError, TypeError):
        last = 0
    seq = max(last + 1, int(time.time() * 1000))
    files.write_json(path, {"seq": seq})
    return seq


def holds(conf: PacmanConf, installed: Installed) -> list[str]:
    """IgnorePkg, and each package of an IgnoreGroup by its name.

    As pacman does it: by the groups of the installed package, or by those that the first repository which has it says.
    """
    names = set(conf.ignore)
    if conf.ignore_groups:
        offered: dict[str, tuple[str, ...]] = {}
        for repo in conf.repositories:
            offered = {**_lists(conf.dbpath / "sync" / f"{repo.name}.db", "GROUPS"), **offered}
        groups = [(name, package.groups) for name, package in installed.items()]
        names |= {name for name, found in (*groups, *offered.items()) if plan.matching(found, conf.ignore_groups)}
    return sorted(names)


def _lists(path: Path, key: str) -> dict[str, tuple[str, ...]]:
    """The values of `key` of each package in a sync database; nothing where it can't be read."""
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


class Repositories:
    """The sync databases as canonical texts, digests kept on the disk: a poll reads nothing that didn't change."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.path = context.state_dir / "repositories.json"
        self.texts: dict[str, bytes] = {}
        try:
            self.cache: dict[str, Any] = files.read_json(self.path) or {}
        except ValueError:
            self.cache = {}

    def report(self) -> list[dict[str, Any]]:
        """What a check-in says of them, in pacman's order. One that can't be read is reported as it was before."""
        found = []
        before = dict(self.cache)
        for repo in self.context.conf.repositories:
            digest = self._digest(repo.name)
            if digest:
                found.append(
                    {
                        "name": repo.name,
                        "digest": digest,
                        "mirrors": [url for url in map(addresses.reported, repo.servers) if MIRROR.fullmatch(url)],
                    }
                )
        if self.cache != before:
            files.write_json(self.path, self.cache)
        return found

    def _digest(self, name: str) -> str:
        path = self._path(name)
        known = self.cache.get(str(path), {})
        try:
            found = path.stat()
        except OSError:
            return ""
        stamp = [found.st_mtime_ns, found.st_size, found.st_ino]
        if known.get("stamp") != stamp or "replaces" not in known:
            try:
                text = self.text(name)
            except (OSError, ValueError) as error:
                self.context.output.warn(f"{error}; run `pacman -Syy` to get it anew.")
                return str(known.get("digest", ""))
            words = sorted({word for found in _lists(path, "REPLACES").values() for word in found})
            known = {"stamp": stamp, "digest": repository.digest_of(text) if text else "", "replaces": words}
            self.cache[str(path)] = known
        return str(known["digest"])

    def replaced(self, installed: Installed) -> list[str]:
        """The installed packages that pacman would replace by others of the repositories. After `report`."""
        known = [self.cache.get(str(self._path(repo.name)), {}) for repo in self.context.conf.repositories]
        words = [dependency.parse(word) for one in known for word in one.get("replaces", ())]
        present = [(word, installed.get(word.name)) for word in words]
        return sorted({word.name for word, package in present if package and word.holds_for(package.version)})

    def _path(self, name: str) -> Path:
        return self.context.conf.dbpath / "sync" / f"{name}.db"

    def text(self, name: str) -> bytes:
        """The canonical text of a repository; empty when it offers nothing. Raises OSError, ValueError."""
        offered = syncdb.read(self._path(name))
        text = repository.to_text(offered) if offered else b""
        self.texts[repository.digest_of(text)] = text
        return text

    def upload(self, digest: str) -> bytes:
        """The text with this digest. Raises Failed when the database changed in the meantime."""
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


def check_in(context: Context) -> dict[str, Any]:
    """Report until nothing is wanted any more; the server's answer. Raises AgentError."""
    installed = local_db.read(context.conf.dbpath)
    text = local_db.state_text(installed)
    repositories = Repositories(context)
    body = {
        "seq": next_seq(context.state_dir),
        "state": state.digest_of(text),
        "repositories": repositories.report(),
        "holds": holds(context.conf, installed),
        "replaced": repositories.replaced(installed)[:1000],
        "agent_version": __version__,
    }
    try:
        for _ in range(ROUNDS):
            answer = context.client.post("/checkin", body)
            if not answer["want"]:
                _remember(context, answer, body["state"])
                return answer
            for digest in answer["want"]:
                if digest == body["state"]:
                    context.client.put_text(f"/states/{digest}", text)
                else:
                    context.client.put_text(f"/repositories/{digest}", repositories.upload(digest))
    except ApiError as error:
        raise error.as_agent_error() from None
    raise Failed("upload_refused", "The server keeps asking for what was just uploaded.", "Look at the server's log.")


def send_result(context: Context, operation: str, body: dict[str, Any], text: bytes) -> dict[str, Any]:
    """Report how an operation ended; uploads the state if the server doesn't know it. Raises ApiError, AgentError."""
    path = f"/operations/{operation}/result"
    body = {**body, "seq": next_seq(context.state_dir), "state": state.digest_of(text)}
    try:
        return context.client.post(path, body)
    except ApiError as error:
        if error.code != "state_unknown":
            raise
    context.client.put_text(f"/states/{body['state']}", text)
    return context.client.post(path, body)


def status_path(directory: Path) -> Path:
    return directory / "status.json"


def _remember(context: Context, answer: dict[str, Any], digest: object) -> None:
    """Keep what the server said, for `status` without root (no secret is in it)."""
    target = answer.get("target") or {}
    value = {
        "name": context.credentials.name,
        "server": context.credentials.server,
        "pool": answer.get("pool"),
        "status": answer.get("status"),
        "target": target.get("number"),
        "state": digest,
        "checked_in": int(time.time()),
    }
    files.write_json(status_path(context.state_dir), value, mode=0o644)


def another_pacman(context: Context) -> bool:
    """Whether a pacman is half-way. Not so in a hook of that pacman: by then its packages are in place."""
    dbpath = context.conf.dbpath
    return database_lock.holder(dbpath) is not None and not database_lock.held_by_ancestor(dbpath)


def in_hook(context: Context) -> bool:
    """Whether a pacman that this process is a hook of holds the lock: then report, but carry nothing out."""
    return database_lock.held_by_ancestor(context.conf.dbpath)
