"""An answer about a package is of one moment, whatever is written between two of its statements."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from apps.fleet import package_holders, package_index, package_questions
from apps.fleet.consistent_read import consistent_read
from apps.fleet.models import Endpoint, EndpointState, State
from apps.fleet.package_questions import EndpointVersion, Question
from tests import factories
from tests.support.race import race

pytestmark = pytest.mark.django_db(transaction=True)


def elsewhere(do: Callable[[], object]) -> None:
    """Do it in another session, to its commit."""
    (error,) = race(1, lambda _: do())
    assert not isinstance(error, Exception), error


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """After the named statement of package_holders, something is done in another session, once."""

    def hook(statement: str, do: Callable[[], object]) -> None:
        real, left = getattr(package_holders, statement), [do]

        def hooked(*args: Any) -> Any:
            found = real(*args)
            if left:
                elsewhere(left.pop())
            return found

        monkeypatch.setattr(package_holders, statement, hooked)

    return hook


@pytest.fixture
def m1() -> Endpoint:
    return factories.reporting_endpoint("m1", state=factories.state("openssl 1-1", "app 1-1"))


def takes(endpoint: Endpoint, version: str, *, indexed: bool = False) -> None:
    """The endpoint changes to a version of openssl that nobody had; what it had is removed."""
    before = endpoint.state_id
    factories.report(endpoint, factories.state(f"openssl {version}", "app 1-1"))
    EndpointState.objects.filter(state_id=before).delete()
    State.objects.filter(pk=before).delete()
    if indexed:
        package_index.rebuild()


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("statement", ["versions_of", "_rows"])
def test_endpoint_that_takes_a_new_version_meanwhile_is_never_without_one(
    m1: Endpoint, between: Any, statement: str, indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "WAITING", 1)
    between(statement, lambda: takes(m1, "2-1", indexed=indexed))
    found = package_questions.in_fleet("openssl")
    assert ([one.version for one in found.versions], found.missing) == (["1-1"], 0)
    between(statement, lambda: takes(m1, "3-1", indexed=indexed))
    assert package_questions.endpoints("openssl", Question(missing=True)) == []
    between(statement, lambda: takes(m1, "4-1", indexed=indexed))
    assert package_questions.endpoints("openssl", Question()) == [EndpointVersion("m1", None, "3-1")]
    between(statement, lambda: takes(m1, "5-1", indexed=indexed))
    assert list(package_questions.having(Endpoint.objects.all(), "openssl")) == [m1]


def test_consistent_read_takes_no_write_lock_and_the_next_transaction_is_as_usual(m1: Endpoint) -> None:
    with consistent_read():
        assert Endpoint.objects.get().name == "m1"
        elsewhere(lambda: Endpoint.objects.update(name="m2"))
        assert Endpoint.objects.get().name == "m1"
    with transaction.atomic():
        Endpoint.objects.filter(name="m2").update(name="m3")
        if connection.vendor == "sqlite":
            assert connection.transaction_mode == "IMMEDIATE"
        else:
            with connection.cursor() as cursor:
                cursor.execute("SHOW transaction_isolation")
                assert cursor.fetchone() == ("read committed",)
    assert Endpoint.objects.get().name == "m3"


def test_consistent_read_leaves_a_transaction_of_the_caller_alone(m1: Endpoint) -> None:
    with transaction.atomic():
        Endpoint.objects.update(name="m2")
        with consistent_read():
            assert Endpoint.objects.get().name == "m2"
    assert Endpoint.objects.get().name == "m2"


def test_consistent_read_that_fails_leaves_the_connection_usable(m1: Endpoint) -> None:
    with pytest.raises(ZeroDivisionError), consistent_read():
        Endpoint.objects.get()
        raise ZeroDivisionError
    Endpoint.objects.update(name="m2")
    assert Endpoint.objects.get().name == "m2"
