"""`python -m tests.campaign`: random faults under work, and after each round: nothing lost, doubled or stuck.

Two instances behind HAProxy on one PostgreSQL; simulated machines and one with real pacman are synced to and fro. Each
round breaks one thing (or two at once) and then waits until every operation that was acknowledged has ended. It ends
with 1 at the first fault of ours. The seed repeats the order of the faults, not their moments.
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from tests.campaign.client import Client, Endpoint
from tests.campaign.faults import FAULTS
from tests.campaign.world import RealMachine, World, real_machines, running_world, upgrade, wait_for
from tests.support import agent
from tests.support.pacman import Machine

SETTLE = 90.0  # seconds within which all work of a round must have ended
FINAL = {"succeeded", "failed", "cancelled", "lost"}
STATES = (("linux 1-1", "tool 1-1"), ("extra 1-1", "linux 2-1"))


class Operator(threading.Thread):
    """Turns the pools' targets to and fro and queues syncs; `acknowledged` maps an idempotency key to its operation."""

    def __init__(self, client: Client, pools: dict[str, list[str]]) -> None:
        super().__init__(daemon=True, name="operator")
        self.client, self.pools, self.rounds = client, pools, 0
        self.resting, self.rests, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.acknowledged: dict[str, str] = {}
        self.refused: Counter[str] = Counter()
        self.failure: str | None = None

    def run(self) -> None:
        try:
            while not self.ended.wait(0.3):
                if self.resting.is_set():
                    self.rests.set()
                    continue
                self.rests.clear()
                self._turn()
        except Exception as error:
            self.failure = repr(error)

    def _turn(self) -> None:
        self.rounds += 1
        for pool, names in self.pools.items():
            status, answer = self.client.call("POST", f"/pools/{pool}/go-back", {"number": 1 + self.rounds % 2})
            assert status == 201, answer
            for name in names:
                key = f"{name}-{self.rounds}"
                body = {"kind": "sync", "endpoint": name, "idempotency_key": key}
                status, answer = self.client.call("POST", "/operations", body)
                if status in (200, 201):
                    self.acknowledged[key] = answer["id"]
                else:
                    self.refused[answer["code"]] += 1


def prepare(world: World, folder: Path) -> tuple[Operator, list[Endpoint], RealMachine]:
    """Pools with two target revisions each, and the machines in them."""
    token, port = world.token(), world.proxy.port
    client = Client(port, token)
    for pool in ("simulated", "real"):
        assert client.call("POST", "/pools", {"name": pool})[0] == 201
    code, names, machines = world.code("simulated"), [f"s{number}" for number in range(4)], []
    for name in names:
        enrolled = Client(port, "").call("POST", "/enroll", {"code": code, "name": name, "arch": "x86_64"})[1]
        machines.append(Endpoint(Client(port, enrolled["token"]), name, STATES[0]))
        machines[-1].report()
    source = Endpoint(machines[0].client, "s0", STATES[1])
    assert client.call("POST", "/pools/simulated/targets", {"endpoint": "s0"})[0] == 201
    source._seq = machines[0]._seq
    source.report()
    assert client.call("POST", "/pools/simulated/targets", {"endpoint": "s0"})[0] == 201
    machines[0]._text, machines[0]._seq = source._text, source._seq
    real = _prepare_real(world, folder)
    return Operator(client, {"simulated": names, "real": ["m1"]}), machines, RealMachine(real)


def _prepare_real(world: World, folder: Path) -> Machine:
    one, two = real_machines(folder)
    code, url = world.code("real"), f"http://127.0.0.1:{world.proxy.port}"
    for machine in (one, two):
        agent.run(machine, "enroll", "--server", url, "--code", code, "--name", machine.name).ok()
    agent.run(two, "set-latest").ok()
    upgrade(two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "once").ok()
    return one


class Campaign:
    """The rounds, and what is found wrong after each."""

    def __init__(self, world: World, folder: Path, dice: random.Random) -> None:
        self.world, self.dice = world, dice
        self.operator, self.machines, self.real = prepare(world, folder)
        self.statuses: Counter[str] = Counter()
        self.slowest = 0.0
        self.ended: dict[str, tuple[str, str]] = {}  # which retention may remove later

    def start(self) -> None:
        for thread in (self.operator, self.real, *self.machines):
            thread.start()

    def round(self, names: list[str]) -> list[str]:
        """Break these things at once, let the work settle; what is wrong then."""
        self.operator.resting.clear()
        time.sleep(self.dice.uniform(0.2, 1.5))
        dice = [random.Random(self.dice.random()) for _ in names]
        faults = [
            threading.Thread(target=FAULTS[name], args=(self.world, self.real, die))
            for name, die in zip(names, dice, strict=True)
        ]
        for fault in faults:
            fault.start()
        for fault in faults:
            fault.join()
        began = time.monotonic()
        self.operator.resting.set()
        settled = wait_for(self._settled, SETTLE)
        self.slowest = max(self.slowest, time.monotonic() - began)
        return self.wrong(settled)

    def _settled(self) -> bool:
        if self.operator.failure or any(machine.failure for machine in self.machines):
            return True
        return self.operator.rests.is_set() and not self._unfinished()

    def _operations(self) -> dict[str, tuple[str, str]]:
        """(status, key) of every operation by its id, as the database has it."""
        with self.world.postgres.connect("campaign") as connection:
            rows = connection.execute("SELECT id::text, status, idempotency_key FROM fleet_operation").fetchall()
        return {str(row[0]): (str(row[1]), str(row[2])) for row in rows}

    def _unfinished(self) -> list[str]:
        return [one for one, (status, _) in self._operations().items() if status not in FINAL]

    def wrong(self, settled: bool) -> list[str]:
        """Every way in which the last round was not as it should be."""
        found = self.ended | self._operations()
        self.ended = {one: known for one, known in found.items() if known[0] in FINAL}
        self.statuses = Counter(status for status, _ in found.values())
        keys = Counter(key for _, key in found.values())
        acknowledged = self.operator.acknowledged
        wrong = [] if settled else [f"stuck: {[(one, found[one][0]) for one in self._unfinished()]}"]
        wrong += [f"{who.name}: {who.failure}" for who in (self.operator, *self.machines) if who.failure]
        wrong += [f"lost: {key}" for key, one in acknowledged.items() if one not in found]
        wrong += [f"doubled: {key}" for key, count in keys.items() if count > 1]
        for machine in self.machines:
            wrong += [f"run twice: {one} by {machine.name}" for one, times in machine.did.items() if times > 1]
            said = machine.acknowledged.items()
            wrong += [f"told {status}, is {found[one][0]}: {one}" for one, status in said if found[one][0] != status]
        wrong += [f"traceback: {text}" for text in (*self.world.tracebacks(), *self.real.tracebacks)]
        return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=sorted(FAULTS), default=sorted(FAULTS), metavar="FAULT")
    parser.add_argument("--keep-going", action="store_true", help="go on after a round that is wrong")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="pacsync-campaign-"))
    bad = 0
    try:
        with running_world(folder) as world:
            campaign = Campaign(world, folder / "fleet", dice)
            campaign.start()
            for number in range(1, options.rounds + 1):
                names = dice.sample(options.only, k=min(len(options.only), dice.choice((1, 1, 2))))
                wrong = campaign.round(names)
                line = f"{number}: {' and '.join(names)}: {dict(campaign.statuses)}"
                print(line, *wrong[:10], sep="\n    ", flush=True)
                bad += bool(wrong)
                if wrong and not options.keep_going:
                    break
            done = sum(sum(machine.did.values()) for machine in campaign.machines)
            asked = (
                sum(machine.client.unanswered for machine in campaign.machines) + campaign.operator.client.unanswered
            )
            print(
                f"{number} rounds, {bad} wrong; {done} operations carried out by simulated machines, real agent started"
            )
            print(f"{campaign.real.runs} times; calls repeated {asked}; slowest to settle {campaign.slowest:.1f} s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
