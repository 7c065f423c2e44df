"""The endpoint of a token in one statement: the same as Django's own objects, with what a check-in compares."""

import pytest
from django.db import connection
from django.db.models import Model

from apps.fleet import reporting_endpoint, tokens
from apps.fleet.models import Endpoint, Pool
from tests import factories

pytestmark = pytest.mark.django_db
LEFT_OUT = {"unmanaged", "repositories"}


def values(row: Model) -> dict[str, object]:
    return {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.attname not in row.get_deferred_fields()
    }


def read(token: str) -> Endpoint:
    found = reporting_endpoint.of_token(tokens.hash_of(token))
    assert found is not None
    return found


def test_every_column_is_as_django_reads_it() -> None:
    pool = factories.pool("lab", excluded_packages=["nvidia*"], auto_sync=True)
    endpoint = factories.endpoint("m1", pool=pool, token="pse_1")
    factories.report(endpoint, factories.state("linux 6.1-1"), holds=["vim"], examination=[factories.problem("x", "y")])
    revision = factories.target(pool, "linux 6.2-1")
    found = read("pse_1")
    assert values(found) == values(Endpoint.objects.get(name="m1"))
    assert found.pool is not None and values(found.pool) == values(Pool.objects.get(name="lab"))
    target = found.pool.target
    assert target is not None and target.get_deferred_fields() == LEFT_OUT
    revision.refresh_from_db()
    assert values(target) == {name: value for name, value in values(revision).items() if name not in LEFT_OUT}
    assert found._state.db == "default" and not found._state.adding


def test_no_pool_no_target_and_no_report_are_none() -> None:
    factories.endpoint("m1", token="pse_1")
    factories.endpoint("m2", pool=factories.pool("lab"), token="pse_2")
    alone, pooled = read("pse_1"), read("pse_2")
    assert alone.pool is None and alone.state_id is None
    assert pooled.pool is not None and pooled.pool.target is None
    assert alone.also_read is not None
    assert (alone.also_read.repositories, alone.also_read.has_operation) == ([], False)


def test_repositories_are_in_pacmans_order_and_an_active_operation_is_seen() -> None:
    operation = factories.queued()
    endpoint = operation.endpoint
    Endpoint.objects.filter(pk=endpoint.pk).update(token_hash=tokens.hash_of("pse_1"))
    content = factories.repository("a 1-1", "linux 6.1-1")
    mirrors = ["https://one.example/ä", "https://two.example/$repo"]
    reported = [factories.reported_repository(content, name, mirrors) for name in ("zeta", "core", 'o"dd')]
    state = endpoint.state
    assert state is not None
    factories.report(endpoint, state, *reported)
    also = read("pse_1").also_read
    assert also is not None and also.has_operation
    assert [tuple(one) for one in also.repositories] == list(
        endpoint.repositories.values_list("name", "content_id", "mirrors")
    )
    factories.finish(factories.applying(operation))
    also = read("pse_1").also_read
    assert also is not None and not also.has_operation


def test_unknown_and_revoked_tokens_are_nobodys() -> None:
    endpoint = factories.endpoint("m1", token="pse_1")
    assert reporting_endpoint.of_token(tokens.hash_of("pse_2")) is None
    Endpoint.objects.filter(pk=endpoint.pk).update(token_hash=None)
    assert reporting_endpoint.of_token(tokens.hash_of("pse_1")) is None


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no rows that change in place")
def test_no_index_has_a_column_that_an_unchanged_report_writes() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s", [Endpoint._meta.db_table])
        indexes = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [Endpoint._meta.db_table])
        (options,) = cursor.fetchone()
    assert indexes and not [one for one in indexes if "last_seen" in one or "report_seq" in one]
    assert "fillfactor=70" in options
