"""Why an endpoint has its status: true of this endpoint."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from apps.fleet import endpoint_manager, reasons, status
from apps.fleet.models import Endpoint, Pool
from apps.fleet.status import EndpointStatus
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def lab() -> Pool:
    made = factories.pool("lab")
    factories.target(made, "app 2-1", "lib 2-1", "tool 2-1")
    return made


def said(name: str) -> tuple[EndpointStatus, str]:
    """The status of the endpoint, and why."""
    endpoint = Endpoint.objects.select_related("pool__target").get(name=name)
    found = status.of_one(endpoint)
    return found, reasons.why(endpoint, found, status.differences([endpoint]).get(endpoint.pk))


@pytest.mark.parametrize(
    ("packages", "found", "sentence"),
    [
        (("app 2-1", "lib 2-1", "tool 2-1"), "in_sync", "It has exactly the packages of target #1."),
        (("app 1-1", "lib 1-1"), "behind", "Compared with target #1, 2 packages are older and 1 missing."),
        (("app 3-1", "lib 2-1", "tool 2-1"), "ahead", "Compared with target #1, 1 package is newer."),
        (
            ("app 1-1", "lib 3-1", "x 1-1", "y 1-1"),
            "diverged",
            "Compared with target #1, 1 package is older, 1 newer, 1 missing and 2 not in it.",
        ),
        (
            ("app 2-1 dependency", "lib 2-1", "tool 2-1"),
            "diverged",
            "Compared with target #1, 1 package is installed for another reason.",
        ),
        (
            ("app 2-1 any", "lib 2-1", "tool 2-1"),
            "diverged",
            "Compared with target #1, 1 package is another build of the same version.",
        ),
    ],
)
def test_why_names_what_differs(lab: Pool, packages: tuple[str, ...], found: str, sentence: str) -> None:
    factories.reporting_endpoint("box", pool=lab, state=factories.state(*packages))
    assert said("box") == (found, sentence)


def test_why_unknown_in_each_case(lab: Pool, settings: Any) -> None:
    factories.reporting_endpoint("stray", state=factories.state())
    factories.reporting_endpoint("early", pool=factories.pool("bare"), state=factories.state())
    silent = factories.endpoint("silent", pool=lab)
    Endpoint.objects.filter(pk=silent.pk).update(last_seen=F("created"))
    factories.report(factories.endpoint("arm", pool=lab, arch="aarch64"), factories.state("app 1-1 aarch64"))
    blind = factories.endpoint("blind", pool=lab)
    factories.report(blind, factories.state("app 1-1"), examination=[factories.problem("database_unreadable", "core")])
    expected = {
        "stray": "It is in no pool, so there is no target to compare it with.",
        "early": "Pool bare has no target yet, so there is nothing to compare it with.",
        "silent": "It has not reported its packages yet.",
        "arm": "It is aarch64, and the target of pool lab is for x86_64. It needs a pool of its own kind.",
        "blind": "The server can't tell which of its packages are foreign. Something is wrong with core.",
    }
    assert {name: said(name) for name in expected} == {
        name: (EndpointStatus.UNKNOWN, sentence) for name, sentence in expected.items()
    }
    factories.reporting_endpoint("large", pool=lab, state=factories.state("app 1-1", "lib 2-1"))
    settings.STATE_MAX_PACKAGES = 2
    assert said("large")[1].startswith("It or the target has more than 2 packages (STATE_MAX_PACKAGES)")


def test_why_offline_tells_never_seen_from_gone(lab: Pool) -> None:
    factories.endpoint("new", pool=lab)
    factories.reporting_endpoint("gone", pool=lab, state=factories.state())
    factories.reporting_endpoint("once", pool=lab, state=factories.state())
    day = timedelta(days=1)
    Endpoint.objects.filter(name="gone").update(created=F("created") - 2 * day, last_seen=F("last_seen") - day)
    Endpoint.objects.filter(name="once").update(created=F("created") - day, last_seen=F("last_seen") - day)
    for name in ("new", "once"):
        assert said(name)[1].startswith("It enrolled and was never heard from again")
    assert said("gone")[1].startswith("It hasn't been heard from for three poll intervals")


def test_microarchitecture_level_is_the_same_architecture(lab: Pool) -> None:
    factories.report(factories.endpoint("level", pool=lab, arch="x86_64_v3"), factories.state("app 1-1"))
    assert said("level")[0] == EndpointStatus.BEHIND


def test_why_in_sync_beside_what_it_keeps_does_not_call_it_exact(lab: Pool) -> None:
    box = factories.endpoint("box", pool=lab)
    factories.report(box, factories.state("app 1-1", "lib 2-1", "tool 2-1"), holds=["app"])
    expected = "It has the packages of target #1, apart from those that are kept as they are here."
    assert said("box") == (EndpointStatus.IN_SYNC, expected)


def test_why_offline_of_one_that_is_locked_out(lab: Pool) -> None:
    box = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1"))
    endpoint_manager.revoke_token(endpoint=box, actor="user:ada")
    Endpoint.objects.update(last_seen=F("last_seen") - timedelta(days=1))
    assert said("box") == (
        EndpointStatus.OFFLINE,
        "Its token was revoked: it is locked out until it has a new one, or enrols again.",
    )
