"""Repository analysis of a pool."""

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from apps.fleet import analysis, exceptions
from apps.fleet.analysis import VersionConflict
from apps.fleet.models import Endpoint, Pool
from tests import factories

pytestmark = pytest.mark.django_db


def machine(name: str, pool: Pool, *repositories: tuple[str, ...]) -> Endpoint:
    endpoint = factories.endpoint(name, pool=pool)
    reported = [
        factories.reported_repository(factories.repository(*offers), f"repo{number}")
        for number, offers in enumerate(repositories)
    ]
    factories.report(endpoint, factories.state("app 1-1"), *reported)
    return endpoint


def test_analyse_common_conflicting_excluded_and_unreported() -> None:
    pool = factories.pool("lab", excluded_packages=["lin*"])
    machine("m1", pool, ("app 1-1", "lib 1-1", "linux 6-1"))
    machine("m2", pool, ("app 2-1", "lib 1-1", "linux 6-1"))
    machine("m3", pool, ("app 2-1", "lib 1-1", "tool 1-1"))
    factories.endpoint("m4", pool=pool)
    found = analysis.analyse(pool=pool)
    assert (found.endpoints, found.unreported, found.target) == (["m1", "m2", "m3"], ["m4"], None)
    assert found.common == ["app", "lib"]
    assert found.conflicts == [VersionConflict(name="app", versions={"1-1": ["m1"], "2-1": ["m2", "m3"]})]
    assert found.excluded == ["linux"]


def test_analyse_first_repository_that_has_a_name_wins() -> None:
    pool = factories.pool()
    machine("m1", pool, ("app 2-1",), ("app 1-1", "lib 1-1"))
    machine("m2", pool, ("app 2-1", "lib 1-1"))
    assert analysis.analyse(pool=pool).conflicts == []


def test_analyse_target_by_what_each_endpoints_repositories_offer() -> None:
    pool = factories.pool()
    machine("m1", pool, ("app 1-1", "lib 1-1", "other 1-1"))
    machine("m2", pool, ("app 2-1",))
    factories.target(pool, "app 2-1", "lib 1-1")
    found = {one.endpoint: one for one in analysis.analyse(pool=pool).availability}
    assert (found["m1"].exact, found["m1"].other, found["m1"].missing) == (1, ["app"], [])
    assert (found["m2"].exact, found["m2"].other, found["m2"].missing) == (1, [], ["lib"])


def test_analyse_empty_pool_is_empty() -> None:
    found = analysis.analyse(pool=factories.pool())
    assert (found.endpoints, found.common, found.conflicts, found.availability) == ([], [], [], [])


def test_analyse_switched_off_is_refused(settings: Settings) -> None:
    settings.ENABLE_REPOSITORY_ANALYSIS = False
    with pytest.raises(exceptions.FeatureDisabled):
        analysis.analyse(pool=factories.pool())


def test_analyse_many_endpoints_with_equal_repositories_takes_few_queries(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    pool = factories.pool()
    for number in range(10):
        machine(f"m{number}", pool, ("app 1-1",))
    with django_assert_max_num_queries(3):
        assert len(analysis.analyse(pool=pool).endpoints) == 10
