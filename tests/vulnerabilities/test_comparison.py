"""What is affected: the rule, the chore, and that nobody is called unaffected who isn't compared."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import F
from django.test import override_settings
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from apps.fleet import retention
from apps.fleet.alpm.version import vercmp
from apps.fleet.models import Endpoint, PackageVersion, State
from apps.lifecycle.work import loops
from apps.lifecycle.work.chores import run_exclusively
from apps.vulnerabilities import comparison, findings, selection
from apps.vulnerabilities.models import StateVulnerabilities
from apps.vulnerabilities.selection import LEVELS, Selection
from apps.vulnerabilities.severity import WORDS, Severity
from tests import factories
from tests.vulnerabilities.lists import COPY, URL, entry, store, store_and_compare


def counts(**numbers: int) -> dict[str, int]:
    return dict.fromkeys(LEVELS, 0) | numbers


def test_chores_are_registered_at_start() -> None:
    assert {"chore:vulnerability_list", "chore:vulnerabilities"} <= loops._state.loops.keys()


def test_endpoints_count_by_their_worst_severity(tracker: None) -> None:
    store(*json.loads(COPY.read_text()))
    for name, packages in {
        "worst": ["openssl 3.0.1-1", "xz 5.6.0-1", "vim 9.0-1"],
        "fixed": ["openssl 3.0.2-1", "log4j 1-1"],
        "none": ["linux 6.1-1"],
        "unknown": ["perl-image-exiftool 13-1"],
        "epoch": ["libressl-git 3.0-1"],
    }.items():
        factories.reporting_endpoint(name, state=factories.state(*packages))
    factories.endpoint("silent")
    assert selection.summary().endpoints == counts(not_compared=5, unreported=1)
    assert not selection.summary().is_known
    assert comparison.compare() == 5
    # `fixed` has AVG-2749 of openssl, which has no fix; `epoch` has an epoch of 0, and the fix has 1.
    assert selection.summary().endpoints == counts(critical=1, low=2, unknown=1, none=1, unreported=1)
    assert selection.summary().is_known and selection.summary().affected(Severity.LOW) == 3
    assert comparison.compare() == 0


def test_advisory_counts_once_for_a_state_that_has_two_of_its_packages(tracker: None) -> None:
    state = factories.state("openssl 1-1", "lib32-openssl 1-1")
    factories.reporting_endpoint(state=state)
    store_and_compare(entry(1, "openssl", "lib32-openssl", fixed="2-1"), entry(2, "openssl", severity="Low"))
    row = StateVulnerabilities.objects.get()
    assert (row.state_id, row.worst, row.high, row.low, row.critical) == (state.digest, Severity.HIGH, 1, 1, 0)
    (first, second) = findings.in_fleet(Selection())
    assert first.advisory.name == "AVG-1" and first.endpoints == 1
    assert first.packages == {"openssl": {"1-1"}, "lib32-openssl": {"1-1"}}
    assert second.advisory.name == "AVG-2"


def test_new_list_means_not_compared_until_it_is_compared(tracker: None) -> None:
    state = factories.state("app 1-1")
    factories.reporting_endpoint(state=state)
    store_and_compare(entry(1, "app"))
    assert selection.summary().endpoints == counts(high=1)
    store(entry(1, "app", fixed="1-1"))
    assert selection.summary().endpoints == counts(not_compared=1)
    assert findings.in_fleet(Selection()) == [] and findings.in_state(state.digest) is None
    comparison.compare()
    assert selection.summary().endpoints == counts(none=1)
    assert findings.in_state(state.digest) == []


def test_same_list_again_keeps_what_is_compared(tracker: None) -> None:
    factories.reporting_endpoint(state=factories.state("app 1-1"))
    store_and_compare(entry(1, "app"))
    store(entry(1, "app"))
    assert selection.summary().endpoints == counts(high=1)


def test_check_in_with_a_new_state_is_not_compared_by_it(tracker: None) -> None:
    endpoint = factories.reporting_endpoint(state=factories.state("app 1-1"))
    store_and_compare(entry(1, "app"))
    factories.report(endpoint, factories.state("app 1-1", "other 1-1"))
    assert selection.summary().endpoints == counts(not_compared=1)


def test_run_is_bounded_and_the_next_one_goes_on(tracker: None) -> None:
    for number in range(5):
        factories.reporting_endpoint(state=factories.state(f"app {number}-1"))
    store(entry(1, "app"))
    assert [comparison.compare(most=2) for _ in range(4)] == [2, 2, 1, 0]
    assert selection.summary().endpoints == counts(high=5)


def test_targets_are_compared_and_rows_that_nobody_needs_go(tracker: None) -> None:
    pool = factories.pool()
    revision = factories.target(pool, "app 1-1")
    source = Endpoint.objects.get()
    factories.report(source, factories.state("app 2-1"))
    store_and_compare(entry(1, "app", fixed="2-1"))
    assert set(StateVulnerabilities.objects.values_list("pk", "worst")) == {
        (revision.state_id, Severity.HIGH),
        (source.state_id, Severity.NONE),
    }
    pool.target = None
    pool.save()
    assert comparison.compare() == 0
    assert list(StateVulnerabilities.objects.values_list("pk", flat=True)) == [source.state_id]


def test_feature_off_compares_nothing(db: None) -> None:
    factories.reporting_endpoint(state=factories.state("app 1-1"))
    store(entry(1, "app"))
    assert comparison.compare() == 0 and not StateVulnerabilities.objects.exists()


def test_without_a_list_nothing_is_compared(tracker: None) -> None:
    factories.reporting_endpoint(state=factories.state("app 1-1"))
    assert comparison.compare() == 0
    assert selection.summary().endpoints == counts(not_compared=1)


def test_retention_removes_states_that_were_compared(tracker: None) -> None:
    endpoint = factories.reporting_endpoint(state=factories.state("app 1-1"))
    store_and_compare(entry(1, "app"))
    Endpoint.objects.filter(pk=endpoint.pk).delete()
    State.objects.update(created=F("created") - timedelta(days=2))
    retention.remove_states()
    assert not State.objects.exists() and not StateVulnerabilities.objects.exists()


def test_selection_of_a_pool_of_none_and_of_one_endpoint(tracker: None) -> None:
    lab = factories.pool("lab")
    factories.reporting_endpoint("m1", pool=lab, state=factories.state("app 1-1"))
    factories.reporting_endpoint("m2", state=factories.state("app 1-1", "bad 1-1"))
    store_and_compare(entry(1, "app", severity="Low"), entry(2, "bad", severity="Critical"))
    assert selection.summary(Selection(pool="lab")).endpoints == counts(low=1)
    assert selection.summary(Selection(pool="-")).endpoints == counts(critical=1)
    assert [one.advisory.name for one in findings.in_fleet(Selection(pool="lab"))] == ["AVG-1"]
    assert [one.advisory.name for one in findings.in_fleet(Selection(endpoint="m2"))] == ["AVG-2", "AVG-1"]
    assert [one.advisory.name for one in findings.in_fleet(Selection(severity=Severity.HIGH))] == ["AVG-2"]
    assert findings.in_fleet(Selection(pool="none")) == []


@pytest.mark.parametrize("endpoints", [3, 30])
def test_statements_do_not_depend_on_the_fleet(tracker: None, django_assert_num_queries: Any, endpoints: int) -> None:
    for number in range(endpoints):
        factories.reporting_endpoint(state=factories.state(f"app 1-{number}", f"lib {number}-1"))
    store_and_compare(entry(1, "app"), *(entry(number, "lib", fixed=f"{number}-1") for number in range(2, 20)))
    with django_assert_num_queries(2):
        assert selection.summary().affected() == endpoints
    with django_assert_num_queries(4):
        assert findings.in_fleet(Selection())[0].endpoints
    with django_assert_num_queries(2):
        assert len(selection.listed_endpoints(Selection())) == endpoints
    digest = State.objects.values_list("pk", flat=True)[0]
    with django_assert_num_queries(4):
        assert findings.in_state(digest)


@pytest.mark.skipif(settings.DATABASE_TYPE != "postgresql", reason="an advisory lock of PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_two_instances_only_one_compares(settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = URL
    factories.reporting_endpoint(state=factories.state("app 1-1"))
    store(entry(1, "app"))
    inside, release = threading.Event(), threading.Event()

    def other() -> None:
        try:
            run_exclusively(comparison.CHORE, lambda: (inside.set(), release.wait(20), comparison.compare()))
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert inside.wait(20)
        assert not run_exclusively(comparison.CHORE, lambda: pytest.fail("two at once"))
        assert not comparison.compare_all(0.3)
    finally:
        release.set()
        thread.join(20)
    assert selection.summary().endpoints == counts(high=1)


NAMES = ["a", "b", "c", "lib32-a"]
VERSIONS = ["1-1", "1.0-1", "1.0.1-1", "1.0rc1-1", "2-1", "2-2", "1:0.5-1", "1:1-1"]
MACHINES = st.lists(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VERSIONS), min_size=1), max_size=6)
ENTRIES = st.lists(
    st.tuples(
        st.sets(st.sampled_from(NAMES), min_size=1),
        st.sampled_from(["Vulnerable", "Fixed", "Testing", "Not affected", "Unknown", "New"]),
        st.sampled_from(["Critical", "High", "Medium", "Low", "Unknown", "New"]),
        st.sampled_from([None, *VERSIONS]),
    ),
    min_size=1,
    max_size=8,
)


class RandomFleets(TestCase):
    """The same as asking every package of every machine about every entry."""

    @examples(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(machines=MACHINES, entries=ENTRIES)
    def test_random_fleet_is_as_by_brute_force(self, machines: list[dict[str, str]], entries: list[Any]) -> None:
        made = [
            entry(number, *sorted(packages), status=status, severity=severity, fixed=fixed)
            for number, (packages, status, severity, fixed) in enumerate(entries, 1)
        ]
        for number, machine in enumerate(machines):
            state = factories.state(*(f"{name} {version}" for name, version in machine.items()))
            factories.reporting_endpoint(f"m{number}", state=state)
        with override_settings(SECURITY_TRACKER_URL=URL):
            store_and_compare(*made)
        found = {f"m{number}": by_brute_force(machine, made) for number, machine in enumerate(machines)}
        for name, expected in found.items():
            concerning = findings.in_fleet(Selection(endpoint=name))
            assert {one.advisory.name: one.packages for one in concerning} == expected
        severities = {one["name"]: WORDS.get(one["severity"].lower(), Severity.UNKNOWN) for one in made}
        worst = [max((severities[one] for one in names), default=Severity.NONE) for names in found.values()]
        assert selection.summary().endpoints == counts(**{one.word: worst.count(one) for one in Severity})
        whole = {one.advisory.name: one.endpoints for one in findings.in_fleet(Selection())}
        having = {name: sum(name in each for each in found.values()) for name in severities}
        assert whole == {name: number for name, number in having.items() if number}


def by_brute_force(machine: dict[str, str], entries: list[dict[str, Any]]) -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {}
    for one in entries:
        for name, version in machine.items():
            is_older = one["fixed"] is None or vercmp(version, one["fixed"]) < 0
            if name in one["packages"] and one["status"] != "Not affected" and is_older:
                found.setdefault(one["name"], {})[name] = {version}
    return found


def test_package_versions_that_no_state_has_change_nothing(tracker: None) -> None:
    PackageVersion.objects.create(name="app", version="0-1", arch="any")
    factories.reporting_endpoint(state=factories.state("other 1-1"))
    store_and_compare(entry(1, "app"))
    assert selection.summary().endpoints == counts(none=1)
