"""Two instances answer with the status that an endpoint has, after thousands of random changes that both took part in.

Nobody changes anything while they are asked. What is expected is computed from the packages themselves, which another
process reads.
"""

import fnmatch
import itertools
import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.simulate import fleet
from tests.support.api import Reply, call
from tests.support.server import ROOT, Server, environment, manage, running_server
from tests.support.wait import until

ENDPOINTS, STATES, THREADS, ROUNDS, CHANGES = 120, 90, 4, 20, 125  # CHANGES of each thread in each round
POOLS = ("fleet", "one", "two")
STATUSES = ("offline", "unknown", "in_sync", "behind", "ahead", "diverged")
PATTERNS = ([], ["package0001", "package000[2-9]"], ["package01*"], ["package0007", "package02*"])
# Prints {"packages": {digest: {name: version}}, "endpoints": [[name, digest, holds, foreign, pool]],
# "goals": {pool: [digest, excluded, unmanaged]}}.
READ = """
import django, json
django.setup()
from apps.fleet import revisions, states
from apps.fleet.models import Endpoint, Pool, State
pools = Pool.objects.filter(target__isnull=False).select_related("target")
print(json.dumps({
    "packages": {one.pk: {had.name: had.version for had in states.load(one)} for one in State.objects.all()},
    "endpoints": list(Endpoint.objects.values_list("name", "state_id", "holds", "foreign", "pool__name")),
    "goals": {
        pool.name: [pool.target.state_id, pool.excluded_packages, sorted(revisions.unmanaged_names(pool.target))]
        for pool in pools
    },
}))
"""


def statuses_from_packages(url: str) -> dict[str, str]:
    """The status of each endpoint, by the table in docs/fleet.md. Every version here is `1.N-1`."""
    command = [sys.executable, "-c", READ]
    variables = environment(url, DJANGO_SETTINGS_MODULE="pacsync.settings")
    read = json.loads(subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, check=True).stdout)
    found = {}
    for name, digest, holds, foreign, pool in read["endpoints"]:
        if pool not in read["goals"] or digest is None:
            found[name] = "unknown"
            continue
        target, excluded, unmanaged = read["goals"][pool]
        assert not foreign  # the repository offers all packages
        kept = [*holds, *excluded, *unmanaged]
        found[name] = _status(read["packages"][digest], read["packages"][target], kept)
    return found


def _status(installed: Mapping[str, str], target: Mapping[str, str], kept: list[str]) -> str:
    kinds = set()
    for name in installed.keys() | target.keys():
        here, there = (int(one[name][2:-2]) if name in one else None for one in (installed, target))
        if here != there and not any(fnmatch.fnmatchcase(name, pattern) for pattern in kept):
            assert here is not None and there is not None
            kinds.add("behind" if here < there else "ahead")
    return "diverged" if len(kinds) > 1 else next(iter(kinds), "in_sync")


class Changes:
    """What agents and operators do at random. Each thread has agents of its own."""

    def __init__(self, servers: list[Server], operator: str, made: dict[str, list[dict[str, str]]]) -> None:
        self.servers, self.operator, self.made = servers, operator, made
        self.seq = itertools.count(2)
        self.answers: Counter[str] = Counter()

    def run(self, seed: int, number: int) -> None:
        chance = random.Random(seed)
        agents = self.made["agents"][number::THREADS]
        for _ in range(CHANGES):
            reply = self._one(chance, chance.choice(agents))
            self.answers[f"{reply.status} {reply.code}".strip()] += 1

    def _one(self, chance: random.Random, agent: dict[str, str]) -> Reply:
        port, kind = chance.choice(self.servers).port, chance.random()
        if kind < 0.7:
            agent["state"] = str(chance.choice(self.made["states"]))
            body = fleet.report(agent, self.made["repositories"], next(self.seq))
            holds = chance.choice(PATTERNS) if chance.random() < 0.3 else []
            return call(port, agent["token"], "POST", "/checkin", body | {"holds": holds})
        pool = chance.choice(POOLS)
        if kind < 0.8:
            return call(port, self.operator, "PATCH", f"/pools/{pool}", {"excluded_packages": chance.choice(PATTERNS)})
        if kind < 0.9:
            body = {"endpoint": agent["name"], "force": True}
            return call(port, self.operator, "POST", f"/pools/{pool}/targets", body)
        chosen = chance.choice([*POOLS, None])
        return call(port, self.operator, "PUT", f"/endpoints/{agent['name']}/pool", {"pool": chosen})


def answers(server: Server, operator: str) -> bool:
    return call(server.port, operator, "GET", "/fleet").status == 200


def listed(server: Server, operator: str, status: str) -> list[str]:
    """The names of the endpoints that the instance lists with this status."""
    reply = call(server.port, operator, "GET", f"/endpoints?limit=200&status={status}")
    assert reply.status == 200 and all(one["status"] == status for one in reply.body["items"]), reply
    return [one["name"] for one in reply.body["items"]]


def agree(servers: list[Server], operator: str, url: str) -> None:
    expected = statuses_from_packages(url)
    for server in servers:
        found = [(name, status) for status in STATUSES for name in listed(server, operator, status)]
        assert sorted(found) == sorted(expected.items())
        counts = call(server.port, operator, "GET", "/fleet").body["counts"]
        assert {one: counts[one] for one in STATUSES} == {one: list(expected.values()).count(one) for one in STATUSES}


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_ten_thousand_random_changes_by_two_instances_statuses_are_those_of_the_packages(
    postgres_url: str, tmp_path: Path
) -> None:
    fleet.make(postgres_url, tmp_path / "fleet", endpoints=ENDPOINTS, states=STATES, inside=False)
    made = json.loads((tmp_path / "fleet").read_text())
    operator = manage(postgres_url, "create_api_token", "test", "--role", "operator").stdout.split()[-1]
    settings = {"WEB_CONCURRENCY": 2, "POLL_SECONDS": 3600}
    with running_server(postgres_url, **settings) as one, running_server(postgres_url, **settings) as two:
        servers = [one, two]
        for server in servers:
            until(partial(answers, server, operator))
        for pool in POOLS[1:]:
            assert call(one.port, operator, "POST", "/pools", {"name": pool}).status == 201
        changes = Changes(servers, operator, made)
        for number, agent in enumerate(made["agents"]):  # nobody is offline
            body = fleet.report(agent, made["repositories"], next(changes.seq))
            assert call(servers[number % 2].port, agent["token"], "POST", "/checkin", body).status == 200
        for number in range(ROUNDS):
            threads = [
                threading.Thread(target=changes.run, args=(number * THREADS + place, place)) for place in range(THREADS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            agree(servers, operator, postgres_url)
    assert sum(changes.answers.values()) == ROUNDS * THREADS * CHANGES
    assert not {answer for answer in changes.answers if answer.startswith(("0", "5"))}, changes.answers
    assert changes.answers["200"] > ROUNDS * THREADS * CHANGES / 2, changes.answers
