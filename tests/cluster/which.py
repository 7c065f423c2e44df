"""Which cluster the tests use: an empty one that the caller names, or one of our own on this machine.

The tests delete pods and drain nodes. So a cluster of somebody else's is used only if PACSYNC_CLUSTER names its
context, and only if nothing runs in it. It must not know what is tested.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kubectl import Cluster
from tests.deploy import engine
from tests.deploy.conftest import unavailable
from tests.deploy.engine import ROOT, run
from tests.support.isolation import run_folder

IMAGE = "pacman-sync-utility:1.0.0"  # as the manifests name it
# The script of a cluster made of Go modules and Debian's packages, if there is one beside the project.
SCRIPT = ROOT.parent / "shared/cluster/cluster.sh"
NETWORK = Path("/run/netns/pacsync-cluster")
OF_THE_SYSTEM = {"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}
OURS = ("pacman-sync", "pacsync-test")


def family() -> str:
    """Of the addresses in a cluster of our own: "4", or "6" for IPv6 alone."""
    return os.environ.get("PACSYNC_CLUSTER_FAMILY", "4")


def is_own() -> bool:
    """Whether the run is to use a cluster of this machine."""
    return not os.environ.get("PACSYNC_CLUSTER")


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """The cluster for this run. Skips with a line that says what is missing."""
    if not is_own():
        yield named()
        return
    if reason := problem():
        unavailable(reason)
    with own() as found:
        yield found


def named() -> Cluster:
    """The cluster of the context PACSYNC_CLUSTER in KUBECONFIG. The run ends if anything else is in it."""
    if shutil.which("kubectl") is None:
        refuse("There is no kubectl: apt-get install kubernetes-client")
    context, config = os.environ["PACSYNC_CLUSTER"], os.environ.get("KUBECONFIG", "")
    if not config:
        refuse("PACSYNC_CLUSTER is the name of a context, but KUBECONFIG names no file with contexts")
    # A copy: the commands of the documents set the namespace of the context.
    copy = run_folder() / "kubeconfig"
    view = ("config", "view", "--minify", "--flatten", "--raw", "--context", context)
    shown = run("kubectl", *view, check=False, env={"PATH": os.environ["PATH"], "KUBECONFIG": config})
    if shown.returncode:
        refuse(f"KUBECONFIG={config} has no context {context!r} (PACSYNC_CLUSTER): {shown.stderr.strip()}")
    copy.touch(0o600)
    copy.write_text(shown.stdout)
    found = Cluster(copy, os.environ.get("PACSYNC_CLUSTER_IMAGE", IMAGE))
    refuse_unless_empty(found, context)
    return found


def refuse_unless_empty(found: Cluster, context: str) -> None:
    pods = {pod["metadata"]["namespace"] for pod in found.items("pods", "--all-namespaces")} - OF_THE_SYSTEM
    made = {namespace["metadata"]["name"] for namespace in found.items("namespaces")} & {*OURS}
    if used := sorted(pods | made):
        refuse(
            f"the cluster {context!r} is in use (namespaces {', '.join(used)}), and the tests drain nodes. "
            "Name an empty one, such as a new one of kind or minikube"
        )


def refuse(reason: str) -> None:
    pytest.exit(f"{reason}.", returncode=1)


def folder() -> Path:
    """Where the script keeps what it built, and the cluster that runs."""
    return Path(os.environ.get("CLUSTER_DIR", "/var/tmp/pacsync-cluster"))


def problem() -> str | None:
    """Why this machine can have no cluster of its own; None if it can."""
    if not SCRIPT.exists():
        return "no cluster: PACSYNC_CLUSTER names no context, and ../shared/cluster/cluster.sh is not there"
    if os.geteuid() != 0:
        return "no cluster: only root can start one with ../shared/cluster/cluster.sh"
    if not (folder() / "images.tar").exists():
        return "no cluster: nothing is built yet; `.ci/cluster build` does it (12 minutes or more, once)"
    if NETWORK.exists() and not running():
        return f"no cluster: {NETWORK} belongs to another one than CLUSTER_DIR={folder()}; `cluster.sh down` ends it"
    if running() and ("://[" in (folder() / "run/admin.conf").read_text()) != (family() == "6"):
        return "no cluster: the one that runs has addresses of the other family; `cluster.sh down` ends it"
    return engine.problem()


def running() -> bool:
    """Whether the cluster of this folder was started already."""
    process = folder() / "run/apiserver.pid"
    return process.exists() and Path(f"/proc/{process.read_text().strip()}").exists()


def bash(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """`bash …` with what the script needs."""
    path = f"{os.environ['PATH']}:/usr/local/go/bin:/usr/sbin:/sbin"
    environment = {**os.environ, "PATH": path, "CLUSTER_DIR": str(folder()), "FAMILY": family()}
    return run("bash", *arguments, env=environment, timeout=1800, **options)


@contextlib.contextmanager
def own() -> Iterator[Cluster]:
    """A cluster of two nodes (of IPv6: one) with the image of this checkout. One that ran before goes on running."""
    ran = running()
    try:
        bash(SCRIPT, "up")
        if family() == "4":
            bash(SCRIPT, "node2")
        engine.build("production", engine.IMAGE)
        # The nodes can pull nothing.
        bash("-euo", "pipefail", "-c", f"docker save {engine.IMAGE} {engine.POSTGRES} | bash {SCRIPT} load")
        kubeconfig = Path(shutil.copy(folder() / "run/admin.conf", run_folder() / "kubeconfig"))
        yield Cluster(kubeconfig, engine.IMAGE, folder() / "bin")
    finally:
        run("docker", "rmi", "-f", "--no-prune", engine.IMAGE, check=False)
        if not ran:
            bash(SCRIPT, "down", check=False)


def start_controller() -> None:
    """Traefik for Ingress and Gateway, until the cluster of our own ends."""
    bash(SCRIPT, "ingress")


@contextlib.contextmanager
def policies_enforced() -> Iterator[None]:
    """A cluster of our own enforces NetworkPolicy for the time of the block; another does as it always does."""
    if not is_own():
        yield
        return
    bash(SCRIPT, "netpol")
    try:
        yield
    finally:
        bash(SCRIPT, "netpol-off")
