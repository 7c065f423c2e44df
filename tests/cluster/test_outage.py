"""The kubelet's probes while PostgreSQL is away: pods leave the Service, live on, and come back by themselves."""

import json
from http.client import HTTPException

import pytest

from tests.cluster.kubectl import Document
from tests.cluster.kubelet import port_forward, probes
from tests.cluster.page import printed
from tests.cluster.service import Service, is_ready, named, restarts
from tests.deploy.engine import fetch
from tests.support.wait import until

pytestmark = [pytest.mark.timeout(900), pytest.mark.ipv6]


def reason(service: Service, pod: Document) -> str:
    """Why the pod isn't ready, as the page says to ask."""
    with port_forward(service, printed("kubectl port-forward POD", POD=named(pod))) as port:
        answer = until(lambda: fetch(port, "/health/ready")[2], 30, ignoring=(OSError, HTTPException))
    return str(json.loads(answer).get("reason"))


@pytest.mark.parametrize("fault", ["freeze", pytest.param("stop", marks=pytest.mark.long)])
def test_pods_without_the_database_are_not_ready_and_are_not_restarted(service: Service, fault: str) -> None:
    pods, restarted = service.pods(), [restarts(pod) for pod in service.pods()]
    getattr(service.database, fault)()
    service.cluster.eventually(lambda: not any(map(is_ready, service.pods())), "no pod is ready")
    assert reason(service, pods[0]) == "database_unhealthy"
    events = service.cluster("get", "events", "--field-selector", f"involvedObject.name={named(pods[0])}")
    assert "Readiness probe failed: HTTP probe failed with statuscode: 503" in events
    # The kubelet's own count: after everybody was not ready, each pod was found alive once more, and always before.
    alive = ("Liveness", "successful")
    for pod in pods:
        already = probes(service, pod, *alive)
        service.cluster.eventually(
            lambda pod=pod, already=already: probes(service, pod, *alive) > already,
            f"a probe of {named(pod)} in the outage",
        )
        assert probes(service, pod, "Liveness", "failed") == 0
    service.database.recover()
    service.until_settled()
    assert [named(pod) for pod in service.pods()] == [named(pod) for pod in pods]
    assert [restarts(pod) for pod in service.pods()] == restarted
