"""The monitoring of the Kubernetes manifests: what Prometheus scrapes, and by which rules."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.engine import ROOT, run
from tests.deploy.manifests import KUBERNETES, assembled, only


@pytest.fixture
def monitor() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((KUBERNETES / "components/monitoring/service-monitor.yaml").read_text())
    return found


def test_service_monitor_scrapes_the_port_of_the_service(
    monitor: dict[str, Any], documents: list[dict[str, Any]]
) -> None:
    service = only(documents, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert set(endpoint["authorization"]["credentials"]) == {"name", "key"}, "details are private"


def test_service_monitor_names_the_job_of_rules_and_dashboard(monitor: dict[str, Any]) -> None:
    (relabeling,) = monitor["spec"]["endpoints"][0]["relabelings"]
    assert set(relabeling) == {"targetLabel", "replacement"}
    assert relabeling["targetLabel"] == "job"
    assert jobs_of_rules_and_dashboard() == {relabeling["replacement"]}


def jobs_of_rules_and_dashboard() -> set[str]:
    """HAProxy's own and the load balancer's health are other jobs, which Kubernetes hasn't got."""
    files = ROOT / "deploy/prometheus/rules.yml", ROOT / "deploy/grafana/dashboards/pacman-sync.json"
    return set(re.findall(r'\bpacsync_\w+\{[^}]*job=\\?"([^"\\]+)', "".join(path.read_text() for path in files)))


def test_prometheus_rule_is_made_of_the_rules_of_prometheus() -> None:
    path = KUBERNETES / "components/monitoring/prometheus-rule.yaml"
    assert run(KUBERNETES / "bundle.sh", "--print", "rules").stdout == path.read_text()
    document = yaml.safe_load(path.read_text())
    assert (document["apiVersion"], document["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert document["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())


@pytest.mark.needs("kubectl")
def test_base_with_the_monitoring_component_renders() -> None:
    kinds = [document["kind"] for document in assembled("monitoring")]
    assert {"Deployment", "ServiceMonitor", "PrometheusRule"} <= set(kinds)


@pytest.mark.needs("promtool")
def test_documented_scrape_keeps_the_servers_port_and_names_the_job(
    tmp_path: Path, documents: list[dict[str, Any]]
) -> None:
    """Debian's Prometheus is built without Kubernetes: what it would discover is given to it."""
    (text,) = re.findall(
        r"```yaml\n(scrape_configs:.*?)```", (ROOT / "docs/operations/monitoring.md").read_text(), re.DOTALL
    )
    configuration = yaml.safe_load(text)
    (scrape,) = configuration["scrape_configs"]
    assert scrape.pop("kubernetes_sd_configs")[0]["role"] == "pod"
    scrape["authorization"]["credentials_file"] = str(tmp_path / "token")
    (tmp_path / "token").write_text("token")
    template = only(documents, "Deployment")["spec"]["template"]
    name = template["metadata"]["labels"]["app.kubernetes.io/name"]
    port = template["spec"]["containers"][0]["ports"][0]["name"]
    scrape["static_configs"] = [discovered(name, port), discovered("other", port), discovered(name, "other")]
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration))
    run("promtool", "check", "config", path)
    said = json.loads(run("promtool", "check", "service-discovery", "--timeout=2s", path, scrape["job_name"]).stdout)
    (kept,) = [target["labels"] for target in said if target["labels"]]
    assert {kept["job"]} == jobs_of_rules_and_dashboard()
    assert (kept["pod"], kept["instance"]) == (f"{name}-{port}", f"{name}-{port}:8080")


def discovered(name: str, port: str) -> dict[str, Any]:
    """A container's port as Prometheus finds it in a cluster, of a pod with this name for a label."""
    labels = {
        "pod_label_app_kubernetes_io_name": name,
        "pod_container_port_name": port,
        "pod_name": f"{name}-{port}",
        "namespace": "pacman-sync",
    }
    meta = {f"__meta_kubernetes_{label}": value for label, value in labels.items()}
    return {"targets": [f"{name}-{port}:8080"], "labels": meta}
