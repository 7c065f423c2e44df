"""How many connections a worker takes, by its limit of descriptors."""

import resource

import pytest

from apps.lifecycle.gunicorn import descriptors


@pytest.mark.parametrize(
    ("limit", "expected"), [(1024, 1000), (4096, 3584), (1_048_576, 8192), (resource.RLIM_INFINITY, 8192)]
)
def test_connections_are_as_many_as_descriptors_allow(
    monkeypatch: pytest.MonkeyPatch, limit: int, expected: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert descriptors.connections() == expected
