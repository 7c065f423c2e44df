"""What a pod's kubelet counts and forwards. It must not know what a test expects of the pod."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import DEVNULL, Popen

from tests.cluster.kubectl import Document
from tests.cluster.service import NAMESPACE, Service, named
from tests.support.postgres import free_port

COUNTER = re.compile(r"^prober_probe_total\{(.*)\} (\d+)", re.MULTILINE)


def probes(service: Service, pod: Document, kind: str, result: str) -> int:
    """How many probes of this kind (`Liveness` …) the kubelet has made of this pod, with this result (`failed` …)."""
    said = service.cluster("get", "--raw", f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/metrics/probes")
    wanted = {"namespace": NAMESPACE, "pod": named(pod), "probe_type": kind, "result": result}
    for labels, number in COUNTER.findall(said):
        if wanted.items() <= dict(re.findall(r'(\w+)="([^"]*)"', labels)).items():
            return int(number)
    return 0


@contextmanager
def port_forward(service: Service, command: str) -> Iterator[int]:
    """`kubectl port-forward WHAT 8080` with a local port that is free; yields that port."""
    port = free_port()
    command = command.replace(" 8080", f" {port}:8080")
    with Popen(command.split(), stdout=DEVNULL, stderr=DEVNULL, env=service.cluster.environment) as forwarding:
        try:
            yield port
        finally:
            forwarding.terminate()
