"""The NetworkPolicy where it is enforced: who may ask the server, and whom the server may ask."""

from collections.abc import Iterator

import pytest

from tests.cluster import database, which
from tests.cluster.kubectl import Cluster
from tests.cluster.kubelet import probes
from tests.cluster.service import NAMESPACE, Service, named
from tests.cluster.traffic import restricted
from tests.deploy.manifests import only, render

pytestmark = pytest.mark.timeout(900)
STRANGER = database.NAMESPACE
ASK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 4).close()
    print("connected")
except socket.gaierror:
    print("unknown name")
except OSError:
    print("refused")
"""
LISTEN = "import socket, time\nkept = [socket.create_server(('', port)) for port in (6432, 8080)]\ntime.sleep(1e6)"
DENY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": STRANGER},
    "spec": {"podSelector": {"matchLabels": {"app": "denied"}}, "policyTypes": ["Ingress"]},
}


def guests() -> list[str]:
    """The namespaces that the policy lets in."""
    (rule,) = only(render("deployment.yaml"), "NetworkPolicy")["spec"]["ingress"]
    (expression,) = [
        expression
        for sender in rule["from"]
        for expression in sender.get("namespaceSelector", {}).get("matchExpressions", [])
    ]
    assert expression["key"] == "kubernetes.io/metadata.name"
    return list(expression["values"])


def asks(cluster: Cluster, namespace: str, pod: str, host: str, port: int) -> str:
    """What comes of a connection from this pod to `host`:`port`."""
    return cluster("-n", namespace, "exec", pod, "--", "python", "-c", ASK, host, port)


def address(cluster: Cluster, namespace: str, pod: str) -> str:
    return str(cluster.get("-n", namespace, "pod", pod)["status"]["podIP"])


@pytest.fixture
def policed(service: Service) -> Iterator[Service]:
    """A cluster that enforces policies, with a pod `asker` in each namespace, and listeners in the stranger's."""
    cluster, spaces = service.cluster, guests()
    made = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in spaces]
    askers = [restricted("asker", cluster.image, name, "sleep", "infinity") for name in (NAMESPACE, STRANGER, *spaces)]
    listeners = [restricted(name, cluster.image, STRANGER, "python", "-c", LISTEN) for name in ("listener", "denied")]
    try:
        cluster.apply(*made, *askers, *listeners, DENY)
        for pod in (*askers, *listeners):
            where, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            cluster("-n", where, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s", timeout=150)
        with which.policies_enforced():
            denied = address(cluster, STRANGER, "denied")
            try:
                cluster.eventually(
                    lambda: asks(cluster, STRANGER, "asker", denied, 8080) == "refused", "refusal", within=60
                )
            except AssertionError:
                if which.is_own():
                    raise
                pytest.skip("this cluster enforces no NetworkPolicy")
            yield service
    finally:
        cluster.attempt("delete", "namespace", *spaces, "--ignore-not-found", "--timeout=120s", timeout=150)
        for where, names in ((NAMESPACE, ["asker"]), (STRANGER, ["asker", "listener", "denied"])):
            cluster.attempt("-n", where, "delete", "pod", *names, "--ignore-not-found", timeout=90)


def test_policy_lets_in_and_out_whom_it_names_and_nobody_else(policed: Service) -> None:
    cluster, pods = policed.cluster, policed.pods()
    for pod in pods:
        server = pod["status"]["podIP"]
        cluster.eventually(lambda ip=server: asks(cluster, STRANGER, "asker", ip, 8080) == "refused", "a stranger")
        for namespace in (NAMESPACE, *guests()):
            assert asks(cluster, namespace, "asker", server, 8080) == "connected", namespace
        listener = address(cluster, STRANGER, "listener")
        expected = {
            (database.HOST, 5432): "connected",  # by its name: DNS is let out too
            (listener, 6432): "connected",
            (listener, 8080): "refused",
            ("kubernetes.default", 443): "refused",
        }
        found = {(host, port): asks(cluster, NAMESPACE, named(pod), host, port) for host, port in expected}
        assert found == expected
        # What is refused here is there: others reach it.
        assert asks(cluster, STRANGER, "asker", listener, 8080) == "connected"
        assert asks(cluster, STRANGER, "asker", "kubernetes.default", 443) == "connected"


def test_policy_lets_the_probes_of_the_kubelet_in(policed: Service) -> None:
    good, bad = ("Readiness", "successful"), ("Readiness", "failed")
    for pod in policed.pods():
        before, failed = probes(policed, pod, *good), probes(policed, pod, *bad)
        policed.cluster.eventually(
            lambda pod=pod, before=before: probes(policed, pod, *good) > before + 1, "two probes"
        )
        assert probes(policed, pod, *bad) == failed
