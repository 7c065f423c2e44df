"""Two server instances on one PostgreSQL, 20 clients racing for the same thing: one wins, each time."""

import gzip
import http.client
import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from apps.fleet.alpm.canonical import digest_of
from tests.api.support import repository_text, state_text
from tests.support.migrated import running_postgres
from tests.support.postgres import Postgres
from tests.support.server import Server, manage, running_server

CLIENTS = 20
ROUNDS = 3


@pytest.fixture(scope="module")
def instances() -> Iterator[tuple[Server, Server, Postgres]]:
    with running_postgres() as postgres:
        url = postgres.create_database("race")
        budget = {"DB_POOL_MAX_SIZE": 12, "WEB_THREADS": 16}
        with running_server(url, **budget) as one, running_server(url, **budget) as two:
            one.token = manage(url, "create_api_token", "ann", "--role", "operator").stdout.strip()  # type: ignore[attr-defined]
            yield one, two, postgres


@dataclass
class Caller:
    """Speaks JSON with one instance, with one token."""

    server: Server
    token: str

    def call(self, method: str, path: str, body: Any = None, data: bytes | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if data is not None:
            headers["Content-Encoding"] = "gzip"
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.request(method, f"/api/v1{path}", data if data is not None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def ok(self, method: str, path: str, body: Any = None, data: bytes | None = None) -> Any:
        status, answer = self.call(method, path, body, data)
        assert status < 300, answer
        return answer


def report(caller: Caller, seq: int, *packages: str) -> str:
    """Check in with these packages; the digest of the state."""
    state, content = state_text(*packages), repository_text(*packages)
    repositories = [{"name": "core", "digest": digest_of(content), "mirrors": ["https://mirror.example/core"]}]
    body = {"seq": seq, "state": digest_of(state), "repositories": repositories}
    for kind, text in (("states", state), ("repositories", content)):
        caller.ok("PUT", f"/{kind}/{digest_of(text)}", data=gzip.compress(text))
    assert caller.ok("POST", "/checkin", body)["recorded"]
    return digest_of(state)


def race(servers: tuple[Server, ...], act: Callable[[Server, int], tuple[int, Any]]) -> list[tuple[int, Any]]:
    """20 clients at once, half of them on each instance; their answers."""
    barrier = threading.Barrier(CLIENTS)
    answers: list[tuple[int, Any]] = []

    def run(number: int) -> None:
        barrier.wait()
        answers.append(act(servers[number % len(servers)], number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)
    assert len(answers) == CLIENTS
    return answers


def outcomes(answers: list[tuple[int, Any]]) -> Counter[tuple[int, str]]:
    return Counter((status, body.get("code", body.get("status", ""))) for status, body in answers)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_race_create_claim_finish_one_wins_each_time(instances: tuple[Server, Server, Postgres], round_: int) -> None:
    *servers, postgres = instances
    pair = (servers[0], servers[1])
    operator = Caller(pair[0], pair[0].token)  # type: ignore[attr-defined]
    pool, name = f"lab{round_}", f"m{round_}"

    made = race(pair, lambda server, _: Caller(server, operator.token).call("POST", "/pools", {"name": pool}))
    assert outcomes(made) == {(201, ""): 1, (409, "name_taken"): CLIENTS - 1}

    code = operator.ok("POST", "/enrolment-codes", {"pool": pool})["code"]
    enrolling = {"code": code, "name": name, "arch": "x86_64"}
    enrolled = race(pair, lambda server, _: Caller(server, "").call("POST", "/enroll", enrolling))
    losers = Counter(body["code"] for status, body in enrolled if status != 201)
    assert losers.total() == CLIENTS - 1 and losers.keys() <= {"enrolment_code_invalid", "name_taken"}
    token = next(body["token"] for status, body in enrolled if status == 201)

    machine = Caller(pair[1], token)
    goal = report(machine, 1, "linux 2-1")
    setting = {"endpoint": name, "expected_number": 0}
    targets = race(
        pair, lambda server, _: Caller(server, operator.token).call("POST", f"/pools/{pool}/targets", setting)
    )
    assert outcomes(targets) == {(201, ""): 1, (409, "target_changed"): CLIENTS - 1}
    base = report(machine, 2, "linux 1-1")

    created = race(pair, lambda server, _: Caller(server, token).call("POST", "/operations", {"kind": "sync"}))
    assert outcomes(created) == {(201, "queued"): 1, (409, "operation_active"): CLIENTS - 1}
    operation = next(body["id"] for status, body in created if status == 201)

    leases = [str(uuid.uuid4()) for _ in range(CLIENTS)]

    def claim(server: Server, number: int) -> tuple[int, Any]:
        body = {"lease_token": leases[number], "state": base}
        status, answer = Caller(server, token).call("POST", f"/operations/{operation}/claim", body)
        return status, answer | {"number": number}

    claimed = race(pair, claim)
    assert Counter(status for status, _ in claimed) == {200: 1, 409: CLIENTS - 1}
    assert {body["code"] for status, body in claimed if status == 409} == {"not_claimable"}
    winner = leases[next(body["number"] for status, body in claimed if status == 200)]

    def finish(server: Server, number: int) -> tuple[int, Any]:
        """Half of them are the winner repeating itself, the others were never let in."""
        lease = winner if number < CLIENTS // 2 else leases[number] if leases[number] != winner else str(uuid.uuid4())
        body = {"lease_token": lease, "outcome": "succeeded", "seq": 3, "state": goal}
        return Caller(server, token).call("POST", f"/operations/{operation}/result", body)

    finished = race(pair, finish)
    assert outcomes(finished) == {(200, "succeeded"): CLIENTS // 2, (409, "lease_lost"): CLIENTS // 2}
    assert len({json.dumps(body, sort_keys=True) for status, body in finished if status == 200}) == 1
    with postgres.connect("race") as connection:
        join = "JOIN fleet_endpoint ON fleet_endpoint.id = endpoint_id WHERE fleet_endpoint.name = %s"
        operations = connection.execute(f"SELECT count(*) FROM fleet_operation {join}", [name]).fetchone()  # noqa: S608
        states = connection.execute(f"SELECT count(*) FROM fleet_endpointstate {join}", [name]).fetchone()  # noqa: S608
    assert (operations, states) == ((1,), (3,))


def test_race_same_idempotency_key_makes_one_operation(instances: tuple[Server, Server, Postgres]) -> None:
    *servers, _ = instances
    pair = (servers[0], servers[1])
    operator = Caller(pair[0], pair[0].token)  # type: ignore[attr-defined]
    operator.ok("POST", "/pools", {"name": "keys"})
    code = operator.ok("POST", "/enrolment-codes", {"pool": "keys"})["code"]
    machine = Caller(pair[0], operator.ok("POST", "/enroll", {"code": code, "name": "k1", "arch": "x86_64"})["token"])
    report(machine, 1, "linux 2-1")
    operator.ok("POST", "/pools/keys/targets", {"endpoint": "k1"})
    report(machine, 2, "linux 1-1")
    body = {"kind": "sync", "endpoint": "k1", "idempotency_key": "once"}
    made = race(pair, lambda server, _: Caller(server, operator.token).call("POST", "/operations", body))
    assert outcomes(made) == {(201, "queued"): 1, (200, "queued"): CLIENTS - 1}
    assert len({answer["id"] for _, answer in made}) == 1
