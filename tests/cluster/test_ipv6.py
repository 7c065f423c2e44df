"""The same file in a cluster of IPv6 addresses alone: `make test-cluster ALL=1`, or ONLY=cluster-ipv6."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster import which
from tests.cluster.kubelet import port_forward
from tests.cluster.page import printed
from tests.cluster.service import Service, is_ready, named, restarts
from tests.cluster.traffic import Traffic
from tests.deploy.conftest import Figures
from tests.deploy.engine import eventually, fetch

pytestmark = [pytest.mark.timeout(900), pytest.mark.ipv6]
CONFIG = "pacman-sync-utility-config"


@pytest.fixture
def only_ipv6(service: Service) -> Service:
    if not (which.is_own() and which.family() == "6"):
        pytest.skip("needs a cluster of IPv6 alone: make test-cluster ONLY=cluster-ipv6")
    return service


def test_all_addresses_are_ipv6_and_a_restart_loses_no_request(
    only_ipv6: Service, traffic: Traffic, figures: Figures
) -> None:
    with only_ipv6.ends_are_clean(), traffic.flowing() as result:
        only_ipv6.follow("kubectl rollout restart deployment/")
        only_ipv6.follow("kubectl rollout status deployment/")
        only_ipv6.until_settled()
    figures(f"restart with IPv6 alone: {result}")
    addresses = [pod["status"]["podIP"] for pod in only_ipv6.pods()]
    addresses.append(only_ipv6.cluster.get("service", only_ipv6.name)["spec"]["clusterIP"])
    assert [address for address in addresses if ":" not in address] == []
    result.nothing_is_lost()


def test_port_forward_and_healthcheck_need_no_setting(only_ipv6: Service) -> None:
    pod = named(only_ipv6.pods()[0])
    with port_forward(only_ipv6, printed("kubectl port-forward POD", POD=pod)) as port:
        eventually(lambda: fetch(port, "/health/live")[0] == 200, within=30, what="the forwarded port answers")
    only_ipv6.cluster("exec", pod, "--", "python", "manage.py", "healthcheck", "--url")


@pytest.fixture
def ipv4_alone(only_ipv6: Service) -> Iterator[Service]:
    """The server listens on 0.0.0.0, as the page warns of."""
    patch = {"data": {"HTTP_HOST": "0.0.0.0"}}
    only_ipv6.cluster("patch", "configmap", CONFIG, "-p", json.dumps(patch))
    only_ipv6.follow("kubectl rollout restart deployment/")
    yield only_ipv6
    only_ipv6.cluster("patch", "configmap", CONFIG, "-p", '{"data": {"HTTP_HOST": null}}')
    only_ipv6.follow("kubectl rollout restart deployment/")


def test_pods_that_listen_on_ipv4_never_become_ready(ipv4_alone: Service) -> None:
    old = {named(pod) for pod in ipv4_alone.pods() if is_ready(pod)}

    def restarted() -> list[str]:
        """New pods that the kubelet has restarted: it never got an answer."""
        return [named(pod) for pod in ipv4_alone.pods() if named(pod) not in old and restarts(pod)]

    pods = ipv4_alone.cluster.eventually(restarted, "a restart by the startup probe", within=300)
    assert not any(is_ready(pod) for pod in ipv4_alone.pods() if named(pod) in pods)
    assert "failed startup probe" in ipv4_alone.cluster("get", "events", "--field-selector", "reason=Killing")
