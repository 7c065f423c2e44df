"""The bench's check-ins by what they report: nothing new, nothing new since a new target, another state.

One agent after the other over a kept connection, beside a view that looks the token up and writes what changed. How
many a server takes a second is measured in tests/bench/checkins.py.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from tests.bench import fleet_of
from tests.bench.paired import Client, in_turns
from tests.bench.served_fleet import ServedFleet, served
from tests.bench.sized import WHOLE, Extent, SizedRow

AT_ONCE = 100  # check-ins of one round, each of another endpoint


def fleet_checkins(extent: Extent = WHOLE) -> SizedRow:
    """Seconds of one check-in: each round has those of AT_ONCE endpoints, or of all if there are fewer."""
    wanted = "grows with what changed, not with the fleet; the rate is measured by `checkins`"
    row = SizedRow("Check-ins, one after the other, beside plain SQL that writes the same rows", wanted)
    for size in extent.sizes:
        with served(extent, size, pools=1) as fleet:
            checkins = _Checkins(fleet)
            few = max(1, extent.rounds // 3)
            row.add("unchanged", size, checkins.measured(extent.rounds, checkins.same))
            row.add("first after a new target", size, checkins.measured(few, checkins.same, each=checkins.retarget))
            row.add("another known state", size, checkins.measured(few, checkins.another))
    return row


class _Checkins:
    """Reports of a fleet, each with the next number, for PacSync and for the least view in turns."""

    def __init__(self, fleet: ServedFleet) -> None:
        self.fleet, self.seq = fleet, itertools.count(2)
        self.agents: list[dict[str, Any]] = fleet.made["agents"]
        self.next = itertools.cycle(range(len(self.agents)))
        self.targets = itertools.cycle(range(1, len(self.agents)))

    def measured(
        self, rounds: int, state: Callable[[int, int], str], each: Callable[[], object] | None = None
    ) -> tuple[float, float]:
        """The median over the rounds of the seconds of one check-in. Both get the same endpoints in each round."""
        at_once = min(AT_ONCE, len(self.agents))
        chosen: list[int] = []

        def choose() -> None:
            if each:
                each()
            chosen[:] = itertools.islice(self.next, at_once)

        def send(client: Client) -> None:
            for number in chosen:
                seq, agent = next(self.seq), self.agents[number]
                body = fleet_of.report(agent, self.fleet.made["repository"], seq, state(number, seq))
                agent["state"] = state(number, seq)
                client.ask("POST", "/api/v1/checkin", body, Authorization=f"Bearer {agent['token']}")

        with _client(self.fleet.server.port) as ours, _client(self.fleet.peer.port) as least:
            choose()
            if each is None:  # the first of all reports fills what is remembered
                send(ours)
                send(least)
            times = in_turns(lambda: send(ours), lambda: send(least), rounds, each=choose)
        return times[0] / at_once, times[1] / at_once

    def same(self, number: int, seq: int) -> str:
        return str(self.agents[number]["state"])

    def another(self, number: int, seq: int) -> str:
        """Some other state that is known: of the endpoint beside it."""
        states = self.fleet.made["states"]
        return str(states[(number * 7 + seq) % len(states)])

    def retarget(self) -> None:
        """Make the packages of another endpoint the target of all."""
        source = self.agents[next(self.targets)]["name"]
        self.fleet.call("POST", "/pools/pool00/targets", {"endpoint": source, "force": True})


@contextlib.contextmanager
def _client(port: int) -> Iterator[Client]:
    with contextlib.closing(Client(port, {"Content-Type": "application/json"})) as client:
        yield client
