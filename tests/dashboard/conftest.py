"""A client for each kind of account, a pool with a machine, and one with several."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client

from apps.fleet import sync_coordinator
from apps.fleet.models import Endpoint, Pool, Role
from tests import factories


@pytest.fixture
def staff(db: None) -> Client:
    """A browser where `ada` is logged in, who may do everything."""
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def reader(db: None) -> Client:
    """A browser where `vic`, a viewer, is logged in."""
    client = Client()
    client.force_login(factories.account("vic", Role.VIEWER))
    return client


@pytest.fixture
def pool(db: None) -> Pool:
    """Pool `lab`, target #1 is `app 2-1`, and its endpoint `box` has `app 1-1`."""
    made = factories.pool("lab")
    factories.reporting_endpoint("box", pool=made, state=factories.state("app 1-1"))
    factories.target(made, "app 2-1")
    return made


@pytest.fixture
def lab(db: None) -> Pool:
    """`box` is behind and its sync was cancelled, `gone` was last seen nine days ago, `stray` is in no pool."""
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1")
    Endpoint.objects.update(name="source")
    box = factories.reporting_endpoint("box", pool=pool, state=factories.state("app 1-1", "openssl 3-1"))
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="user:ada")
    sync_coordinator.cancel(operation=operation, actor="user:ada")
    factories.reporting_endpoint("gone", pool=pool, state=factories.state("app 2-1"))
    Endpoint.objects.filter(name="gone").update(last_seen=F("last_seen") - timedelta(days=9), agent_version="0.9")
    factories.reporting_endpoint("stray", state=factories.state("app 1-1"))
    return pool
