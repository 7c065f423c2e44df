"""Tells the server what this machine has: its packages, repositories and holds. It must not change the machine."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from apps.fleet.alpm import state

from . import (
    __version__,
    database_lock,
    examination,
    files,
    local_db,
    lock_check,
    pacman_conf_kept,
    permission,
    plan,
    status_file,
    verification,
)
from .api import ApiError
from .context import Context
from .errors import AgentError, Failed, Refused
from .local_db import Installed
from .repositories import Repositories, database, lists
from .revision_seen import RevisionSeen

ROUNDS = 4
# What a server may not know yet, and can do without.
DISPENSABLE = {"protected", "hint"}
# For so many seconds a background report goes by the databases that were fetched privately, or not to be had.
PRIVATE_MAX_AGE = 3600.0
RENEWING = 5.0  # seconds that the server has for its word on what an operation came to
_unkept: dict[Path, int] = {}  # the last number of each machine for which there was no room


def next_seq(directory: Path) -> int:
    """A number above every one before: milliseconds of the clock, or one more where the clock went back.

    Where there is no room to keep it, the clock alone has to do, and what this process remembers.
    """
    path = directory / "seq.json"
    try:
        last = int((files.read_json(path) or {}).get("seq", 0))
    except (ValueError, TypeError):
        last = 0
    seq = max(last + 1, _unkept.get(path, 0) + 1, int(time.time() * 1000))
    if not files.keep_json(path, {"seq": seq}):
        _unkept[path] = seq
    return seq


def holds(context: Context, installed: Installed) -> list[str]:
    """IgnorePkg, and each package of an IgnoreGroup by its name.

    As pacman does it: by the groups of the installed package, or by those that the first repository which has it says.
    """
    conf = context.conf
    names = set(conf.ignore)
    if conf.ignore_groups:
        offered: dict[str, tuple[str, ...]] = {}
        for repo in conf.repositories:
            path = database(context, repo.name)
            offered = {**(lists(path, "GROUPS") if path else {}), **offered}
        groups = [(name, package.groups) for name, package in installed.items()]
        names |= {name for name, found in (*groups, *offered.items()) if plan.matching(found, conf.ignore_groups)}
    return sorted(names)


def check_in(context: Context, *, background: bool = False) -> dict[str, Any]:
    """Report until nothing is wanted any more; the server's answer. Raises AgentError.

    A report in the `background` doesn't ask mirrors again and again for a database that the machine hasn't.
    """
    pacman_conf_kept.keep(context.conf, context.state_dir)
    locked = lock_check.problems(context.conf)
    installed = local_db.read(context.conf.dbpath)
    locked = locked or lock_check.problems(context.conf)  # taken meanwhile
    text = local_db.state_text(installed)
    repositories = Repositories(context)
    reported = repositories.report(max_age=PRIVATE_MAX_AGE if background else 0)
    held = holds(context, installed)
    context.problems = examination.examine(
        context, installed, databases={one["name"]: one["digest"] for one in reported}, held=held
    )
    context.problems += locked + verification.problems(context.conf, context.state_dir, installed)
    body = {
        "seq": next_seq(context.state_dir),
        "state": state.digest_of(text),
        "repositories": reported,
        "holds": held,
        "replaced": repositories.replaced(installed)[:1000],
        "examination": {"problems": context.problems},
        "agent_version": __version__,
        "protected": [
            one.as_json() for one in permission.protected(context.conf, context.state_dir, installed, context.protect)
        ],
    }
    seen = RevisionSeen(context.state_dir).load()
    if seen and seen.digest:
        body["revision_seen"] = seen.as_json()
    try:
        for _ in range(ROUNDS):
            answer = _post(context, body)
            if not answer["want"]:
                _note_revision(context, answer)
                context.poll = float(answer.get("poll_seconds") or 0)
                _keep_status(context, answer, body["state"])
                return answer
            for digest in answer["want"]:
                if digest == body["state"]:
                    context.client.put_text(f"/states/{digest}", text)
                elif digest in repositories.remembered:  # the server forgot it, and here it can't be read any more
                    body["repositories"] = [one for one in reported if one["digest"] not in repositories.remembered]
                else:
                    context.client.put_text(f"/repositories/{digest}", repositories.upload(digest))
    except ApiError as error:
        raise error.as_agent_error(context.credentials.name) from None
    raise Failed("upload_refused", "The server keeps asking for what was just uploaded.", "Look at the server's log.")


def _post(context: Context, body: dict[str, Any], path: str = "/checkin") -> dict[str, Any]:
    """The answer to a report; a server that is older does without what it doesn't know. Raises ApiError."""
    try:
        return context.client.post(path, body)
    except ApiError as error:
        unknown = DISPENSABLE & body.keys() & set(error.unknown)
        if not unknown:
            raise
        for field in unknown:
            del body[field]
        return context.client.post(path, body)


def _note_revision(context: Context, answer: dict[str, Any]) -> None:
    """Remember the pool's revision; warn, once for as long as it is so, of one that went back."""
    problem = RevisionSeen(context.state_dir).note(answer.get("pool"), answer.get("revision"))
    if problem and problem != context.went_back:
        context.output.warn(
            f"{problem} Automatic syncs rest here until an operator confirms, or `pacsync-agent sync` is run here."
        )
    context.went_back = problem


def check_databases(context: Context) -> None:
    """After a report: raise Refused while a database can't be had. What is foreign can't be told without it."""
    if context.unreadable:
        names = sorted(context.unreadable)
        listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        raise Refused(
            "databases_unreadable",
            f"These databases can't be read, nor fetched from the mirrors of this machine: {listed} "
            f"({context.unreadable[names[0]]}). Which packages are foreign can't be told without them.",
            "Correct the mirrors in pacman.conf, or the keyring, and try again: the agent fetches them by itself.",
        )


def send_result(context: Context, operation: str, body: dict[str, Any], text: bytes) -> dict[str, Any]:
    """Report how an operation ended; uploads the state if the server doesn't know it. Raises ApiError, AgentError."""
    path = f"/operations/{operation}/result"
    body = {**body, "seq": next_seq(context.state_dir), "state": state.digest_of(text)}
    try:
        return _post(context, body, path)
    except ApiError as error:
        if error.code != "state_unknown":
            raise
    context.client.put_text(f"/states/{body['state']}", text)
    return _post(context, body, path)


def tell_end(context: Context) -> None:
    """After an operation: report at once when more, or less, is known of the files than this run has said.

    What `status` says without root is renewed. The next report does it too, except for how the operation ended.
    """
    installed = local_db.read(context.conf.dbpath)
    known = verification.problems(context.conf, context.state_dir, installed)
    if known != verification.among(context.problems):
        tell(context)
    renew_status(context)


def renew_status(context: Context) -> None:
    """After an operation: keep how the machine stands now, if the server can say it. The next report does it too."""
    with contextlib.suppress(ApiError, AgentError, OSError):
        answer = context.client.request("GET", "/me", patience=RENEWING)
        _keep_status(context, answer, answer.get("state"))


def _keep_status(context: Context, answer: dict[str, Any], digest: object) -> None:
    known = context.credentials
    status_file.keep(context.state_dir, answer, name=known.name, server=known.server, state=digest)


def tell(context: Context) -> None:
    """Report now, if that can be done. The next report does it too."""
    with contextlib.suppress(AgentError, OSError):
        check_in(context)


def another_pacman(context: Context) -> bool:
    """Whether a pacman is half-way. Not so in a hook of that pacman: by then its packages are in place."""
    dbpath = context.conf.dbpath
    return database_lock.holder(dbpath) is not None and not database_lock.held_by_ancestor(dbpath)


def in_hook(context: Context) -> bool:
    """Whether a pacman that this process is a hook of holds the lock: then report, but carry nothing out."""
    return database_lock.held_by_ancestor(context.conf.dbpath)
