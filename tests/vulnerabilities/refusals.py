"""Asks for the list, and checks that a refusal changes nothing of the list before. It must not know who answers."""

import pytest

from apps.vulnerabilities import fetching, tracker_list
from apps.vulnerabilities.exceptions import ListRefused
from apps.vulnerabilities.models import Advisory, AdvisoryPackage


def refused(code: str) -> ListRefused:
    """Fetching is refused with this code, everything of the list before stays, and the failure is stored."""
    before = tracker_list.current()
    advisories = list(Advisory.objects.order_by("name").values_list("pk", "name"))
    packages = AdvisoryPackage.objects.count()
    with pytest.raises(ListRefused) as caught:
        fetching.fetch_now()
    assert caught.value.code == code, caught.value
    known = tracker_list.current()
    assert (known.generation, known.digest, known.as_of) == (before.generation, before.digest, before.as_of)
    assert list(Advisory.objects.order_by("name").values_list("pk", "name")) == advisories
    assert AdvisoryPackage.objects.count() == packages
    assert known.is_failing and (known.failure_code, known.failure) == (code, str(caught.value))
    return caught.value
