"""The Kubernetes manifests: strict schemas, the policies of a restricted cluster, the documented figures, the sums."""

import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.engine import ROOT, eventually, fetch, run, status
from tests.deploy.manifests import KUBERNETES, only, render
from tests.support.server import manage, migrate, running_server

SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
NEWEST = sorted(
    {tuple(map(int, match.groups())) for name in SCHEMAS.iterdir() if (match := re.match(r"v(\d+)\.(\d+)", name.name))}
)[-3:]
RENDERED = ["deployment.yaml"] + [
    pytest.param(name, marks=pytest.mark.needs("kubectl"))
    for name in ("base", "overlays/development", "overlays/openshift")
]


@pytest.mark.parametrize("version", [f"{major}.{minor}" for major, minor in NEWEST])
@pytest.mark.parametrize("name", RENDERED)
def test_manifests_match_the_strict_schema(name: str, version: str) -> None:
    for document in render(name):
        if document["kind"] != "Route":
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
    assert pod["securityContext"].get("runAsUser") == (None if name == "overlays/openshift" else 10001)
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
    assert f"{wanted + more} x {size} (DB_POOL_MAX_SIZE) = {most}," in text, "the sum is written next to the number"


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


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """The port of a real server with the ConfigMap's values, and an API token of it."""
    config = {**only(render("deployment.yaml"), "ConfigMap")["data"]}
    del config["HTTP_PORT"]
    database = f"sqlite:///{tmp_path_factory.mktemp('configured') / 'pacsync.sqlite3'}"
    migrate(database)
    token = manage(database, "create_api_token", "prometheus").stdout.strip()
    with running_server(database, **{**config, "SECRET_KEY": "x" * 50, "SHUTDOWN_DRAIN_DELAY": "0"}) as server:
        eventually(lambda: status(server.port, "/health/ready") == 200, within=30, what="ready")
        yield server.port, token


def test_details_are_for_nobody_behind_the_ingress(configured: tuple[int, str]) -> None:
    """Asked as the Ingress asks for others."""
    port, token = configured
    outside = [
        "203.0.113.9",
        "10.0.0.7",  # a node's, when a load balancer replaces the client's
        "127.0.0.1, 10.0.0.7",  # made up by the client
    ]
    for client in outside:
        for path in ("/health/detailed", "/metrics"):
            headers = {"X-Forwarded-For": client, "X-Forwarded-Proto": "https", "Host": "pacman-sync.example.com"}
            answer = fetch(port, path, headers=headers)[2]
            assert b"python" not in answer, (client, path, answer)
            answer = fetch(port, path, headers={**headers, "Authorization": f"Bearer {token}"})[2]
            assert b"python" in answer or b"components" in answer, (client, path, answer)
    assert b"components" in fetch(port, "/health/detailed")[2], "kubectl port-forward"


def test_api_by_port_forward_needs_a_name_of_the_service_and_https(configured: tuple[int, str]) -> None:
    """As the documented `curl` asks."""
    port, token = configured
    (said,) = re.findall(r"`(curl -H [^`]+)`", (ROOT / "docs/operations/kubernetes.md").read_text())
    headers = dict(header.split(": ", 1) for header in re.findall(r"""-H ['"]([^'"]+)['"]""", said))
    headers["Authorization"] = headers["Authorization"].replace("TOKEN", token)
    path = re.search(r"http://localhost:8080(/\S+)", said)
    assert path
    assert fetch(port, path[1], headers=headers)[0] == 200
    assert fetch(port, path[1], headers={**headers, "Host": "localhost:8080"})[0] == 400
    assert fetch(port, path[1], headers={**headers, "X-Forwarded-Proto": "http"})[0] == 301


def test_dashboard_through_another_port_of_the_controller_takes_a_form(configured: tuple[int, str]) -> None:
    origin = "pacman-sync.example.com:8443"
    headers = {"Host": origin, "X-Forwarded-Proto": "https", "Origin": f"https://{origin}"}
    code, given, page = fetch(configured[0], "/login", headers=headers)
    assert code == 200
    (token,) = set(re.findall(rb'name="csrfmiddlewaretoken" value="(\w+)"', page))
    form = b"username=nobody&password=wrong&csrfmiddlewaretoken=" + token
    headers |= {"Cookie": given["set-cookie"].partition(";")[0], "Content-Type": "application/x-www-form-urlencoded"}
    assert fetch(configured[0], "/login", method="POST", headers=headers, body=form)[0] == 200, "asks again"
    headers["Origin"] = "https://elsewhere.example"
    assert fetch(configured[0], "/login", method="POST", headers=headers, body=form)[0] == 403


@pytest.mark.needs("kubectl")
def test_development_overlay_needs_no_database_and_no_autoscaler() -> None:
    documents = render("overlays/development")
    assert not {"HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress"} & {d["kind"] for d in documents}
    deployment = only(documents, "Deployment")
    assert deployment["spec"]["replicas"] == 1
    pod = deployment["spec"]["template"]["spec"]
    for container in itertools.chain(pod["initContainers"], pod["containers"]):
        assert "DATABASE_URL" not in [variable["name"] for variable in container["env"]]
