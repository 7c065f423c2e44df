"""The Kubernetes manifests: strict schemas, the policies of a restricted cluster, the documented figures, the sums."""

import functools
import itertools
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.engine import ROOT, eventually, fetch, run, status
from tests.support.server import manage, migrate, running_server

KUBERNETES = ROOT / "deploy" / "kubernetes"
SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
NEWEST = sorted(
    {tuple(map(int, match.groups())) for name in SCHEMAS.iterdir() if (match := re.match(r"v(\d+)\.(\d+)", name.name))}
)[-3:]
RENDERED = ["deployment.yaml"] + [
    pytest.param(name, marks=pytest.mark.needs("kubectl")) for name in ("base", "overlays/development")
]


@functools.cache
def client_version() -> str:
    return run("kubectl", "version", "--client", "-o", "json").stdout


def skip_with_old_kubectl() -> None:
    if re.search(r'"minor": "(1?\d|20)\+?"', client_version()):
        pytest.skip("overlays and components need kubectl 1.21 or newer; Debian's is of 2020")


def render(name: str) -> list[dict[str, Any]]:
    """The documents of the single file, or of a kustomization as kubectl renders it."""
    path = KUBERNETES / name
    if name.startswith("overlays/"):
        skip_with_old_kubectl()
    text = path.read_text() if path.is_file() else run("kubectl", "kustomize", path).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def only(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


@pytest.fixture
def documents() -> list[dict[str, Any]]:
    return render("deployment.yaml")


@pytest.mark.parametrize("version", [f"{major}.{minor}" for major, minor in NEWEST])
@pytest.mark.parametrize("name", RENDERED)
def test_manifests_match_the_strict_schema(name: str, version: str) -> None:
    for document in render(name):
        kubernetes_validate.validate(document, version, strict=True)


def test_manifest_with_an_unknown_field_is_refused_by_the_schema(documents: list[dict[str, Any]]) -> None:
    only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(only(documents, "Deployment"), "{}.{}".format(*NEWEST[-1]), strict=True)


def test_single_file_is_what_the_base_makes() -> None:
    assert run(KUBERNETES / "bundle.sh", "--print", "deployment").stdout == (KUBERNETES / "deployment.yaml").read_text()


@pytest.mark.needs("kubectl")
def test_single_file_and_kustomize_base_are_the_same() -> None:
    def key(document: dict[str, Any]) -> tuple[str, str]:
        return document["kind"], document["metadata"]["name"]

    assert sorted(render("deployment.yaml"), key=key) == sorted(render("base"), key=key)


def test_single_file_has_everything_but_the_secret(documents: list[dict[str, Any]]) -> None:
    kinds = {document["kind"] for document in documents}
    assert kinds == {
        "Namespace", "ServiceAccount", "ConfigMap", "Deployment", "Service", "Ingress", "HorizontalPodAutoscaler",
        "PodDisruptionBudget", "NetworkPolicy",
    }  # fmt: skip
    assert documents[0]["kind"] == "Namespace", "applied in order: the namespace comes first"


@pytest.mark.parametrize("name", RENDERED)
def test_pods_obey_pod_security_restricted(name: str) -> None:
    namespace = only(render(name), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = only(render(name), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert all(set(volume) <= {"name", "emptyDir"} for volume in pod["volumes"])
    for container in itertools.chain(pod["initContainers"], pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        for bound in ("requests", "limits"):
            assert set(container["resources"][bound]) == {"cpu", "memory", "ephemeral-storage"}
        assert re.fullmatch(r"[\w./-]+:\d[\w.]*", container["image"]), "a version, not `latest`"
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_probes_have_the_documented_figures(documents: list[dict[str, Any]]) -> None:
    (container,) = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"]

    def figures(probe: str, *names: str) -> tuple[Any, ...]:
        return container[probe]["httpGet"]["path"], *(container[probe][name] for name in names)

    assert figures("livenessProbe", "initialDelaySeconds", "periodSeconds") == ("/health/live", 30, 30)
    assert figures("readinessProbe", "initialDelaySeconds", "periodSeconds") == ("/health/ready", 10, 10)
    startup = figures("startupProbe", "initialDelaySeconds", "periodSeconds", "failureThreshold")
    assert startup == ("/health/live", 10, 5, 12)


def test_pod_ends_by_itself_within_its_grace_period(documents: list[dict[str, Any]]) -> None:
    pod = only(documents, "Deployment")["spec"]["template"]["spec"]
    config = only(documents, "ConfigMap")["data"]
    assert pod["terminationGracePeriodSeconds"] == 45
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["/bin/sh", "-c", "sleep 15"]
    assert 15 + float(config["SHUTDOWN_TIMEOUT"]) < 45
    assert float(config["SHUTDOWN_DRAIN_DELAY"]) < float(config["SHUTDOWN_TIMEOUT"])


def test_starting_container_gives_up_on_the_database_before_the_kubelet_kills_it(
    documents: list[dict[str, Any]],
) -> None:
    pod = only(documents, "Deployment")["spec"]["template"]["spec"]
    probe = pod["containers"][0]["startupProbe"]
    last = probe["initialDelaySeconds"] + (probe["failureThreshold"] - 1) * probe["periodSeconds"]

    def wait(container: dict[str, Any]) -> float:
        (found,) = [variable for variable in container["env"] if variable["name"] == "DATABASE_WAIT_SECONDS"]
        return float(found["value"])

    assert wait(pod["containers"][0]) + 10 <= last
    assert wait(pod["initContainers"][0]) >= 600, "it has no probe: it waits, instead of ending again and again"


def test_variable_of_a_container_is_not_in_the_config_map_too(documents: list[dict[str, Any]]) -> None:
    """Kubernetes prefers `env`, podman prefers `envFrom`."""
    pod = only(documents, "Deployment")["spec"]["template"]["spec"]
    for container in itertools.chain(pod["initContainers"], pod["containers"]):
        names = {variable["name"] for variable in container["env"]}
        assert not names & set(only(documents, "ConfigMap")["data"])


def test_connections_of_all_pods_fit_into_postgresql(documents: list[dict[str, Any]]) -> None:
    deployment, config = only(documents, "Deployment")["spec"], only(documents, "ConfigMap")["data"]
    pod = deployment["template"]["spec"]
    wanted = only(documents, "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    surge = deployment["strategy"]["rollingUpdate"]["maxSurge"]
    assert only(documents, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    # One that ends is replaced by one that is ready first, which takes at least so long.
    ready = pod["containers"][0]["readinessProbe"]["initialDelaySeconds"]
    rolling = surge + math.ceil(pod["terminationGracePeriodSeconds"] / (ready + deployment["minReadySeconds"]))
    drained = math.ceil(pod["terminationGracePeriodSeconds"] / ready)
    cut_off = math.ceil(wanted / 2)
    more = max(rolling, drained, cut_off)
    size = int(config["DB_POOL_MAX_SIZE"])
    most = (wanted + more) * size
    assert most <= 100 - 3
    text = (KUBERNETES / "base" / "config-map.yaml").read_text()
    assert f"{wanted + more} x {size} (DB_POOL_MAX_SIZE) = {most}," in text, "the sum is written beside the number"


def test_rolling_update_never_takes_a_ready_pod_away_first(documents: list[dict[str, Any]]) -> None:
    assert only(documents, "Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_autoscaler_has_the_documented_figures_and_leaves_slowly(documents: list[dict[str, Any]]) -> None:
    autoscaler = only(documents, "HorizontalPodAutoscaler")
    assert autoscaler["metadata"]["name"] == "pacman-sync-utility-hpa"
    spec = autoscaler["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    targets = {m["resource"]["name"]: m["resource"]["target"]["averageUtilization"] for m in spec["metrics"]}
    assert targets == {"cpu": 70, "memory": 80}
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 300
    assert "replicas" not in only(documents, "Deployment")["spec"], "the autoscaler owns the number"


def test_selectors_and_references_name_what_exists(documents: list[dict[str, Any]]) -> None:
    deployment = only(documents, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        only(documents, "Service")["spec"]["selector"],
        only(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels
    pod = deployment["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == only(documents, "ServiceAccount")["metadata"]["name"]
    assert (
        pod["containers"][0]["envFrom"][0]["configMapRef"]["name"] == only(documents, "ConfigMap")["metadata"]["name"]
    )
    (rule,) = only(documents, "Ingress")["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == only(documents, "Service")["metadata"]["name"]
    assert rule["host"] in only(documents, "ConfigMap")["data"]["ALLOWED_HOSTS"].split(",")


def test_details_are_for_nobody_behind_the_ingress(tmp_path: Path, documents: list[dict[str, Any]]) -> None:
    """A real server with the ConfigMap's values, asked as the Ingress asks for others."""
    config = {name: value for name, value in only(documents, "ConfigMap")["data"].items() if name != "HTTP_PORT"}
    database = f"sqlite:///{tmp_path / 'pacsync.sqlite3'}"
    migrate(database)
    token = manage(database, "create_api_token", "prometheus").stdout.strip()
    outside = [
        "203.0.113.9",
        "10.0.0.7",  # a node's, when a load balancer replaces the client's
        "127.0.0.1, 10.0.0.7",  # made up by the client
    ]
    with running_server(database, **{**config, "SECRET_KEY": "x" * 50, "SHUTDOWN_DRAIN_DELAY": "0"}) as server:
        eventually(lambda: status(server.port, "/health/ready") == 200, within=30, what="ready")
        for client in outside:
            for path in ("/health/detailed", "/metrics"):
                headers = {"X-Forwarded-For": client, "X-Forwarded-Proto": "https", "Host": "pacman-sync.example.com"}
                answer = fetch(server.port, path, headers=headers)[2]
                assert b"python" not in answer, (client, path, answer)
                answer = fetch(server.port, path, headers={**headers, "Authorization": f"Bearer {token}"})[2]
                assert b"python" in answer or b"components" in answer, (client, path, answer)
        assert b"components" in fetch(server.port, "/health/detailed")[2], "kubectl port-forward"


@pytest.mark.needs("kubectl")
def test_development_overlay_needs_no_database_and_no_autoscaler() -> None:
    documents = render("overlays/development")
    assert not {"HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress"} & {d["kind"] for d in documents}
    deployment = only(documents, "Deployment")
    assert deployment["spec"]["replicas"] == 1
    pod = deployment["spec"]["template"]["spec"]
    for container in itertools.chain(pod["initContainers"], pod["containers"]):
        assert "DATABASE_URL" not in [variable["name"] for variable in container["env"]]


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
def test_base_with_the_monitoring_component_renders(tmp_path: Path) -> None:
    skip_with_old_kubectl()
    base, component = (os.path.relpath(KUBERNETES / name, tmp_path) for name in ("base", "components/monitoring"))
    text = f"apiVersion: kustomize.config.k8s.io/v1beta1\nresources: [{base}]\ncomponents: [{component}]\n"
    (tmp_path / "kustomization.yaml").write_text(f"kind: Kustomization\n{text}")
    kinds = [document["kind"] for document in yaml.safe_load_all(run("kubectl", "kustomize", tmp_path).stdout)]
    assert {"Deployment", "ServiceMonitor", "PrometheusRule"} <= set(kinds)


@pytest.mark.needs("promtool")
def test_documented_scrape_keeps_the_servers_port_and_names_the_job(
    tmp_path: Path, documents: list[dict[str, Any]]
) -> None:
    """Debian's Prometheus is built without Kubernetes: what it would discover is given to it."""
    (text,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL)
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
