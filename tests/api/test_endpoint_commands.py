"""`manage.py endpoints`: the list, and one endpoint; as text, and as JSON that says the same as the API."""

import pytest

from apps.fleet import clock
from apps.fleet.models import Endpoint, EndpointState
from tests import factories
from tests.api.commands import document, said

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kept_connection")]


def test_endpoints_lists_those_of_a_pool_with_a_status() -> None:
    operation = factories.queued()
    behind = operation.endpoint
    assert behind.pool
    listed = document("endpoints", "--pool", behind.pool.name)["endpoints"]
    assert {one["name"]: one["status"] for one in listed}[behind.name] == "behind"
    assert len(listed) == 2
    assert [one["name"] for one in document("endpoints", "--status", "behind")["endpoints"]] == [behind.name]
    assert document("endpoints", "--pool", "-") == {"endpoints": []}
    lines = said("endpoints", "--status", "behind").splitlines()
    assert lines[0].split()[:3] == ["NAME", "POOL", "STATUS"]
    assert lines[1].split()[:3] == [behind.name, behind.pool.name, "behind"]


def test_endpoints_one_with_its_packages() -> None:
    made = factories.reporting_endpoint("m1", state=factories.state("app 1.0-1", "lib 2.0-1 dependency"))
    found = document("endpoints", made.name, "--packages")
    assert (found["name"], found["status"]) == ("m1", "unknown")
    assert [(one["name"], one["version"], one["reason"]) for one in found["packages"]] == [
        ("app", "1.0-1", "explicit"),
        ("lib", "2.0-1", "dependency"),
    ]
    assert said("endpoints", "m1", "--packages").splitlines()[1].split() == ["app", "1.0-1", "x86_64", "explicit"]


def test_endpoints_one_since_tells_what_changed() -> None:
    made = factories.reporting_endpoint("m1", state=factories.state("app 1.0-1", "old 1-1"))
    EndpointState.objects.update(at=clock.now().replace(year=2020))
    factories.report(made, factories.state("app 2.0-1", "new 1-1"))
    (entry,) = document("endpoints", "m1", "--since", "2021-01-01")["history"]
    assert {one["name"]: one["change"] for one in entry["changes"]} == {
        "app": "upgrade",
        "new": "install",
        "old": "remove",
    }
    assert len(document("endpoints", "m1", "--since", "2019-01-01T10:00+02:00")["history"]) == 2
    text = said("endpoints", "m1", "--since", "2021-01-01")
    assert "1.0-1 -> 2.0-1" in text and "reported: 3 packages changed" in text
    assert "Nothing changed" in said("endpoints", "m1", "--since", "2999-01-01")


def test_endpoints_one_says_that_its_sync_failed_and_that_automatic_sync_rests() -> None:
    operation = factories.queued(auto_sync=True)
    made = operation.endpoint
    assert said("endpoints", made.name).count("\n") == 2
    assert made.pool
    factories.finish(factories.applying(operation), operation.base_state, "failed", "package_unavailable")
    name, _, failed, rests = said("endpoints", made.name).splitlines()
    assert name == f"{made.name} is behind, in pool {made.pool.name}."
    assert failed.startswith("Its last sync failed at ") and failed.endswith(
        f"(operation {operation.pk}): It was package_unavailable."
    )
    assert rests.startswith("Automatic sync rests since ") and "because the last sync to this target failed." in rests


def test_endpoints_one_in_no_pool_at_its_first_report() -> None:
    factories.reporting_endpoint("m1", state=factories.state("app 1-1"))
    assert said("endpoints", "m1").splitlines()[0] == "m1 is unknown, in no pool."
    assert said("endpoints", "m1", "--since", "2020-01-01").rstrip().endswith("reported: its first report")
    EndpointState.objects.update(seq=7)
    assert "what it had before is not kept" in said("endpoints", "m1", "--since", "2020-01-01")


def test_endpoints_takes_the_words_of_the_api() -> None:
    pool = factories.pool("web")
    for name, version in (("web-1", "1.0-1"), ("web-2", "2.0-1")):
        factories.reporting_endpoint(name, pool=pool, state=factories.state(f"app {version}", f"only-{name} 1-1"))
    Endpoint.objects.filter(name="web-2").update(agent_version="2.0", last_seen=clock.now().replace(year=2020))

    def names(*options: str) -> list[str]:
        return [one["name"] for one in document("endpoints", *options)["endpoints"]]

    assert names("--sort=-name") == ["web-2", "web-1"]
    assert names("--reverse") == names("--sort", "name", "--reverse") == ["web-2", "web-1"]
    assert names("--sort", "last_seen") == names("--sort=-last_seen", "--reverse") == ["web-2", "web-1"]
    assert names("--sort=-last_seen") == names("--sort", "last_seen", "--reverse") == ["web-1", "web-2"]
    assert names("--part", "EB-2") == names("--package", "only-web-2") == names("--agent-version", "2.0") == ["web-2"]
    assert names("--seen-before", "2021-01-01") == ["web-2"] and names("--seen-after", "2021-01-01") == ["web-1"]
    assert names("--files-differ") == names("--resting") == names("--after-sync", "reboot_needed") == []
    differs = [factories.problem("files_differ", "/usr/bin/app"), factories.problem("reboot_needed", "6.1")]
    factories.report(Endpoint.objects.get(name="web-1"), factories.state("app 1.0-1"), examination=differs)
    assert names("--files-differ") == names("--after-sync", "reboot_needed") == ["web-1"]
    assert said("endpoints", "web-1").splitlines()[0] == "web-1 is unknown, in pool web."
    assert names("--last-result", "never") == ["web-1", "web-2"] and names("--last-result", "failed") == []
