"""The Kubernetes manifests, run for real by podman as they are: the whole single file, and the development overlay.

The test is what a cluster has beside the pod: it probes as the kubelet does, asks as the Ingress does, and ends the pod
with preStop and SIGTERM.
"""

import hashlib
import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.deploy import engine
from tests.deploy.conftest import Figures
from tests.deploy.engine import eventually, fetch, status
from tests.deploy.manifests import only, render
from tests.deploy.podman import Podman

pytestmark = pytest.mark.timeout(600)
POD = "pacman-sync-utility-pod"
SERVER = f"{POD}-pacman-sync-utility"
URL = "postgresql://pacsync:of-this-test@postgres:5432/pacsync"
MIB = 1024 * 1024
REPORTS = 96
# As the Ingress sends a request on.
INGRESS = {"Host": "pacman-sync.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
Documents = list[dict[str, Any]]


def secret(**values: str) -> dict[str, Any]:
    metadata = {"name": "pacman-sync-utility-secrets"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def database() -> dict[str, Any]:
    values = {"POSTGRES_USER": "pacsync", "POSTGRES_PASSWORD": "of-this-test", "LANG": "C.UTF-8"}
    env = [{"name": name, "value": value} for name, value in values.items()]
    container = {"name": "server", "image": engine.POSTGRES, "env": env}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "postgres"}, "spec": {"containers": [container]}}


@pytest.fixture(scope="module")
def documents() -> Documents:
    return [secret(SECRET_KEY="x" * 64, DATABASE_URL=URL), *render("deployment.yaml")]


@pytest.fixture(scope="module")
def container(documents: Documents) -> dict[str, Any]:
    """What the manifest says of the server's container."""
    (found,) = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def podman(image: str, container: dict[str, Any]) -> Iterator[Podman]:
    made = Podman({image: container["image"], engine.POSTGRES: engine.POSTGRES})
    yield made
    made.remove()


@pytest.fixture(scope="module")
def pod(podman: Podman, documents: Documents) -> Podman:
    """The pod of the single file, started before its database."""
    playing = threading.Thread(target=podman.play, args=documents, kwargs={"published": True})
    playing.start()
    # Nothing is there by the name `postgres` yet.
    eventually(lambda: "waiting up to 600 s" in podman.logs(f"{POD}-migrate"), within=60, what="migrate waits")
    assert podman.containers().get(SERVER) != "running"
    podman.play(database())
    playing.join()
    assert podman.containers()[SERVER] == "running"
    return podman


def ready(podman: Podman) -> bool:
    return status(podman.port, "/health/ready") == 200


@pytest.mark.long  # the cluster's tests see the same in a real one
def test_pod_that_waited_for_its_database_has_migrated_and_is_ready(pod: Podman) -> None:
    query = "SELECT count(*) FROM django_migrations"
    assert int(pod.exec("postgres-server", "psql", "-qAt", "-U", "pacsync", "-c", query)) > 0
    eventually(lambda: ready(pod), within=60, what="ready")


def test_probes_of_the_kubelet_succeed(pod: Podman, container: dict[str, Any]) -> None:
    """It asks with the pod's address as the host's name, which is not in ALLOWED_HOSTS."""
    eventually(lambda: ready(pod), within=60, what="ready")
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container[name]["httpGet"]["path"]
        assert fetch(pod.port, path, headers={"Host": "10.89.0.5:8080"})[0] == 200, name


def test_process_has_no_privileges_and_a_root_that_is_read_only(pod: Podman) -> None:
    said = pod.exec(SERVER, "cat", "/proc/1/status")
    assert re.search(r"^Uid:\t10001\t10001\t10001\t10001$", said, re.MULTILINE)
    assert set(re.findall(r"^Cap(?:Inh|Prm|Eff|Bnd|Amb):\t(\w+)$", said, re.MULTILINE)) == {"0" * 16}
    assert re.search(r"^NoNewPrivs:\t1$", said, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", said, re.MULTILINE)
    assert "Read-only" in pod("exec", SERVER, "touch", "/app/x", check=False).stderr
    pod.exec(SERVER, "touch", "/tmp/x", "/app/data/x")


def test_details_are_for_a_token_and_for_whoever_is_inside_the_pod(pod: Podman) -> None:
    token = pod.exec(SERVER, "python", "manage.py", "create_api_token", "prometheus")

    def answers(**headers: str) -> bytes:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return b"".join(fetch(pod.port, path, headers=named)[2] for path in ("/health/detailed", "/metrics"))

    for stranger in (answers(), answers(X_Forwarded_For="127.0.0.1"), answers(X_Forwarded_For="10.0.0.7")):
        assert b"pacsync_ready" in stranger
        assert b"version" not in stranger
    assert answers(Authorization=f"Bearer {token}").count(b"version") > 1
    ask = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8080/health/detailed').read().decode())"
    assert "components" in json.loads(pod.exec(SERVER, "python", "-c", ask))


def test_pod_without_its_database_lives_on_and_comes_back(pod: Podman) -> None:
    eventually(lambda: ready(pod), within=60, what="ready")
    pod("pod", "stop", "-t", "5", "postgres")
    eventually(lambda: b"database_unhealthy" in fetch(pod.port, "/health/ready")[2], within=30, what="not ready")
    assert status(pod.port, "/health/live") == 200
    pod("pod", "start", "postgres")
    eventually(lambda: ready(pod), within=60, what="ready again")


def test_memory_after_full_size_reports_is_less_than_what_adds_pods(
    pod: Podman, documents: Documents, container: dict[str, Any], figures: Figures
) -> None:
    """What an instance has taken it keeps: above the autoscaler's target there would be ten pods, for ever."""
    metrics = only(documents, "HorizontalPodAutoscaler")["spec"]["metrics"]
    (percent,) = [
        metric["resource"]["target"]["averageUtilization"]
        for metric in metrics
        if metric["resource"]["name"] == "memory"
    ]
    request = int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
    eventually(lambda: ready(pod), within=60, what="ready")
    idle = memory(pod)
    code = pod.exec(SERVER, "python", "manage.py", "create_enrolment_code", "--uses", REPORTS).split()[-1]
    with ThreadPoolExecutor(8) as threads:
        assert (
            list(threads.map(report, itertools.repeat(pod.port), itertools.repeat(code), range(REPORTS)))
            == [200] * REPORTS
        )
    busy = memory(pod)
    figures(
        f"memory of the pod: {idle:.0f} MiB idle, {busy:.0f} MiB after {REPORTS} repositories; request {request} MiB"
    )
    assert busy < request * percent / 100


def memory(pod: Podman) -> float:
    """The working set of the server's container, in MiB."""
    used = pod("stats", "--no-stream", "--format", "{{.MemUsage}}", SERVER).stdout
    return float(re.findall(r"([\d.]+)MB /", used)[0]) * 1e6 / MIB


def report(port: int, code: str, number: int) -> int:
    """Enrol an endpoint that has a repository of the size of `extra` for itself, and report; the last status."""
    lines = (f"package-{n:05} 1-{number} x86_64 package-{n:05}.pkg.tar.zst {n:064x} {n}\n" for n in range(14_000))
    repository = "".join(lines).encode()
    state = f"pacman 7.0.0-{number} x86_64 explicit\n".encode()
    digests = [hashlib.sha256(text).hexdigest() for text in (repository, state)]
    headers = {**INGRESS, "Content-Type": "application/json"}

    def send(method: str, path: str, body: bytes) -> tuple[int, Any]:
        code, _, answer = fetch(port, f"/api/v1/{path}", method=method, headers=headers, body=body)
        assert code in (200, 201), (path, answer)
        return code, json.loads(answer)

    who = {"code": code, "name": f"memory-{number}", "arch": "x86_64"}
    headers["Authorization"] = f"Bearer {send('POST', 'enroll', json.dumps(who).encode())[1]['token']}"
    headers["Content-Type"] = "text/plain"
    send("PUT", f"repositories/{digests[0]}", repository)
    send("PUT", f"states/{digests[1]}", state)
    headers["Content-Type"] = "application/json"
    repositories = [{"name": "extra", "digest": digests[0], "mirrors": ["https://mirror.example/extra"]}]
    report = {"seq": 1, "state": digests[1], "repositories": repositories, "holds": [], "agent_version": "1"}
    return send("POST", "checkin", json.dumps(report).encode())[0]


def test_pod_that_is_deleted_serves_through_prestop_and_ends_by_itself(
    pod: Podman, documents: Documents, container: dict[str, Any]
) -> None:
    eventually(lambda: ready(pod), within=60, what="ready")
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    grace = only(documents, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    waiting = engine.in_background("docker", "exec", pod.container, "podman", "exec", SERVER, *command)
    while waiting.is_alive():
        assert ready(pod)
        time.sleep(0.1)
    # The kubelet's grace period counts from preStop on; who is still there at its end is killed: 137.
    left = grace - int(command[-1].split()[-1])
    stopping = engine.in_background("docker", "exec", pod.container, "podman", "stop", "-t", left, SERVER)
    eventually(lambda: b"shutting_down" in fetch(pod.port, "/health/ready")[2], within=30, every=0.05, what="drain")
    assert status(pod.port, "/health/live") == 200
    stopping.join()
    assert pod("inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}}", SERVER).stdout.split() == ["0", "false"]
    assert '"signal": "SIGTERM"' in pod.logs(SERVER)


@pytest.mark.needs("kubectl")
def test_development_overlay_becomes_ready_with_sqlite(podman: Podman, documents: Documents) -> None:
    podman.down(*documents)
    podman.play(secret(SECRET_KEY="x" * 64), *render("overlays/development"), published=True)
    eventually(lambda: ready(podman), within=60, what="ready")
    assert "pacsync.sqlite3" in podman.exec(SERVER, "ls", "/app/data").split()
