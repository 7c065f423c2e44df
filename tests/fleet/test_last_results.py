"""The newest operation of each endpoint: asked for by its end, or read for endpoints, it is the same one."""

import random
from datetime import timedelta

import pytest

from apps.fleet import clock, last_results
from apps.fleet.filters import LAST_RESULTS
from apps.fleet.models import Endpoint, Operation, OperationStatus
from apps.fleet.models.operations import FINAL, UNHEALTHY
from tests import factories

pytestmark = pytest.mark.django_db
ENDPOINTS = 12
CODES = ("no_room", UNHEALTHY[0])


@pytest.fixture(params=range(3))
def history(request: pytest.FixtureRequest) -> dict[str, list[Operation]]:
    """Operations of each endpoint by its name, newest first; some were created in the same moment."""
    chance, now, state = random.Random(request.param), clock.now(), factories.state("app 1-1")
    found: dict[str, list[Operation]] = {}
    for number in range(ENDPOINTS):
        endpoint = factories.endpoint(f"m{number:02}")
        statuses = chance.choices(FINAL, k=chance.randrange(5))
        if chance.random() < 0.3:
            statuses.append(OperationStatus.QUEUED)
        made = [
            Operation(
                endpoint=endpoint,
                kind="sync",
                status=status,
                base_state=state,
                target_state=state,
                deadline=now,
                created=now + timedelta(seconds=chance.randrange(3)),
                result={"code": chance.choice(CODES)} if status == OperationStatus.FAILED else None,
                finished=now if status in FINAL else None,
            )
            for status in statuses
        ]
        Operation.objects.bulk_create(made)
        found[endpoint.name] = sorted(made, key=lambda one: (one.created, one.pk), reverse=True)
    return found


def words_of(final: list[Operation]) -> set[str]:
    """The words of LAST_RESULTS that hold for an endpoint with these finished operations, newest first."""
    if not final:
        return {last_results.NEVER}
    unhealthy = (final[0].result or {}).get("code") in UNHEALTHY
    return {str(final[0].status), *([last_results.HEALTH_FAILED] if unhealthy else [])}


def test_endpoints_are_found_by_how_their_newest_finished_operation_ended(history: dict[str, list[Operation]]) -> None:
    final = {name: [one for one in made if one.status in FINAL] for name, made in history.items()}
    for how in LAST_RESULTS:
        expected = [name for name, made in final.items() if how in words_of(made)]
        found = Endpoint.objects.filter(last_results.ended(how)).order_by("name")
        assert [one.name for one in found] == expected, how
    known = last_results.of(Endpoint.objects.values_list("pk", flat=True))
    assert {one.endpoint.name: one for one in known.values()} == {name: made[0] for name, made in final.items() if made}
    short = last_results.short(Endpoint.objects.values_list("pk", flat=True))
    assert short == {pk: last_results.short_of(one) for pk, one in known.items()}
    assert {one.code for one in short.values()} <= {"", *CODES}
    assert last_results.count_unhealthy() == sum(
        last_results.HEALTH_FAILED in words_of(made) for made in final.values()
    )
    wrong = [made[0].status for made in final.values() if made and made[0].status in ("failed", "lost")]
    wrong += [last_results.HEALTH_FAILED for made in final.values() if last_results.HEALTH_FAILED in words_of(made)]
    assert last_results.went_wrong(Endpoint.objects.all()) == {how: wrong.count(how) for how in set(wrong)}


def test_newest_operation_of_each_endpoint_finished_or_not(history: dict[str, list[Operation]]) -> None:
    expected = {made[0] for made in history.values() if made}
    assert set(Operation.objects.all().newest()) == expected
    failed = Operation.objects.filter(status=OperationStatus.FAILED)
    assert set(failed.newest()) == {one for one in expected if one.status == OperationStatus.FAILED}
