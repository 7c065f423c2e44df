"""The HorizontalPodAutoscaler by the metrics of real pods: at rest, and with more work than two pods should have."""

from typing import Any

import pytest

from tests.cluster.service import Service
from tests.cluster.traffic import Traffic
from tests.deploy.conftest import Figures

pytestmark = [pytest.mark.timeout(3000), pytest.mark.usefixtures("metrics")]
BUSY = 220  # requests a second: half as much again as two pods should answer by the target of 70 %
AUTOSCALER = "pacman-sync-utility-hpa"


def autoscaler(service: Service) -> dict[str, Any]:
    return service.cluster.get("hpa", AUTOSCALER)


def utilization(service: Service) -> dict[str, int]:
    """What the autoscaler sees, in percent of the request; empty while it sees nothing."""
    metrics = autoscaler(service)["status"].get("currentMetrics") or []
    found = [one["resource"] for one in metrics if one.get("resource", {}).get("name")]
    return {
        one["name"]: one["current"]["averageUtilization"] for one in found if "averageUtilization" in one["current"]
    }


def test_autoscaler_at_rest_sees_both_figures_and_adds_no_pod(service: Service, figures: Figures) -> None:
    service.cluster.eventually(lambda: {*utilization(service)} == {"cpu", "memory"}, "cpu and memory of the pods")
    conditions = {one["type"]: one["status"] for one in autoscaler(service)["status"]["conditions"]}
    assert conditions["ScalingActive"] == conditions["AbleToScale"] == "True"
    service.cluster.eventually(lambda: max(utilization(service).values()) < 60, "less than the targets of 70 and 80")
    figures(f"at rest, in percent of the request: {utilization(service)}")


@pytest.mark.long
def test_autoscaler_adds_pods_under_load_and_removes_them_afterwards(
    service: Service, traffic: Traffic, figures: Figures
) -> None:
    with service.ends_are_clean():
        with traffic.flowing(BUSY) as result:
            service.until_ready(4)
        figures(f"{len(service.pods())} pods: {result}")
        # It waits for ten quiet minutes, then removes one pod a minute.
        service.cluster.eventually(lambda: len(service.pods()) == 2, "two pods again", within=1800)
    assert autoscaler(service)["status"]["desiredReplicas"] == 2
