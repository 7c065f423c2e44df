"""PacSync in the cluster: installed as the page says, looked at, and brought back to two ready pods after a test."""

import contextlib
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster import database
from tests.cluster.database import Database
from tests.cluster.kubectl import Cluster, Document, Follower
from tests.cluster.page import printed
from tests.cluster.which import IMAGE, OURS
from tests.deploy.manifests import KUBERNETES

NAMESPACE, NAME = "pacman-sync", "pacman-sync-utility"
SELECTOR = f"app.kubernetes.io/name={NAME}"
MIGRATE = ("-c", "migrate")


def named(pod: Document) -> str:
    return str(pod["metadata"]["name"])


def is_ready(pod: Document) -> bool:
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and not is_ending(pod)


def is_ending(pod: Document) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def restarts(pod: Document) -> int:
    return sum(container["restartCount"] for container in pod["status"].get("containerStatuses", []))


@dataclass
class Installation:
    """What was seen while the page's commands were followed."""

    applied: subprocess.CompletedProcess[str]
    waits_for_secret: str
    waits_for_database: str
    restarts: list[int]


class Service:
    """The Deployment and all around it, applied from a copy of the single file that names the image of the test."""

    name = NAME

    def __init__(self, cluster: Cluster, postgresql: Database, folder: Path) -> None:
        self.cluster, self.database = cluster, postgresql
        self.manifest = folder / "deployment.yaml"
        text = (KUBERNETES / "deployment.yaml").read_text()
        assert text.count(f" {IMAGE}\n") == 1
        self.manifest.write_text(text.replace(f" {IMAGE}\n", f" {cluster.image}\n"))
        self.follower: Follower | None = None

    def follow(self, part: str, **values: str) -> subprocess.CompletedProcess[str]:
        """Run the page's command that contains `part`, on our copy of the file."""
        command = printed(part, **values)
        return self.cluster.shell(command.replace("deploy/kubernetes/deployment.yaml", shlex.quote(str(self.manifest))))

    def install(self) -> Installation:
        """By the page, with PostgreSQL started last; returns when two pods are ready."""
        applied = self.follow("kubectl apply -f")
        self.follow("kubectl config set-context")
        self.follower = Follower(self.cluster, NAMESPACE, SELECTOR)
        secret = self.cluster.eventually(self._missing_secret, "a pod that waits for its secret")
        parts = {"USER": database.USER, "PASSWORD": database.PASSWORD, "HOST": database.HOST, "DATABASE": database.NAME}
        self.follow("kubectl create secret generic", **parts)
        said = self.cluster.eventually(self._waits, "a pod that waits for the database")
        self.database.start()
        self.until_settled()
        return Installation(applied, secret, said, [restarts(pod) for pod in self.pods()])

    def _missing_secret(self) -> str:
        states = [
            container["state"].get("waiting", {})
            for pod in self.all_pods()
            for container in pod["status"].get("initContainerStatuses", [])
        ]
        return next((f"{one['reason']}: {one['message']}" for one in states if "secret" in one.get("message", "")), "")

    def _waits(self) -> str:
        logs = [self.cluster("logs", named(pod), *MIGRATE) for pod in self.all_pods()]
        return next((log for log in logs if "waiting up to 600 s" in log), "")

    def apply_with(self, *components: str) -> None:
        """`kubectl apply -k` of the base with these components and the image of the test, as the page shows it."""
        folder = self.manifest.parent / "kustomization"
        folder.mkdir(exist_ok=True)
        parts = ("base", *(f"components/{name}" for name in components))
        base, *named = (os.path.relpath(KUBERNETES / part, folder) for part in parts)
        name, _, tag = self.cluster.image.rpartition(":")
        image = {"name": IMAGE.partition(":")[0], "newName": name, "newTag": tag}
        kustomization = {"kind": "Kustomization", "resources": [base], "components": named, "images": [image]}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        self.cluster("apply", "-k", folder)

    def in_pod(self, program: str) -> str:
        """What a Python program prints that runs in a pod, with Django."""
        command = ("python", "manage.py", "shell", "--no-imports", "-v0", "-c", program)
        return self.cluster("exec", f"deploy/{NAME}", "--", *command)

    def all_pods(self) -> list[Document]:
        """Also those that end."""
        return self.cluster.items("pods", "-l", SELECTOR)

    def pods(self) -> list[Document]:
        return [pod for pod in self.all_pods() if not is_ending(pod)]

    def deployment(self) -> Document:
        return self.cluster.get("deployment", NAME)

    def revision(self) -> str:
        return str(self.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"])

    def settled(self) -> bool:
        """All pods that should be there are ready and of the newest revision, and none is ending."""
        deployment, pods = self.deployment(), self.all_pods()
        wanted = deployment["spec"]["replicas"]
        seen = deployment["status"].get("observedGeneration") == deployment["metadata"]["generation"]
        updated = deployment["status"].get("updatedReplicas") == wanted
        return wanted >= 2 and seen and updated and len(pods) == wanted and all(map(is_ready, pods))

    def until_settled(self) -> None:
        self.cluster.eventually(self.settled, "all pods ready", within=600)

    def settle(self) -> None:
        """As after the installation, whatever a test has left."""
        for node in self.cluster.items("nodes"):
            if node["spec"].get("unschedulable"):
                self.cluster("uncordon", named(node))
        self.database.recover()
        self.follow("kubectl apply -f")
        self.scale(2)
        self.until_settled()

    def scale(self, pods: int) -> None:
        self.cluster("scale", "deployment", NAME, f"--replicas={pods}")

    def until_ready(self, pods: int) -> None:
        self.cluster.eventually(lambda: len([*filter(is_ready, self.pods())]) >= pods, f"{pods} ready pods", within=300)

    def stop_all(self) -> None:
        """No pod is left; the autoscaler is paused."""
        self.follow("kubectl scale")
        self.cluster("wait", "--for=delete", "pod", "-l", SELECTOR, "--timeout=120s", timeout=150)

    @contextlib.contextmanager
    def another_database(self) -> Iterator[None]:
        """An empty database for the time of the block, without a pod at first; then the backup of the other again."""
        self.stop_all()
        self.database.dump()
        self.database.make_empty()
        try:
            yield
        finally:
            self.stop_all()
            self.database.make_empty()
            self.database.restore()

    @contextlib.contextmanager
    def ends_are_clean(self) -> Iterator[None]:
        """AssertionError unless each pod that is gone after the block has ended by itself: exit code 0."""
        assert self.follower is not None
        before = self._gone()
        yield
        self.until_settled()
        gone, exit_of = self._gone() - before, self.follower.exit_of
        assert gone, "no pod has ended"
        self.cluster.eventually(lambda: all(map(exit_of, gone)), f"the exit codes of {gone}", within=60)
        assert {pod: exit_of(pod) for pod in gone} == dict.fromkeys(gone, (0, "Completed"))

    def _gone(self) -> set[str]:
        assert self.follower is not None
        return self.follower.names() - {named(pod) for pod in self.all_pods()}

    def remove(self) -> None:
        if self.follower:
            self.follower.stop()
        remove(self.cluster)


def remove(cluster: Cluster) -> None:
    """Delete what the tests make in a cluster."""
    cluster("delete", "namespace", *OURS, "--ignore-not-found", "--timeout=180s", timeout=200)


def token_of(said: str) -> str:
    """The last word: what a management command prints that makes a credential."""
    return said.split()[-1]
