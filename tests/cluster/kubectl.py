"""`kubectl` against one cluster. It must not know which cluster it is, nor what runs there."""

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.deploy.engine import ROOT, run
from tests.support.wait import until

Document = dict[str, Any]


class Cluster:
    """A cluster by its kubeconfig, which only the tests use. `image` is the server's, as the nodes know it."""

    def __init__(self, kubeconfig: Path, image: str, programs: Path | None = None) -> None:
        self.image = image
        path = os.pathsep.join([*([str(programs)] if programs else []), os.environ["PATH"]])
        # `kubectl diff` calls diff, and both keep what they cache in the home.
        self.environment = {"PATH": path, "HOME": os.environ["HOME"], "KUBECONFIG": str(kubeconfig)}

    def attempt(self, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        """`kubectl …`, whatever comes of it."""
        return run("kubectl", *arguments, check=False, env=self.environment, **options)

    def __call__(self, *arguments: object, **options: object) -> str:
        """`kubectl …`; its standard output. AssertionError with all that it said when it fails."""
        return run("kubectl", *arguments, env=self.environment, **options).stdout.strip()

    def shell(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command line as a page prints it, in the folder of the project."""
        return run("bash", "-euc", command, timeout=600, check=check, env=self.environment, cwd=ROOT)

    def get(self, *arguments: object) -> Document:
        """What `kubectl get … -o json` says."""
        found = json.loads(self("get", *arguments, "-o", "json"))
        assert isinstance(found, dict)
        return found

    def items(self, *arguments: object) -> list[Document]:
        """The objects that `kubectl get …` lists."""
        return list(self.get(*arguments)["items"])

    def addresses(self) -> list[str]:
        """The nodes' addresses in the cluster, in the order of their names."""
        told = [node["status"]["addresses"] for node in self.items("nodes")]
        return [one["address"] for node in told for one in node if one["type"] == "InternalIP"]

    def apply(self, *documents: Document) -> str:
        return self("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))

    def eventually(self, question: Callable[[], Any], what: str, *, within: float = 180) -> Any:
        """Wait until the answer is true, and return it. A question that kubectl can't answer now counts as not yet."""
        # Half a second: each question starts a program on a machine that also carries the cluster.
        return until(question, within, every=0.5, ignoring=(AssertionError,), otherwise=lambda: f"- {what}")


class Follower:
    """Reads the pods' changes from the API server, until `stop()`: what a pod ended with is gone with the pod."""

    def __init__(self, cluster: Cluster, namespace: str, selector: str) -> None:
        self._path = f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}"
        self._cluster, self._stopped = cluster, threading.Event()
        self._version = ""
        self._exits: dict[str, tuple[int, str] | None] = {}
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def exit_of(self, pod: str) -> tuple[int, str] | None:
        """(exit code, reason) of the server's container; None while it runs."""
        return self._exits.get(pod)

    def names(self) -> set[str]:
        """The pods that ran since it began."""
        return {*self._exits}

    def _follow(self) -> None:
        # The API server ends each watch after some time. The next one begins where it ended: no pod's end is missed.
        while not self._stopped.is_set():
            try:
                if not self._version:
                    self._list()
                with self._kubectl(f"&watch=1&resourceVersion={self._version}") as self._process:
                    assert self._process.stdout is not None
                    for line in self._process.stdout:
                        self._note(json.loads(line)["object"])
            except ValueError:  # half a line, or nothing: kubectl was ended, or the API server did not answer
                pass
            self._stopped.wait(0.5)

    def _list(self) -> None:
        """A watch that names no version would have to wait until the API server's cache is as new as its store."""
        with self._kubectl("") as self._process:
            assert self._process.stdout is not None
            listed = json.loads(self._process.stdout.read())
        for pod in listed["items"]:
            self._note({**pod, "kind": "Pod"})
        self._version = listed["metadata"]["resourceVersion"]

    def _kubectl(self, options: str) -> subprocess.Popen[str]:
        command = ["kubectl", "get", "--raw", f"{self._path}{options}"]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self._cluster.environment, text=True
        )

    def _note(self, pod: Document) -> None:
        if pod["kind"] != "Pod":  # the status that ends a watch, such as "too old resource version"
            self._version = ""
            return
        self._version = pod["metadata"]["resourceVersion"]
        for container in pod["status"].get("containerStatuses", []):
            if "running" in container["state"]:  # a pod that is deleted before that has no end
                self._exits.setdefault(pod["metadata"]["name"], None)
            if ended := container["state"].get("terminated"):
                self._exits[pod["metadata"]["name"]] = (ended["exitCode"], ended.get("reason", ""))

    def stop(self) -> None:
        self._stopped.set()
        self._process.terminate()
        self._thread.join(timeout=20)
