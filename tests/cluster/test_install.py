"""The single file, applied to a real cluster: what the API server, the scheduler and the kubelet make of it."""

import json

import pytest

from tests.cluster.service import NAMESPACE, Installation, Service, named, restarts
from tests.cluster.traffic import restricted

pytestmark = [pytest.mark.timeout(900), pytest.mark.ipv6]


def test_file_applied_as_it_is_makes_everything_without_a_warning(installation: Installation) -> None:
    assert installation.applied.stderr == ""
    assert [line.split()[-1] for line in installation.applied.stdout.splitlines()] == ["created"] * 9


def test_pod_without_its_secret_says_so_and_continues_by_itself(installation: Installation) -> None:
    said = 'CreateContainerConfigError: secret "pacman-sync-utility-secrets" not found'
    assert installation.waits_for_secret == said
    assert installation.restarts == [0, 0]


def test_pod_without_its_database_waits_and_then_migrates(installation: Installation, service: Service) -> None:
    assert "waiting up to 600 s for it to answer" in installation.waits_for_database
    assert int(service.database.sql("SELECT count(*) FROM django_migrations")) > 0


def test_file_applied_again_changes_nothing(service: Service) -> None:
    """By the client, by the server, and by the client again, as people and tools mix them."""
    revision, count = service.revision(), len(service.pods())
    for options in ((), ("--server-side",), ()):
        assert service.cluster.attempt("diff", "-f", service.manifest).stdout == ""
        applied = service.cluster.attempt("apply", "-f", service.manifest, *options)
        assert (applied.returncode, applied.stderr) == (0, "")
    assert service.cluster.attempt("diff", "-f", service.manifest).returncode == 0
    assert (service.revision(), len(service.pods())) == (revision, count)


def test_pod_that_wants_more_rights_is_refused_by_the_namespace(service: Service) -> None:
    plain = restricted("plain", service.cluster.image, NAMESPACE, "true")
    del plain["spec"]["containers"][0]["securityContext"]
    refused = service.cluster.attempt("apply", "-f", "-", input=json.dumps(plain))
    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted' in refused.stderr


@pytest.mark.long
def test_pods_that_start_at_once_on_an_empty_database_migrate_once(service: Service) -> None:
    with service.another_database():
        service.scale(4)
        service.until_settled()
        logs = [service.cluster("logs", named(pod), "-c", "migrate") for pod in service.pods()]
        assert [restarts(pod) for pod in service.pods()] == [0] * 4
    assert len(logs) == 4
    assert len([log for log in logs if "the schema is up to date" in log]) == 3


@pytest.mark.long
def test_backup_is_restored_as_the_page_says(service: Service) -> None:
    changes = "SELECT count(*) FROM django_migrations"
    before = service.database.sql(changes)
    with service.another_database():
        pass
    service.settle()
    assert service.database.sql(changes) == before
    assert {restarts(pod) for pod in service.pods()} == {0}
