"""What the tests in a cluster share: the cluster, PacSync in it, and requests to it."""

from collections.abc import Iterator

import pytest

from tests.cluster import which
from tests.cluster.database import Database
from tests.cluster.kubectl import Cluster
from tests.cluster.service import Installation, Service, remove, token_of
from tests.cluster.traffic import POOL, Traffic
from tests.deploy.conftest import figures, unavailable  # noqa: F401 - a fixture
from tests.support.isolation import run_folder

MAKE_POOL = f"from apps.fleet import pool_manager; pool_manager.create_pool(name={POOL!r}, actor='test')"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster without PacSync; what the tests make in it is removed at the end."""
    with which.cluster() as found:
        remove(found)
        yield found


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Iterator[tuple[Service, Installation]]:
    """PacSync as the page installs it, and what was seen meanwhile."""
    made = Service(cluster, Database(cluster), run_folder())
    try:
        yield made, made.install()
    finally:
        made.remove()


@pytest.fixture(scope="session")
def installation(installed: tuple[Service, Installation]) -> Installation:
    return installed[1]


@pytest.fixture
def service(installed: tuple[Service, Installation]) -> Service:
    """PacSync with all of its pods ready."""
    installed[0].settle()
    return installed[0]


@pytest.fixture(scope="session")
def metrics(cluster: Cluster) -> None:
    """The figures of pods, which a cluster of our own has and others may lack."""
    if cluster.attempt("get", "--raw", "/apis/metrics.k8s.io/v1beta1").returncode:
        unavailable("the cluster has no metrics-server")


@pytest.fixture(scope="session")
def traffic(installed: tuple[Service, Installation]) -> Traffic:
    """Requests with an operator's token, which the page's command makes, and a pool that they change."""
    service = installed[0]
    token = token_of(service.follow("create_api_token", NAME="load").stdout)
    service.in_pod(MAKE_POOL)
    return Traffic(service.cluster, token, service.cluster.addresses()[0])
