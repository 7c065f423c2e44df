"""The server's answers and the agent's results: as text for people, and as exit statuses.

It must not ask the server anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ..errors import AgentError, Exit
from ..examination import after_sync
from ..examination.source_examination import UNUSABLE
from ..examination.verification import CODES, DIFFER
from ..operation.ending import EndedOperation
from ..operation.health_gate import CODES as UNHEALTHY
from ..pacman.running_hook import RunningHook
from ..server import last_failure
from ..terminal.listing import listed
from ..terminal.output import Output

SIGNS = {"install": "+", "remove": "-", "upgrade": "↑", "downgrade": "↓", "replace": "⇄", "reason": "~"}
# Why a target, or this machine, leaves a package alone.
WHY = {
    "held": "held",
    "foreign": "foreign",
    "dropped": "dropped from the repositories",
    "excluded": "excluded",
}
STATUS = {
    "in_sync": "in sync",
    "behind": "behind the target",
    "ahead": "ahead of the target",
    "diverged": "diverged from the target",
    "offline": "offline",
    "unknown": "not comparable with a target",
}


# What is said beside the status, by the code of a problem.
BESIDE = {
    DIFFER: "files differ",
    after_sync.REBOOT: "reboot needed",
    after_sync.SERVICES: "services to restart",
    after_sync.FAILED: "units failed",
}
EXPLAINED = {"diverged", "unknown"}  # the server says why, in a sentence; an older one doesn't


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def counts(values: dict[str, int]) -> str:
    """`3 upgrades, 1 removal`, or `no changes`."""
    words = {
        "install": "installation",
        "upgrade": "upgrade",
        "downgrade": "downgrade",
        "replace": "replacement",
        "remove": "removal",
        "reason": "install reason",
    }
    parts = [plural(values[key], word) for key, word in words.items() if values.get(key)]
    return ", ".join(parts) or "no changes"


def exit_of(ended: EndedOperation) -> int:
    """The exit status. The server says whether the operation succeeded; where it never heard of it, the agent does."""
    status = ended.operation.get("status") or ended.outcome.outcome
    if status == "succeeded" and ended.outcome.code not in {
        DIFFER,
        *UNHEALTHY,
    }:  # an older server goes by the packages alone
        return Exit.OK
    return ended.outcome.exit or Exit.FAILED


def ended(output: Output, command: str, ended: EndedOperation, *, last: bool = True) -> int:
    """Say how an operation ended; the exit status."""
    code = exit_of(ended)
    output.finish_line()
    for warning in ended.outcome.warnings:
        output.warn(warning)
    data = {"command": command, "operation": ended.operation, "warnings": list(ended.outcome.warnings)}
    if code == Exit.OK:
        goal = _goal(ended)
        noted = ", with warnings" if ended.outcome.warnings else ""
        done = "" if ended.kind == "repair" else f" ({counts(ended.operation.get('plan') or {})})"
        text = f"{goal}{noted}{done}{_left_behind(ended.operation)}."
        (output.result if last else output.line)(text, status="succeeded", **data)
        return code
    result = ended.operation.get("result") or {}
    message = ended.outcome.message or str(result.get("message") or _not_there(result))
    hint = ended.outcome.hint or ("" if ended.outcome.message else "Run `pacsync-agent sync` again.")
    error = AgentError(ended.outcome.code or str(result.get("code") or "failed"), message, hint)
    message, hint = output.hints.for_machine(error.message), output.hints.for_machine(error.hint)
    if output.as_json and last:
        output.result("", status="failed", code=error.code, message=message, hint=hint, **data)
    else:
        output.error(error)
        output_next_try(output, ended.operation)
    return code


def _not_there(result: Mapping[str, Any]) -> str:
    """How the machine differs from the target according to the server, although the agent found nothing wrong."""
    difference = result.get("difference") or {}
    texts = [_still(change) for change in difference.get("changes") or ()]
    if not texts:
        return "The machine is not in the target state."
    more = max(0, sum((difference.get("counts") or {}).values()) - len(texts))
    named = listed([*texts, *[""] * more])
    return f"The machine is not in the target state: {named}. Somebody ran pacman at the end of the operation."


def _still(change: Mapping[str, Any]) -> str:
    here, target = _side(change, "from"), _side(change, "to")
    if not here or not target:
        return f"{change['name']} still installed" if here else f"no {change['name']}"
    return f"{change['name']} {'as ' * (change['change'] == 'reason')}{here} instead of {target}"


def output_next_try(output: Output, operation: Mapping[str, Any]) -> None:
    """Print when the server has it tried again, if it does."""
    text = next_try(operation)
    if text:
        output.line(f"{text[0].upper()}{text[1:]}.")


def next_try(operation: Mapping[str, Any]) -> str:
    """`the next try is at TIME`, or nothing."""
    at = operation.get("retry_at")
    return f"the next try is at {last_failure.moment(at)}" if isinstance(at, str) else ""


def _goal(ended: EndedOperation) -> str:
    operation = ended.operation
    if ended.kind == "repair":
        return "Repaired: the files are as their packages have them"
    if ended.kind == "revert":
        return "Reverted: the machine is where it was before the sync"
    if ended.kind != "sync":
        raise ValueError(f"no sentence for an operation of the kind {ended.kind}")
    if operation.get("pool"):
        return f"In sync with pool {operation['pool']}, revision {operation.get('revision')}"
    return "In sync"


def _left_behind(operation: Mapping[str, Any]) -> str:
    """A clause that says that the target is another revision by now; empty if the server doesn't say so."""
    target = operation.get("pool_target")
    if not isinstance(target, int) or target == operation.get("revision"):
        return ""
    return f"; the target is revision {target} now"


def checked_in(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: answer.get(key) for key in ("status", "pool", "target", "operation", "recorded")}


def one_line(name: str, answer: dict[str, Any]) -> str:
    """`m1: behind the target of pool web (revision 3)`."""
    status = STATUS.get(str(answer.get("status")), str(answer.get("status")))
    more = "".join(f", {words}" for code, words in BESIDE.items() if code in _codes(answer))
    return f"{name}: {status}{more}{_place(answer)}"


def files_differ(answer: Mapping[str, Any]) -> bool:
    """Whether files of packages are known to differ, by the answer's `problems`."""
    return DIFFER in _codes(answer)


def has_left_to_do(answer: Mapping[str, Any]) -> bool:
    """Whether a sync has left something to do, by the answer's `problems`."""
    return bool(_codes(answer) & set(after_sync.CODES))


def _codes(answer: Mapping[str, Any]) -> set[object]:
    return {problem.get("code") for problem in answer.get("problems") or ()}


def _place(answer: dict[str, Any]) -> str:
    target = answer.get("target")
    number: Optional[object] = target.get("number") if isinstance(target, dict) else target
    pool = f"pool {answer['pool']}" if answer.get("pool") else "no pool"
    return (
        f" ({pool}, revision {number})" if number else f" ({pool}, no target)" if answer.get("pool") else f" ({pool})"
    )


def stale_status(known: dict[str, Any], why: str) -> str:
    """What the server last said, how long ago, and why nothing newer is known."""
    first, stale = one_line(str(known.get("name")), known), f"  as of {ago(known['age'])} ago: {why}"
    return "\n".join([first, stale, *last_failure.lines(known), *signing(known.get("signing"))])


def signing(known: object) -> list[str]:
    """Lines on the keys that this machine trusts; none where it trusts none."""
    if not isinstance(known, dict):
        return []
    if known.get("problem"):
        return [f"  follows only signed revisions; which keys it trusts isn't known here: {known['message']}"]
    accepted = "none accepted yet" if known["accepted"] is None else f"the last accepted one is {known['accepted']}"
    return [f"  follows only signed revisions; {accepted}", *(f"  trusts key {key}" for key in known["keys"])]


def status(known: dict[str, Any]) -> str:
    lines = [one_line(str(known.get("name")), known)]
    if known.get("why") and known.get("status") in EXPLAINED:
        lines.append(f"  {known['why']}")
    if known.get("difference") and known.get("target") and known.get("status") != "unknown":
        lines.append(f"  a sync would make {counts(known['difference'])}")
    lines += refused(known.get("refused")) + waiting(known.get("target"))
    operation = known.get("operation")
    if operation:
        again = f", {next_try(operation)}" if next_try(operation) else ""
        lines.append(f"  {operation['kind']} {operation['status']} ({counts(operation['plan'])}){again}")
    lines += last_failure.lines(known)
    if known.get("pacman"):
        hook = known["pacman"]["hook"]
        lines.append("  pacman is at work" + (f", in its hook {RunningHook(**hook)}" if hook else ""))
    kept = {"held": known.get("holds"), "foreign": known.get("foreign")}
    lines += left_alone(kept)
    lines += [f"{line} (not managed by the target)" for line in left_out(known.get("unmanaged"))]
    for problem in known.get("problems") or ():
        of_source = problem["code"] not in {*CODES, *after_sync.CODES, UNUSABLE}
        lines.append(f"  {'as a source of a target: ' if of_source else ''}{problem['text']}")
    lines += signing(known.get("signing"))
    return "\n".join([*lines, f"  server: {known['server']}"])


def ago(seconds: int) -> str:
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return plural(seconds // size, word)
    return plural(seconds, "second")


def diff(answer: dict[str, Any], problems: Sequence[Mapping[str, Any]] = ()) -> str:
    """One aligned line for each change, sorted by name; then what stays as it is, and known file differences."""
    lines = [counts(answer["counts"]) if not answer["equal"] else "In sync: a sync would change nothing."]
    lines += [f"  {problem['text']}" for problem in problems if problem["code"] in CODES]
    changes = sorted(answer["changes"], key=lambda change: str(change["name"]))
    width = max((len(change["name"]) for change in changes), default=0)
    old = max((len(_side(change, "from")) for change in changes), default=0)
    for change in changes:
        before, after = _side(change, "from"), _side(change, "to")
        arrow = "→" if before and after else " "
        text = f"  {SIGNS[change['change']]} {change['name']:<{width}}  {before:<{old}} {arrow} {after}"
        lines.append(text.rstrip())
    lines += refused(answer.get("refused"))
    kept = {why: names for why, names in answer["kept"].items() if why != "unmanaged"}
    lines += left_alone(kept)
    return "\n".join([*lines, *(f"{line} (not managed by the target)" for line in left_out(answer.get("unmanaged")))])


def refused(removals: object) -> list[str]:
    """A line where this machine would refuse a sync, with at most ten names."""
    if not isinstance(removals, list) or not removals:
        return []
    words = [f"{one['name']} ({one['why']})" for one in removals]
    return [f"  refused here: it would remove {listed(words)}"]


def waiting(revision: object) -> list[str]:
    """A line where a target revision is not approved yet."""
    if not isinstance(revision, dict) or revision.get("approved") is not False:
        return []
    return [f"  Automatic sync waits until an operator approves revision {revision['number']}."]


def left_alone(names: Mapping[str, Optional[Sequence[str]]]) -> list[str]:
    """A line for each reason why packages are left as they are, with at most ten names."""
    return [f"  {WHY[why]}: {listed(names[why] or ())}" for why in WHY if names.get(why)]


def left_out(unmanaged: object) -> list[str]:
    """The same for the packages that a new target leaves out ([{"name", "why"}])."""
    return left_alone(_by_reason(unmanaged))


def _by_reason(unmanaged: object) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in unmanaged if isinstance(unmanaged, list) else ():
        found.setdefault(entry["why"] if entry["why"] in WHY else "foreign", []).append(str(entry["name"]))
    return found


def _side(change: Mapping[str, Any], side: str) -> str:
    package = change[side]
    if not package:
        return ""
    if change["change"] == "reason":
        return str(package["reason"])
    return f"{package['version']} ({package['arch']})" if change["change"] == "replace" else str(package["version"])
