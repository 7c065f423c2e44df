"""No cluster is used by accident: only one that is named by its context, and that is empty."""

from pathlib import Path

import pytest

from tests.cluster import which
from tests.cluster.service import Service

CONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: production, context: {cluster: c, user: u}}]
current-context: production
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    path.write_text(CONFIG)
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def test_kubeconfig_without_a_named_context_is_not_used(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PACSYNC_CLUSTER", raising=False)
    assert which.is_own()


def test_context_without_a_kubeconfig_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACSYNC_CLUSTER", "production")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(pytest.exit.Exception, match="KUBECONFIG names no file"):
        which.named()


@pytest.mark.needs("kubectl")
def test_context_that_is_not_in_the_kubeconfig_is_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACSYNC_CLUSTER", "test")
    with pytest.raises(pytest.exit.Exception, match="has no context 'test'"):
        which.named()
    assert config.read_text() == CONFIG


def test_cluster_that_is_in_use_is_refused(service: Service) -> None:
    with pytest.raises(pytest.exit.Exception, match=r"'busy' is in use \(namespaces pacman-sync, pacsync-test\)"):
        which.refuse_unless_empty(service.cluster, "busy")
