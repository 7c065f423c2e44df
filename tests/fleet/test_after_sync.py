"""What endpoints say is left to do after a sync: counted, filtered, and no word about them as a source."""

import pytest
from pytest_django import DjangoAssertNumQueries

from apps.fleet import after_sync, examination, pool_manager
from apps.fleet.filters import EndpointFilter
from apps.fleet.models import Endpoint
from tests import factories

pytestmark = pytest.mark.django_db


def test_left_to_do_is_counted_in_one_statement(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    pool, state = factories.pool(), factories.state("app 1-1")
    reboot, failed = factories.problem("reboot_needed", "6.1"), factories.problem("units_failed", "a.service")
    factories.reporting_endpoint("one", pool=pool, state=state, examination=[reboot, failed])
    factories.reporting_endpoint("two", pool=pool, state=state, examination=[reboot])
    factories.reporting_endpoint("other", state=state, examination=[failed])
    factories.reporting_endpoint("silent", pool=pool, state=state)
    with django_assert_num_queries(1):
        found = after_sync.counts(Endpoint.objects.filter(pool=pool))
    assert found == {"reboot_needed": 2, "services_outdated": 0, "units_failed": 1}
    names = EndpointFilter(after_sync="units_failed").rows().order_by("name").values_list("name", flat=True)
    assert list(names) == ["one", "other"]


@pytest.mark.parametrize("code", after_sync.LEFT_TO_DO)
def test_left_to_do_is_no_obstacle_and_no_warning_for_a_source(code: str) -> None:
    pool, found = factories.pool(), [factories.problem(code, "x")]
    box = factories.reporting_endpoint(pool=pool, state=factories.state("app 1-1"), examination=found)
    assert examination.of(box) == examination.Examination(left_to_do=tuple(found))
    assert pool_manager.set_target(pool=pool, endpoint=box, actor="test")[1]
