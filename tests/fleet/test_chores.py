"""The chores of the fleet are registered, and each works the way the lifecycle runs it."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.fleet import leases, retention
from apps.fleet.models import Operation, State
from apps.lifecycle.work import loops
from apps.lifecycle.work.chores import run_exclusively
from tests import factories


def test_chores_are_registered_at_start() -> None:
    assert {"chore:expire_leases", "chore:retention"} <= loops._state.loops.keys()


@pytest.mark.django_db(transaction=True)
def test_chores_run_exclusively_do_their_work() -> None:
    operation = factories.leased()
    Operation.objects.update(lease_until=Now() - timedelta(seconds=1))
    factories.state("gone 1-1")
    State.objects.update(created=Now() - timedelta(days=2))
    assert run_exclusively("expire_leases", leases.expire_leases)
    assert run_exclusively("retention", retention.clean)
    operation.refresh_from_db()
    assert operation.status == "queued" and State.objects.count() == 2
