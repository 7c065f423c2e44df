"""The scaled stack that several test modules share: its instances, endpoints and traffic, and HAProxy's view of it."""

import hashlib
import json
import threading
import time

from tests.deploy.engine import Stack, docker, eventually, fetch
from tests.deploy.load import Request

STATE = b"pacman 7.0.0-1 x86_64 explicit\n"
DIGEST = hashlib.sha256(STATE).hexdigest()
JSON = {"Content-Type": "application/json"}
SERVER = "pacman-sync-server"


class Connections(threading.Thread):
    """Watches how many connections PostgreSQL has of the service, in all and per instance, until `finish()`."""

    def __init__(self, project: Stack) -> None:
        super().__init__(daemon=True)
        self.postgres = project.containers("postgres")[0]
        self.most, self.most_of_one = 0, 0
        self._over = threading.Event()

    def counts(self) -> list[int]:
        """Connections per address: an instance that migrates has two, and doesn't serve yet."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE client_addr IS NOT NULL GROUP BY client_addr"
        shell = f'psql -qAt -U pacsync -d pacsync -c "{query}"'
        return [int(line) for line in docker("exec", self.postgres, "sh", "-c", shell).split()]

    def run(self) -> None:
        while not self._over.wait(0.3):
            found = self.counts()
            self.most = max(self.most, sum(found))
            self.most_of_one = max(self.most_of_one, *found, 0)

    def finish(self) -> None:
        self._over.set()
        self.join(timeout=20)


def enrolled(port: int, code: str, name: str) -> str:
    """Enrol an endpoint with a small state; its token."""
    body = json.dumps({"code": code, "name": name, "arch": "x86_64"}).encode()
    code_, _, answer = fetch(port, "/api/v1/enroll", method="POST", headers=JSON, body=body)
    assert code_ == 201, answer
    token = str(json.loads(answer)["token"])
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/plain"}
    code_, _, answer = fetch(port, f"/api/v1/states/{DIGEST}", method="PUT", headers=headers, body=STATE)
    assert code_ in (200, 201), answer
    return token


class Traffic:
    """What a fleet and its people ask for. The sequence numbers grow, so that reports are recorded."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.base = int(time.time())

    def __call__(self, number: int) -> Request:
        token = self.tokens[number % len(self.tokens)]
        headers = {**JSON, "Authorization": f"Bearer {token}"}
        if number % 4 == 0:
            report = {"seq": self.base + number, "state": DIGEST, "repositories": [], "holds": []}
            return "POST", "/api/v1/checkin", json.dumps(report | {"agent_version": "1"}).encode(), headers
        if number % 4 == 1:
            return "GET", "/health/live", None, {}
        return "GET", "/api/v1/me", None, headers


def servers(project: Stack) -> dict[str, str]:
    """HAProxy's view: the status of each slot that an instance is in."""
    text = fetch(project.ports["STATS_PORT"], "/stats;csv")[2].decode()
    rows = [line.split(",") for line in text.splitlines() if line.startswith("pacman_sync_api,server")]
    return {row[1]: row[17] for row in rows if not row[17].startswith("MAINT")}


def up(project: Stack) -> list[str]:
    return [name for name, state in servers(project).items() if state.startswith("UP")]


def scale(project: Stack, number: int) -> None:
    """`docker-compose up --scale`, and wait until HAProxy has that many instances."""
    project.compose("up", "-d", "--no-build", "--no-recreate", "--scale", f"{SERVER}={number}", SERVER)
    eventually(lambda: len(up(project)) == number, within=90, what=f"{number} instances are up")


def enrolment_code(project: Stack, uses: int) -> str:
    command = ("python", "manage.py", "create_enrolment_code", "--uses", uses)
    return docker("exec", project.containers(SERVER)[0], *command).split()[-1]
