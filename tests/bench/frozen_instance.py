"""`python -m tests.bench.frozen_instance`: how long do others wait for an instance frozen in a transaction?

For each kind of transaction one instance is stopped (SIGSTOP: master and worker) just before its COMMIT, with every
lock that it takes. Another instance then serves the same endpoint, another endpoint and a reader. Seconds until each is
served, with what refusals came before; 60 at most. `--unprotected` runs it without the time limits.
"""

import argparse
import contextlib
import os
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.support.load import get
from tests.support.machines import BASE, GOAL, STATES, LoadMachine, digest_of, enrol
from tests.support.playground import Playground
from tests.support.postgres import running_postgres
from tests.support.server import manage, migrate
from tests.support.wait import until

LIMIT = 60.0  # seconds
UNPROTECTED = {"DB_IDLE_IN_TRANSACTION_TIMEOUT": 0, "DB_LOCK_TIMEOUT": 0}
NAMES = ("check-in", "queue", "claim", "heartbeat", "result", "set target", "retention", "lease expiry")


def kinds(machine: LoadMachine, operator: str) -> dict[str, Callable[[int], None]]:
    """What a frozen instance was doing, by name: called with its port, it is never answered."""
    operation: dict[str, str] = {}

    def prepared(step: str) -> None:
        """Bring the endpoint's operation to the point before `step`, by the other instance."""
        base = machine.report(BASE)
        operation["token"] = str(uuid.uuid4())
        if step == "queue":
            return
        status, made = machine.repeat("POST", "/operations", {"kind": "sync", "idempotency_key": uuid.uuid4().hex})
        assert status in (200, 201), made
        operation["id"], operation["base"] = made["id"], base
        if step != "claim":
            machine.repeat(
                "POST", f"/operations/{made['id']}/claim", {"lease_token": operation["token"], "state": base}
            )

    def ask(port: int, path: str, body: object, token: str = "") -> None:
        LoadMachine(port, "frozen", token or machine.token, threading.Event(), timeout=2).once("POST", path, body)

    def claim(port: int) -> None:
        ask(
            port,
            f"/operations/{operation['id']}/claim",
            {"lease_token": operation["token"], "state": operation["base"]},
        )

    def beat(port: int) -> None:
        ask(port, f"/operations/{operation['id']}/heartbeat", {"lease_token": operation["token"], "phase": "applying"})

    def result(port: int) -> None:
        body = {"lease_token": operation["token"], "outcome": "succeeded", "seq": machine.seq + 1}
        ask(port, f"/operations/{operation['id']}/result", body | {"state": digest_of(STATES[GOAL])})

    def checkin(port: int) -> None:
        ask(port, "/checkin", {"seq": machine.seq + 1, "state": digest_of(STATES[GOAL]), "repositories": []})

    def chore(name: str) -> Callable[[int], None]:
        return lambda port: void(port, f"/chore/{name}")

    def after(step: str, then: Callable[[int], None]) -> Callable[[int], None]:
        def run(port: int) -> None:
            if port:
                then(port)
            else:
                prepared(step)

        return run

    return {
        "check-in": after("queue", checkin),
        "queue": after("queue", lambda port: ask(port, "/operations", {"kind": "sync"})),
        "claim": after("claim", claim),
        "heartbeat": after("heartbeat", beat),
        "result": after("result", result),
        "set target": after(
            "queue", lambda port: ask(port, "/pools/lab/targets", {"endpoint": machine.name}, token=operator)
        ),
        "retention": after("queue", chore("retention")),
        "lease expiry": after("queue", chore("expire_leases")),
    }


def void(port: int, path: str) -> None:
    with contextlib.suppress(OSError):
        get(port, path, timeout=2)


@contextlib.contextmanager
def frozen(url: str, act: Callable[[int], None], **env: object) -> Iterator[None]:
    """An instance that is frozen in what `act` has it do."""
    with tempfile.TemporaryDirectory() as folder:
        order = Path(folder) / "freeze"
        server = Playground(url, Path(folder), PLAYGROUND_FREEZE=order, **env)
        try:
            server.start()
            until(lambda: get(server.port, "/health/ready")[0] == 200, 60)
            order.touch()
            threading.Thread(target=act, args=(server.port,), daemon=True).start()
            children = psutil.Process(server.pid).children()
            until(lambda: any(child.status() == psutil.STATUS_STOPPED for child in children), 20)
            server.signal(signal.SIGSTOP)
            order.unlink()
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGCONT)
            server.kill()
            server.log_path.unlink(missing_ok=True)


class Waiting(threading.Thread):
    """Asks again until it is served; `seconds`, and how many refusals came before."""

    def __init__(self, act: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self.act, self.seconds, self.refused = act, LIMIT, 0
        self.start()

    def run(self) -> None:
        began = time.monotonic()
        while time.monotonic() < began + LIMIT:
            if 0 < self.act() < 500:
                self.seconds = time.monotonic() - began
                return
            self.refused += 1
            time.sleep(0.2)

    def text(self) -> str:
        self.join(LIMIT + 5)
        return f"{self.seconds:5.1f} s ({self.refused} refused)"


def others(one: LoadMachine, other: LoadMachine, operator: str) -> list[Waiting]:
    def report(machine: LoadMachine) -> int:
        body = {"seq": machine.seq + 7, "state": digest_of(STATES[GOAL]), "repositories": []}
        return machine.once("POST", "/checkin", body)[0]

    reader = LoadMachine(one.port, "reader", operator, threading.Event(), timeout=LIMIT)
    one.timeout = other.timeout = LIMIT
    return [
        Waiting(lambda: report(one)),
        Waiting(lambda: report(other)),
        Waiting(lambda: reader.once("GET", "/endpoints")[0]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.frozen_instance", description=__doc__)
    parser.add_argument("--unprotected", action="store_true")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    env = UNPROTECTED if arguments.unprotected else {}
    print("frozen in      same endpoint            another endpoint         a reader", flush=True)
    with running_postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        url = postgres.url()
        migrate(url)
        operator = manage(url, "create_api_token", "ann", "--role", "operator").stdout.strip()
        server = Playground(url, Path(folder), **env)
        try:
            server.start()
            until(lambda: get(server.port, "/health/ready")[0] == 200, 60)
            (_, other, *fleet), _ = enrol(server.port, operator, 2 + len(NAMES))
            other.report(BASE)
            for name, one in zip(NAMES, fleet, strict=True):
                if arguments.only not in ("", name):
                    continue
                act = kinds(one, operator)[name]
                act(0)
                with frozen(url, act, **env):
                    print(f"{name:14}", *(one.text() for one in others(one, other, operator)), sep=" ", flush=True)
                other.seq += 10
        finally:
            server.kill()


if __name__ == "__main__":
    main()
