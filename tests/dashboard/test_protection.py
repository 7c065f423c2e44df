"""Machines that would refuse a sync, on their own page, before all are synced, and before a target is set."""

import pytest
from django.test import Client

from apps.fleet.models import Endpoint
from apps.fleet.protection import ProtectedPackages
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def box() -> Endpoint:
    """`box` of the pool `lab` has `grub`, and the target hasn't."""
    lab = factories.pool("lab")
    made = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1", "grub 1-1"))
    factories.target(lab, "app 2-1")
    guarded = ProtectedPackages(
        role="boot_loader", why="the <b>last</b> boot loader", names=["grub"], needs="one", instead=[]
    )
    Endpoint.objects.filter(pk=made.pk).update(protected=[guarded], foreign=[])
    return made


@pytest.mark.parametrize("path", ["/endpoints/box", "/pools/lab/sync"])
def test_machine_that_would_refuse_is_named_with_the_package(staff: Client, box: Endpoint, path: str) -> None:
    found = staff.get(path).content.decode()
    assert "would refuse" in found and "<code>grub</code> (the &lt;b&gt;last&lt;/b&gt; boot loader)" in found
    Endpoint.objects.filter(pk=box.pk).update(protected=None)
    assert "would refuse" not in staff.get(path).content.decode()


def test_set_target_names_the_machines_that_would_refuse_it(staff: Client, box: Endpoint) -> None:
    assert box.pool
    factories.reporting_endpoint("bare", pool=box.pool, state=factories.state("app 3-1"))
    found = staff.get("/pools/lab/target/bare").content.decode()
    assert "1 endpoint would refuse it." in found and ">box</a> would lose" in found
    assert "would refuse" not in staff.get("/pools/lab/target/box").content.decode()
