"""Reports to the server what this machine has: packages, repositories, holds. It must not change the machine."""

from __future__ import annotations

import contextlib
from typing import Any, Optional

from apps.fleet.alpm import state

from .. import __version__
from ..context import Context
from ..databases import local_db
from ..databases.local_db import Installed
from ..errors import AgentError, Failed, Refused
from ..examination import after_sync, source_examination, verification
from ..health_commands import health_record
from ..pacman import database_lock, kept_configuration, lock_check
from ..planning import plan
from ..protection import permission
from ..server import status_file
from ..server.client import ApiError
from ..server.newest_revision import RevisionSeen
from ..terminal.listing import listed
from ..trust import signed_revision
from . import sequence_number
from .repositories import Repositories, database, lists

MOST_ATTEMPTS = 4
# Fields that an older server doesn't know, and can do without.
DISPENSABLE = {"protected", "hint", "previous_seq", "signing"}
# Seconds for which a background report keeps using privately fetched databases, or the failure to fetch them.
PRIVATE_MAX_AGE = 3600.0
RENEWING = 5.0  # seconds that the server has to say what an operation led to


def holds(context: Context, installed: Installed) -> list[str]:
    """The held packages: IgnorePkg, and the name of each package in an IgnoreGroup.

    As in pacman, the groups are those of the installed package, or those in the first repository that has it.
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
    """Report, and upload what the server wants; its answer. Raises AgentError.

    `background`: don't ask the mirrors each time for a database that the machine lacks.
    """
    kept_configuration.keep(context.conf, context.state_dir)
    locked = lock_check.problems(context.conf)
    installed = local_db.read(context.conf.dbpath)
    locked = locked or lock_check.problems(context.conf)  # taken meanwhile
    text = local_db.state_text(installed)
    repositories = Repositories(context)
    reported = repositories.report(max_age=PRIVATE_MAX_AGE if background else 0)
    body = _body(context, installed, text, repositories, reported, locked)
    try:
        return _report(context, body, text, repositories)
    except ApiError as error:
        raise error.as_agent_error(context.credentials.name) from None


def _body(
    context: Context,
    installed: Installed,
    text: bytes,
    repositories: Repositories,
    reported: list[dict[str, Any]],
    locked: list[dict[str, Any]],
) -> dict[str, Any]:
    """The check-in request (docs/protocol.md); sets `problems` of the context."""
    held = holds(context, installed)
    context.problems = source_examination.examine(
        context, installed, databases={one["name"]: one["digest"] for one in reported}, held=held
    )
    context.problems += locked + _observed(context, installed)
    protected = permission.protected(context.conf, context.state_dir, installed, context.protect)
    numbers = sequence_number.following_with_previous(context.state_dir)
    body = {
        "seq": numbers.number,
        "state": state.digest_of(text),
        "repositories": reported,
        "holds": held,
        "replaced": repositories.replaced(installed)[:1000],
        "examination": {"problems": context.problems},
        "agent_version": __version__,
        "protected": [one.as_json() for one in protected],
    }
    if numbers.previous is not None:
        body["previous_seq"] = numbers.previous
    signing = _signing(context)
    if signing:
        body["signing"] = signing
    seen = RevisionSeen(context.state_dir).load()
    if seen and seen.digest:
        body["revision_seen"] = seen.as_json()
    return body


def _observed(context: Context, installed: Installed) -> list[dict[str, Any]]:
    """The problems that operations find or leave: files that differ, what is left to do, and bad health."""
    return [
        *verification.problems(context.conf, context.state_dir, installed),
        *after_sync.problems(context.state_dir, context.conf.root),
        *health_record.problems(context.state_dir),
    ]


def _signing(context: Context) -> Optional[dict[str, Any]]:
    """Whose signatures this machine wants, and what it accepted last. One that can't read that accepts nothing."""
    try:
        return signed_revision.report(context.state_dir)
    except AgentError as error:
        return {"keys": [], "pool": None, "accepted": None, "problem": error.code}


def _report(context: Context, body: dict[str, Any], text: bytes, repositories: Repositories) -> dict[str, Any]:
    """Send the report until the server wants nothing more. Raises ApiError, AgentError."""
    for _ in range(MOST_ATTEMPTS):
        answer = post_report(context, body)
        if not answer["want"]:
            _note_revision(context, answer)
            _note_identity(context, answer)
            context.poll = float(answer.get("poll_seconds") or 0)
            _keep_status(context, answer, body["state"])
            return answer
        reported = body["repositories"]
        for digest in answer["want"]:
            if digest == body["state"]:
                context.client.put_text(f"/states/{digest}", text)
            elif digest in repositories.remembered:  # the server forgot it, and here it can't be read any more
                body["repositories"] = [one for one in reported if one["digest"] not in repositories.remembered]
            else:
                context.client.put_text(f"/repositories/{digest}", repositories.upload(digest))
    raise Failed("upload_refused", "The server keeps asking for what was just uploaded.", "Look at the server's log.")


def post_report(context: Context, body: dict[str, Any], path: str = "/checkin") -> dict[str, Any]:
    """The answer to a report, sent again without the fields that an older server doesn't know. Raises ApiError."""
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
    """Remember the pool's revision. Warn once when it went back."""
    problem = RevisionSeen(context.state_dir).note(answer.get("pool"), answer.get("revision"))
    if problem and problem != context.went_back:
        context.output.warn(
            f"{problem} Automatic syncs rest here until an operator confirms, or `pacsync-agent sync` is run here."
        )
    context.went_back = problem


def _note_identity(context: Context, answer: dict[str, Any]) -> None:
    """Warn once when the server doesn't let this machine take part, or no longer knows which machine it is."""
    name, problem = context.credentials.name, ""
    if answer.get("awaits_approval"):
        problem = f"{name} waits for an operator's approval: until then the server keeps no report and gives no target."
    elif answer.get("token_shared"):
        problem = (
            f"More than one machine reports as {name}, with the same token, so no operation starts. If this is the "
            f"right one, enrol it again with a code from {name}'s page on the server (Enrol again). If it is a copy, "
            "run `pacsync-agent enroll --force` with another --name and a new code."
        )
    if problem and problem != context.identity:
        context.output.warn(problem)
    context.identity = problem


def check_databases(context: Context) -> None:
    """After a report: raise Refused while a database can't be read: it is needed to find the foreign packages."""
    if context.unreadable:
        names = sorted(context.unreadable)
        raise Refused(
            "databases_unreadable",
            f"These databases can't be read, nor fetched from the mirrors of this machine: {listed(names)} "
            f"({context.unreadable[names[0]]}). Without them nobody knows which packages are foreign.",
            "Correct the mirrors in pacman.conf, or the keyring, and try again: the agent fetches them automatically.",
        )


def send_result(context: Context, operation: str, body: dict[str, Any], text: bytes) -> dict[str, Any]:
    """Report how an operation ended; upload the state if the server doesn't know it. Raises ApiError, AgentError."""
    path = f"/operations/{operation}/result"
    body = {**body, "seq": sequence_number.following(context.state_dir), "state": state.digest_of(text)}
    try:
        return post_report(context, body, path)
    except ApiError as error:
        if error.code != "state_unknown":
            raise
    context.client.put_text(f"/states/{body['state']}", text)
    return post_report(context, body, path)


def report_end(context: Context) -> None:
    """After an operation: report at once what it changed besides packages, and renew what `status` shows.

    The next report does both anyway, except for how the operation ended.
    """
    installed = local_db.read(context.conf.dbpath)
    known = _observed(context, installed)
    said = context.problems
    if known != [*verification.among(said), *after_sync.among(said), *health_record.among(said)]:
        report_now(context)
    renew_status(context)


def renew_status(context: Context) -> None:
    """After an operation: keep what the server says about the machine now, if it answers. The next report does, too."""
    with contextlib.suppress(ApiError, AgentError, OSError):
        answer = context.client.request("GET", "/me", patience=RENEWING)
        _keep_status(context, answer, answer.get("state"))


def _keep_status(context: Context, answer: dict[str, Any], digest: object) -> None:
    known = context.credentials
    status_file.keep(context.state_dir, answer, name=known.name, server=known.server, state=digest)


def report_now(context: Context) -> None:
    """Report now, if possible. The next report does it anyway."""
    with contextlib.suppress(AgentError, OSError):
        check_in(context)


def another_pacman(context: Context) -> bool:
    """Whether another pacman is at work. False in a hook of that pacman: its packages are in place by then."""
    dbpath = context.conf.dbpath
    return database_lock.holder(dbpath) is not None and not database_lock.held_by_ancestor(dbpath)


def in_hook(context: Context) -> bool:
    """Whether this process runs in a hook of the pacman that holds the lock: then report, but carry nothing out."""
    return database_lock.held_by_ancestor(context.conf.dbpath)
