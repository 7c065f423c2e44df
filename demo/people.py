"""Simulated people: the actions of operators and of the machines' own admins while the demo runs.

They use the API, with an operator's token. It must not know the database.
"""

import contextlib
import random
from collections.abc import Sequence

from demo.agents import Agent
from demo.api import Api, Refused
from demo.machines import Fare

PAUSE = 45.0
"""Seconds between two actions."""


class People:
    """`step()` takes the next action."""

    def __init__(self, api: Api, token: str, agents: Sequence[Agent]) -> None:
        self._api, self._token, self._agents = api, token, agents
        self._chance = random.Random()  # noqa: S311 - no secret
        self._day = 0
        self._turn = 0

    def step(self) -> float:
        """Take the next action; returns the seconds until the one after it."""
        turns = (self._sync_by_hand, self._upgrade_a_machine, self._switch_a_machine, self._revert, self._next_target)
        turn = turns[self._turn % len(turns)]
        self._turn += 1
        # Another action came first, a small fleet has no such machine, or the server is stopping.
        with contextlib.suppress(Refused, OSError, IndexError):
            turn()
        return PAUSE

    def _some(self, pool: str) -> list[Agent]:
        """The agents of that pool that aren't away, without the first, which is the source of its targets."""
        return [one for one in self._agents if one.machine.pool == pool and not one.away][1:]

    def _operation(self, kind: str, endpoint: str) -> None:
        self._api.call(self._token, "POST", "/operations", {"kind": kind, "endpoint": endpoint})

    def _sync_by_hand(self) -> None:
        found = self._api.call(self._token, "GET", "/endpoints?pool=web&status=behind&limit=1")["items"]
        for one in found:
            self._operation("sync", one["name"])

    def _upgrade_a_machine(self) -> None:
        self._chance.choice(self._some("workstations")).upgrade(self._day + 2)

    def _switch_a_machine(self) -> None:
        """Switch a machine off, or on again."""
        agent = self._chance.choice([one for one in self._agents if one.machine.pool in ("laptops", "workstations")])
        agent.away = not agent.away

    def _revert(self) -> None:
        self._operation("revert", self._chance.choice(self._some("web")).machine.name)

    def _next_target(self) -> None:
        """The current target of the canaries goes to the workstations, and their upgraded source gives the next one."""
        source = next(one for one in self._agents if one.machine.pool == "canary" and one.machine.fare is Fare.FOLLOWED)
        self._api.call(self._token, "POST", "/pools/workstations/promote", {"source": "canary"})
        self._day += 1
        source.upgrade(self._day)
        source.step()
        body = {"endpoint": source.machine.name, "comment": "Arch of today"}
        self._api.call(self._token, "POST", "/pools/canary/targets", body)
