"""How far ahead of the clock a report's number counts."""

import importlib
import time
from typing import Any

import pytest
from django.apps import apps

from apps.fleet import report_numbers
from apps.fleet.models import Endpoint, EndpointState
from tests import factories

pytestmark = pytest.mark.django_db


def now() -> int:
    return int(time.time() * 1000)


def test_bounded_number_that_is_not_ahead_stays_without_a_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert [report_numbers.bounded(number) for number in (1, now() + 60_000)] == [
            1,
            pytest.approx(now() + 60_000, abs=9999),
        ]


@pytest.mark.parametrize("ahead", [3600 * 1000, 2**62])
def test_bounded_number_far_ahead_counts_as_ten_minutes_ahead(ahead: int) -> None:
    before = now()
    assert before + 590_000 <= report_numbers.bounded(before + ahead) <= now() + 610_000


def test_report_with_a_clock_years_ahead_is_recorded_each_time() -> None:
    """Its numbers grow, and so does the highest number that counts."""
    endpoint = factories.endpoint()
    years = now() + 10**12
    for number, text in enumerate(("app 1-1", "app 2-1", "app 3-1")):
        time.sleep(0.002)
        assert factories.report(endpoint, factories.state(text), seq=years + number).recorded
    assert endpoint.history.count() == 3
    assert endpoint.report_seq < now() + 700_000


def test_result_of_an_operation_counts_no_higher_either() -> None:
    operation = factories.applying()
    endpoint = operation.endpoint
    endpoint.report_seq = 2**62
    endpoint.save()
    factories.finish(operation)
    endpoint.refresh_from_db()
    assert endpoint.report_seq == 2**62  # it was there before; nothing higher came in
    assert endpoint.history.order_by("-seq").first().seq < now() + 700_000  # type: ignore[union-attr]


def test_migration_brings_numbers_within_reach_and_keeps_the_order() -> None:
    """What the release before let in: a thief's number, with the real machine's entries below it."""
    ahead, other = factories.endpoint(), factories.endpoint()
    texts = ("app 1-1", "app 2-1", "bad 1-1")
    for endpoint, numbers in ((ahead, (5, now(), 2**63 - 1)), (other, (5, 7, now()))):
        for number, text in zip(numbers, texts, strict=True):
            state, cause = factories.state(text), EndpointState.Cause.REPORT
            EndpointState.objects.create(endpoint=endpoint, seq=number, state=state, cause=cause)
        Endpoint.objects.filter(pk=endpoint.pk).update(report_seq=numbers[-1])
    kept = list(other.history.order_by("seq").values_list("seq", flat=True))
    importlib.import_module("apps.fleet.migrations.0019_report_numbers").within_reach(apps, None)
    assert list(ahead.history.order_by("seq").values_list("seq", "state")) == [
        (place, factories.state(text).pk) for place, text in enumerate(texts, start=1)
    ]
    assert list(other.history.order_by("seq").values_list("seq", flat=True)) == kept
    assert factories.report(ahead, factories.state("app 1-1"), seq=now() + 1000).recorded
