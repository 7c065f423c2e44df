"""What the page that asks about many machines says: one text for one machine, one for several. It must not do it."""

from dataclasses import dataclass

from apps.fleet.many import Action
from apps.fleet.models import Pool


@dataclass(frozen=True)
class _Words:
    """`{}` is how many machines, as `2 machines`; `{number}`, `{s}`, `{where}` and `{moved}` are filled in, too.

    `none` is the heading where it can be done with none of them.
    """

    heading: str
    none: str
    one: str
    many: str
    button: str


_STAYS = (
    "downgrades and removals included. What it holds, its foreign packages, what the pool excludes and what the target "
    "doesn't manage stay as they are."
)
_CANCELLING = (
    "An operation is cancelled only before pacman is started for it, so nothing is changed on {}. An agent that has "
    "its operation already stops within a minute. Where pacman is started before you confirm, the operation goes on "
    "and is left out."
)
_WORDS = {
    Action.MOVE: _Words(
        heading="Move {} to {where}?",
        none="No machine to move",
        one="{moved}",
        many="{moved} All of them are moved, or none.",
        button="Move {}",
    ),
    Action.SYNC: _Words(
        heading="Sync {}?",
        none="No machine to sync",
        one=f"The machine is brought to exactly its pool's target at its next check-in, {_STAYS} If it is offline, it "
        "starts when it is back.",
        many=f"Each machine is brought to exactly its pool's target at its next check-in, {_STAYS} A machine that is "
        "offline starts when it is back.",
        button="Sync {}",
    ),
    Action.FORGET: _Words(
        heading="Forget {}?",
        none="No machine to forget",
        one="Its history, operations and token go with it, and there is no way back. The machine keeps its packages "
        "and its agent, whose token is then refused; to come back it has to enrol again.",
        many="Their history, operations and tokens go with them, and there is no way back. The machines keep their "
        "packages and their agents, whose tokens are then refused; to come back they have to enrol again. All of them "
        "are forgotten, or none.",
        button="Forget {}",
    ),
    Action.CANCEL: _Words(
        heading="Cancel the operation{s} of {}?",
        none="No operation to cancel",
        one=_CANCELLING.format("this machine"),
        many=_CANCELLING.format("these machines"),
        button="Cancel {number} operation{s}",
    ),
}
DONE = {
    Action.MOVE: "{} moved to {where}.",
    Action.SYNC: "{number} operation{s} created. Machines start at their next check-in.",
    Action.FORGET: "{} forgotten.",
    Action.CANCEL: "{number} operation{s} cancelled.",
}


def asked(action: Action, number: int, pool: Pool | None) -> dict[str, str]:
    """`heading`, `text`, `button` and `leave` (what the way back is called) for so many machines."""
    found = _WORDS[action]
    words = _filling(number, pool) | {"moved": _moved(pool, number)}
    machines = machines_of(number)
    return {
        "heading": found.heading.format(machines, **words) if number else found.none,
        "text": (found.one if number == 1 else found.many).format(machines, **words),
        "button": found.button.format(machines, **words),
        "leave": ("Leave it" if number == 1 else "Leave them") if action == Action.CANCEL else "Cancel",
    }


def done(action: Action, number: int, pool: Pool | None) -> str:
    """What was done with so many."""
    return DONE[action].format(machines_of(number), **_filling(number, pool))


def machines_of(number: int) -> str:
    return f"{number} machine{'' if number == 1 else 's'}"


def label(reason: str) -> str:
    """A reason why machines are left out, as it stands before their names."""
    return reason.removesuffix(".")


def _filling(number: int, pool: Pool | None) -> dict[str, str]:
    where = f"pool {pool.name}" if pool else "no pool"
    return {"number": str(number), "s": "" if number == 1 else "s", "where": where}


def _moved(pool: Pool | None, number: int) -> str:
    """What being there means."""
    them = "it" if number == 1 else "them"
    if pool is None:
        they = "it is" if number == 1 else "they are"
        return f"From then on {they} in no pool: no target applies to {them}, and nothing is synced."
    automatic = "Its automatic sync is on" if pool.auto_sync else "Its automatic sync is off"
    target = f"its target is #{pool.target.number}" if pool.target else "it has no target yet"
    return (
        f"From then on the target and the policy of pool {pool.name} apply to {them}. {automatic}, and {target}. "
        "Moving by itself changes no package."
    )
