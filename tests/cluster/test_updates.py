"""Pods come and go under requests: none is lost, and each pod ends by itself. Without the safeguards some are."""

import json
import time

import pytest

from tests.cluster.service import SELECTOR, Service, named
from tests.cluster.traffic import Traffic
from tests.deploy.conftest import Figures

pytestmark = pytest.mark.timeout(1200)
SAFEGUARDS = ("startupProbe", "readinessProbe")


@pytest.fixture
def next_image(service: Service) -> dict[str, str]:
    """The same image by another name, for a command with IMAGE:TAG."""
    image = service.cluster.image
    if "/" in image:
        pytest.skip(f"{image} has a registry: no second name for it is known")
    name, _, tag = f"docker.io/library/{image}".rpartition(":")
    return {"IMAGE": name, "TAG": tag}


def test_rolling_update_and_its_undo_lose_no_request(
    service: Service, traffic: Traffic, next_image: dict[str, str], figures: Figures
) -> None:
    revision = int(service.revision())
    with service.ends_are_clean(), traffic.flowing() as result:
        service.follow("kubectl set image", **next_image)
        service.follow("kubectl rollout status deployment/")
        assert int(service.revision()) == revision + 1
        service.follow("kubectl rollout undo")
        service.follow("kubectl rollout status deployment/")
        service.until_settled()
    figures(f"rolling update and undo: {result}")
    assert {pod["spec"]["containers"][0]["image"] for pod in service.pods()} == {service.cluster.image}
    result.nothing_is_lost()


def test_scaling_and_deletion_lose_no_request(service: Service, traffic: Traffic, figures: Figures) -> None:
    with service.ends_are_clean(), traffic.flowing() as result:
        service.scale(4)
        service.until_ready(4)
        service.cluster("delete", "pod", named(service.pods()[0]), "--wait=false")
        service.scale(2)
        service.until_settled()
    figures(f"2 to 4 to 2 pods, one deleted: {result}")
    result.nothing_is_lost()


@pytest.mark.long
def test_deletion_of_all_pods_at_once_loses_no_request(service: Service, traffic: Traffic, figures: Figures) -> None:
    with service.ends_are_clean(), traffic.flowing() as result:
        service.cluster("delete", "pod", "-l", SELECTOR, "--wait=false")
        service.until_settled()
        time.sleep(15)  # the replacement alone takes too few requests to tell
    figures(f"all pods deleted: {result}")
    result.nothing_is_lost()


def test_nodes_drained_one_after_the_other_lose_no_request(
    service: Service, traffic: Traffic, figures: Figures
) -> None:
    nodes = [named(node) for node in service.cluster.items("nodes") if not node["spec"].get("taints")]
    if len(nodes) < 2:
        pytest.skip("a cluster of one node can't be drained")
    with service.ends_are_clean(), traffic.flowing() as result:
        for node in nodes:
            options = ("--ignore-daemonsets", "--delete-emptydir-data", f"--pod-selector={SELECTOR}")
            service.cluster("drain", node, *options, timeout=400)
            assert node not in {pod["spec"]["nodeName"] for pod in service.pods()}
            service.cluster("uncordon", node)
            service.until_settled()
    figures(f"{len(nodes)} nodes drained: {result}")
    result.nothing_is_lost()


@pytest.mark.long
def test_pods_killed_without_their_grace_period_lose_requests(
    service: Service, traffic: Traffic, figures: Figures
) -> None:
    with traffic.flowing() as result:
        service.cluster("delete", "pod", "-l", SELECTOR, "--grace-period=0", "--force")
        service.until_settled()
    figures(f"all pods killed: {result}")
    assert result.lost


def test_update_without_readiness_probes_loses_requests(service: Service, traffic: Traffic, figures: Figures) -> None:
    """A new pod counts as ready before its server listens. So the count does notice what is lost."""
    paths = [f"/spec/template/spec/containers/0/{probe}" for probe in SAFEGUARDS]
    patch = json.dumps([{"op": "remove", "path": path} for path in paths])
    with traffic.flowing() as result:
        service.cluster("patch", "deployment", service.name, "--type=json", "-p", patch)
        service.follow("kubectl rollout status deployment/")
    figures(f"without {' and '.join(SAFEGUARDS)}: {result}")
    assert result.lost
