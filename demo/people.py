"""The people of the fleet: what operators and the machines' own admins do while somebody looks.

Through the API, with an operator's token. It must not know the database.
"""

import contextlib
import random
from collections.abc import Sequence

from demo.agents import Agent
from demo.api import Api, Refused
from demo.machines import Fare

PAUSE = 45.0
"""Seconds between two things that somebody does."""


class People:
    """`step()` is the next thing that somebody does."""

    def __init__(self, api: Api, token: str, agents: Sequence[Agent]) -> None:
        self._api, self._token, self._agents = api, token, agents
        self._chance = random.Random()  # noqa: S311 - no secret
        self._day = 0
        self._turn = 0

    def step(self) -> float:
        """Do it; in how many seconds the next thing is due."""
        turns = (self._sync_by_hand, self._upgrade_a_machine, self._switch_a_machine, self._revert, self._next_target)
        turn = turns[self._turn % len(turns)]
        self._turn += 1
        # Somebody else was faster, a small fleet has no such machine, or the server is on its way out.
        with contextlib.suppress(Refused, OSError, IndexError):
            turn()
        return PAUSE

    def _some(self, pool: str) -> list[Agent]:
        """Agents of that pool that are there, without the source of its targets, which comes first."""
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
        """Off, or on again."""
        agent = self._chance.choice([one for one in self._agents if one.machine.pool in ("laptops", "workstations")])
        agent.away = not agent.away

    def _revert(self) -> None:
        self._operation("revert", self._chance.choice(self._some("web")).machine.name)

    def _next_target(self) -> None:
        """The canaries' source is upgraded and becomes their target; the one before goes to the workstations."""
        source = next(one for one in self._agents if one.machine.pool == "canary" and one.machine.fare is Fare.FOLLOWED)
        self._api.call(self._token, "POST", "/pools/workstations/promote", {"source": "canary"})
        self._day += 1
        source.upgrade(self._day)
        source.step()
        body = {"endpoint": source.machine.name, "comment": "Arch of today"}
        self._api.call(self._token, "POST", "/pools/canary/targets", body)
