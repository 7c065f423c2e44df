"""A client for each kind of account."""

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.fixture
def staff(db: None) -> Client:
    """A browser where the staff account `ada` is logged in."""
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def reader(db: None) -> Client:
    """A browser where `vic`, who is not staff, is logged in."""
    client = Client()
    client.force_login(User.objects.create_user("vic"))
    return client
