"""The scaled stack that several test modules share: its instances, endpoints and traffic, and HAProxy's view of it."""

import csv
import hashlib
import json
import subprocess
import threading
import time

from tests.deploy.engine import Stack, docker, eventually, fetch
from tests.deploy.load import Request

STATE = b"pacman 7.0.0-1 x86_64 explicit\n"
DIGEST = hashlib.sha256(STATE).hexdigest()
JSON = {"Content-Type": "application/json"}
SERVER = "pacman-sync-server"


class Connections:
    """Watches, ten times a second, how many connections PostgreSQL has of the service, in all and per instance."""

    # All that serves, migrates or manages has the service's application name. psql (also the one that asks here),
    # pg_dump and pg_isready are the administrator's, for whom PostgreSQL keeps connections of its own.
    QUERY = """SELECT host(client_addr), count(*) FROM pg_stat_activity
        WHERE application_name = 'pacman-sync-utility' GROUP BY 1 UNION ALL SELECT 'end', 0"""

    def __init__(self, project: Stack) -> None:
        psql = ("psql", "-qAt", "-F", " ", "-U", "pacsync", "-d", "pacsync")
        self._psql = subprocess.Popen(
            ["docker", "exec", "-i", project.containers("postgres")[0], *psql],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.most, self.most_of_one, self.samples = 0, 0, 0
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Connections":
        self._reader.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._reader.join(timeout=20)
        self._psql.communicate(timeout=20)

    def __str__(self) -> str:
        return f"at most {self.most} connections, {self.most_of_one} of one instance, in {self.samples} samples"

    def _read(self) -> None:
        assert self._psql.stdin and self._psql.stdout
        while not self._over.wait(0.1):
            self._psql.stdin.write(" ".join(self.QUERY.split()) + ";\n")
            self._psql.stdin.flush()
            found = []
            for line in iter(self._psql.stdout.readline, "end 0\n"):
                if not line:
                    return
                found.append(int(line.split()[1]))
            self.samples += 1
            self.most = max(self.most, sum(found))
            self.most_of_one = max(self.most_of_one, *found, 0)


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


def servers(project: Stack) -> list[dict[str, str]]:
    """HAProxy's view: its row for each slot that an instance is in."""
    text = fetch(project.ports["STATS_PORT"], "/stats;csv")[2].decode().removeprefix("# ")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["pxname"] == "pacman_sync_api"]
    return [row for row in rows if row["svname"].startswith("server") and not row["status"].startswith("MAINT")]


def up(project: Stack) -> list[str]:
    """The slots to which HAProxy sends requests."""
    return [row["svname"] for row in servers(project) if row["status"].startswith("UP")]


def ready(project: Stack) -> list[str]:
    """Those that a check has found ready: one that DNS has just named is UP for a moment before its first check."""
    return [row["svname"] for row in servers(project) if row["status"] == "UP" and row["check_status"] == "L7OK"]


def scale(project: Stack, number: int) -> None:
    """`docker-compose up --scale`, and wait until HAProxy has that many instances."""
    project.compose("up", "-d", "--no-build", "--no-recreate", "--scale", f"{SERVER}={number}", SERVER)
    eventually(lambda: len(ready(project)) == number == len(up(project)), within=90, what=f"{number} instances are up")


def enrolment_code(project: Stack, uses: int) -> str:
    command = ("python", "manage.py", "create_enrolment_code", "--uses", uses)
    return docker("exec", project.containers(SERVER)[0], *command).split()[-1]
