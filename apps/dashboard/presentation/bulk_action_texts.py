"""The texts of bulk actions: one for one machine, one for several. It must not carry the actions out."""

from dataclasses import dataclass

from apps.fleet.bulk_actions import Action
from apps.fleet.models import Pool


@dataclass(frozen=True)
class _Texts:
    """`{}` stands for the machines (`2 machines`), `{number}` for the number alone, `{s}` for a plural's ending.

    `{where}` is the pool of a move and `{moved}` what being there means. `none` is the heading where the action is
    possible for no machine.
    """

    heading: str
    none: str
    one: str
    several: str
    button: str
    done: str


_KEPT = (
    "The sync downgrades and removes packages where the target says so. Held, foreign, excluded and unmanaged packages "
    "stay as they are."
)
_CANCELLING = (
    "Nothing is changed on {}: an operation is cancelled only before pacman is started for it. An agent that already "
    "has its operation stops within a minute. If pacman is started before you confirm, the operation continues and is "
    "left out."
)
_TEXTS = {
    Action.MOVE: _Texts(
        heading="Move {} to {where}?",
        none="No machine to move",
        one="{moved}",
        several="{moved} All of them are moved, or none.",
        button="Move {}",
        done="{} moved to {where}.",
    ),
    Action.SYNC: _Texts(
        heading="Sync {}?",
        none="No machine to sync",
        one=f"The machine is brought to exactly its pool's target at its next check-in. {_KEPT} If it is offline, it "
        "starts when it is back.",
        several=f"Each machine is brought to exactly its pool's target at its next check-in. {_KEPT} A machine that is "
        "offline starts when it is back.",
        button="Sync {}",
        done="{number} operation{s} created. Machines start at their next check-in.",
    ),
    Action.FORGET: _Texts(
        heading="Forget {}?",
        none="No machine to forget",
        one="Its history, operations and token are deleted, and there is no way back. The machine keeps its packages "
        "and its agent, but the server refuses the agent's token. To come back, the machine has to enrol again.",
        several="Their history, operations and tokens are deleted, and there is no way back. The machines keep their "
        "packages and their agents, but the server refuses the agents' tokens. To come back, they have to enrol again. "
        "All of them are forgotten, or none.",
        button="Forget {}",
        done="{} forgotten.",
    ),
    Action.CANCEL: _Texts(
        heading="Cancel the operation{s} of {}?",
        none="No operation to cancel",
        one=_CANCELLING.format("this machine"),
        several=_CANCELLING.format("these machines"),
        button="Cancel {number} operation{s}",
        done="{number} operation{s} cancelled.",
    ),
}


def confirmation_texts(action: Action, number: int, pool: Pool | None) -> dict[str, str]:
    """`heading`, `text` and `button` for this number of machines, and `leave`, the label of the way back."""
    texts = _TEXTS[action]
    values = _values(number, pool) | {"moved": _moved(pool, number)}
    machines = machines_of(number)
    return {
        "heading": texts.heading.format(machines, **values) if number else texts.none,
        "text": (texts.one if number == 1 else texts.several).format(machines, **values),
        "button": texts.button.format(machines, **values),
        "leave": ("Leave it" if number == 1 else "Leave them") if action == Action.CANCEL else "Cancel",
    }


def done(action: Action, number: int, pool: Pool | None) -> str:
    """The message after the action was carried out for this number of machines."""
    return _TEXTS[action].done.format(machines_of(number), **_values(number, pool))


def machines_of(number: int) -> str:
    return f"{number} machine{'' if number == 1 else 's'}"


def _values(number: int, pool: Pool | None) -> dict[str, str]:
    where = f"pool {pool.name}" if pool else "no pool"
    return {"number": str(number), "s": "" if number == 1 else "s", "where": where}


def _moved(pool: Pool | None, number: int) -> str:
    """What being in that pool means."""
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
