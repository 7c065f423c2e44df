"""An Ingress and an HTTPRoute by a real controller: requests from outside of the cluster, over a rolling restart."""

from collections.abc import Iterator

import pytest

from tests.cluster import which
from tests.cluster.front import CLASS, Front
from tests.cluster.service import NAME, Service
from tests.cluster.traffic import Traffic
from tests.deploy.conftest import Figures
from tests.deploy.manifests import render
from tests.support.isolation import run_folder

pytestmark = pytest.mark.timeout(900)
COMMENTED = "# ingressClassName: traefik "


@pytest.fixture(scope="module")
def controller(installed: object, request: pytest.FixtureRequest) -> Front:
    """Traefik, which is built at its first time: 8 minutes."""
    if not which.is_own():
        pytest.skip("only a cluster of our own has a controller that the tests know")
    return Front(request.getfixturevalue("cluster"), run_folder())


@pytest.fixture
def front(controller: Front, service: Service) -> Iterator[Front]:
    """Nothing is served yet. What the test adds to the Service's namespace is removed."""
    yield controller
    kinds = ["ingress", "httproute"]
    service.cluster("delete", *[f"{kind}/{NAME}" for kind in kinds], "--ignore-not-found")
    service.cluster("delete", "secret", "pacman-sync-utility-tls", "--ignore-not-found")


def restart_under_load(service: Service, front: Front, traffic: Traffic, figures: Figures, by: str) -> None:
    service.cluster.eventually(lambda: front.status() == 200, f"an answer through {by}", within=60)
    with service.ends_are_clean(), traffic.flowing(door=front.door) as result:
        service.follow("kubectl rollout restart deployment/")
        service.follow("kubectl rollout status deployment/")
        service.until_settled()
    figures(f"restart behind {by}: {result}")
    result.nothing_is_lost()


def test_restart_behind_the_ingress_loses_no_request(
    front: Front, service: Service, traffic: Traffic, figures: Figures
) -> None:
    """Nobody serves it without its class, where the cluster has no default one."""
    service.cluster.apply(front.secret())
    assert front.status() == 0, "nobody has the certificate yet"
    text = service.manifest.read_text()
    assert text.count(COMMENTED) == 1
    service.cluster("apply", "-f", "-", input=text.replace(COMMENTED, COMMENTED.removeprefix("# ")))
    restart_under_load(service, front, traffic, figures, f"the Ingress of {CLASS}")


def test_restart_behind_the_http_route_loses_no_request(
    front: Front, service: Service, traffic: Traffic, figures: Figures
) -> None:
    (route,) = render("components/http-route/http-route.yaml")
    (gateway,) = route["spec"]["parentRefs"]
    service.cluster.apply(*front.gateway(**gateway))
    try:
        service.cluster("delete", "ingress", NAME)  # as the component leaves it out
        service.apply_with("http-route")
        assert service.cluster.items("ingress") == []
        restart_under_load(service, front, traffic, figures, "an HTTPRoute")
        assert conditions(service) == {"Accepted": "True", "ResolvedRefs": "True"}
    finally:
        service.cluster("delete", "namespace", gateway["namespace"], "--timeout=120s", timeout=150)


def conditions(service: Service) -> dict[str, str]:
    """What the controller says of the route."""
    (parent,) = service.cluster.get("httproute", NAME)["status"]["parents"]
    return {one["type"]: one["status"] for one in parent["conditions"]}
