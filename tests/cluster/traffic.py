"""Requests to the Service, or to what is in front of it, from a pod, counted there. It must not know why.

The pod runs the server's image, since no other can be pulled, and the program that counts requests outside of a cluster
too, tests/deploy/load.py: what is lost is the same in both. Half of the threads make a connection for each request.
"""

import dataclasses
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.kubectl import Cluster, Document
from tests.deploy import load
from tests.deploy.load import Lost, Result

NAMESPACE, POD = "pacman-sync", "load"
HOST = "pacman-sync.example.com"  # the Ingress's, in the manifests
RATE = 40  # requests a second: what two pods answer without the autoscaler adding a third
POOL = "load"


@dataclasses.dataclass(frozen=True)
class Door:
    """Where requests go in. `authority` is the certificate that TLS must have been signed with; without one no TLS."""

    host: str = "pacman-sync-utility"
    port: int = 8080
    # As the Ingress sends a request on.
    headers: dict[str, str] = dataclasses.field(default_factory=lambda: {"X-Forwarded-Proto": "https"})
    authority: str = ""


SERVICE = Door()
# Reads and writes. It ends when its standard input does.
PROGRAM = (
    Path(load.__file__).read_text()
    + """
import sys

door, token, rate = json.loads(sys.argv[1]), sys.argv[2], float(sys.argv[3])
headers = {"Host": door["host"], "Authorization": f"Bearer {token}", "Content-Type": "application/json"}
headers |= door["headers"]
tls = ssl.create_default_context(cadata=door["authority"]) if door["authority"] else None

def request(number):
    if number % 4:
        return "GET", "/api/v1/pools", None, headers
    return "PATCH", "/api/v1/pools/load", json.dumps({"description": f"request {number}"}).encode(), headers

with Load(door["port"], request, host=door["host"], rate=rate, limit=1800, new_connections=True, tls=tls) as running:
    print("begun", flush=True)
    sys.stdin.read()
    result = running.stop()
said = {"statuses": result.statuses, "lost": result.lost, "refused": result.refused, "slowest": result.slowest}
print(json.dumps(said))
"""
)


def restricted(name: str, image: str, namespace: str, *command: str) -> Document:
    """A pod of the server's image that a namespace with Pod Security "restricted" admits."""
    contained: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [*command],
        "securityContext": contained,
    }
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1, "enableServiceLinks": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Traffic:
    """The pod that asks. `token` is an operator's. It finds HOST at `front`, a node's address."""

    def __init__(self, cluster: Cluster, token: str, front: str) -> None:
        self.cluster, self.token = cluster, token
        pod = restricted(POD, cluster.image, NAMESPACE, "sleep", "infinity")
        pod["spec"]["hostAliases"] = [{"ip": front, "hostnames": [HOST]}]
        cluster.apply(pod)
        cluster("-n", NAMESPACE, "wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=120s", timeout=150)

    @contextmanager
    def flowing(self, rate: int = RATE, door: Door = SERVICE) -> Iterator[Result]:
        """Requests for the time of the block; the result is filled in at its end."""
        result = Result()
        command = ("nice", "-n", "10", "kubectl", "-n", NAMESPACE, "exec", "-i", POD, "--", "python", "-c", PROGRAM)
        process = subprocess.Popen(
            [*command, json.dumps(dataclasses.asdict(door)), self.token, str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.cluster.environment,
        )
        assert process.stdout is not None
        begun = process.stdout.readline()
        try:
            yield result
        finally:
            out, said = process.communicate(timeout=120)
        assert begun == "begun\n" and process.returncode == 0, f"{begun}{out[-1000:]}{said[-3000:]}"
        counted = json.loads(out)
        result.statuses = Counter({int(status): times for status, times in counted["statuses"].items()})
        result.lost = [Lost(*one) for one in counted["lost"]]
        result.refused, result.slowest = counted["refused"], counted["slowest"]
