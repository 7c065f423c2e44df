"""What happens to the server and its machines while the agents run. Each scenario begins after a third of the time."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.simulate.agents import Agent, Simulation
from tests.support.postgres import Postgres
from tests.support.server import Server


@dataclass(frozen=True)
class World:
    """What a scenario may touch. `seconds` are those of the run that are left, by the real clock."""

    simulation: Simulation
    agents: list[Agent]
    servers: list[Server]
    database: Postgres | None
    operator: str
    seconds: float


async def steady(world: World) -> None:
    """Nothing happens."""


async def target(world: World) -> None:
    """The first machine upgrades a package, and an operator makes its packages the target of all."""
    first = world.agents[0]
    first.about["state"] = next(one for one in world.simulation.states if one != first.about["state"])
    await first.check_in()
    body = {"endpoint": first.about["name"], "force": True}
    status, answer, _ = await world.simulation.ask(world.operator, "POST", "/pools/fleet/targets", body)
    assert status in (200, 201), answer


async def power_cut(world: World) -> None:
    """All machines are off for a quarter of the time that is left, and start at once."""
    world.simulation.running.clear()
    await asyncio.sleep(world.seconds / 4)
    world.simulation.running.set()
    async with asyncio.TaskGroup() as herd:
        for agent in world.agents:
            herd.create_task(agent.check_in())


async def rolling_update(world: World) -> None:
    """Each instance loads its code again, and replaces its workers one after the other."""
    for server in world.servers:
        server.signal(signal.SIGHUP)


async def slow_database(world: World) -> None:
    """PostgreSQL stands still for a fifth of a second in each half second, for half of the time that is left."""
    assert world.database is not None, "only with PostgreSQL"
    loop, database = asyncio.get_running_loop(), world.database
    end = loop.time() + world.seconds / 2
    with contextlib.ExitStack() as stack:
        stack.callback(database.thaw)
        while loop.time() < end:
            database.freeze()
            await asyncio.sleep(0.2)
            database.thaw()
            await asyncio.sleep(0.3)


async def broken(world: World) -> None:
    """One machine in a hundred sends nonsense and fails in its operations."""
    for agent in world.agents[:: max(1, len(world.agents) // max(1, len(world.agents) // 100))]:
        agent.broken = True


Scenario = Callable[[World], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {
    "steady": steady,
    "target": target,
    "power-cut": power_cut,
    "rolling-update": rolling_update,
    "slow-database": slow_database,
    "broken": broken,
}
