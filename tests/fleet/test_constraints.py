"""Every rule of the database refuses the row that breaks it, whatever the code does."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from apps.fleet.models import (
    ApiToken,
    ChecksumConflict,
    Endpoint,
    EndpointRepository,
    EndpointState,
    EnrolmentCode,
    Operation,
    PackageVersion,
    Pool,
    Posting,
    State,
    TargetRevision,
)
from tests import factories

pytestmark = pytest.mark.django_db


def operation(**fields: Any) -> Operation:
    """A row as it is, past the coordinator. A queued one by default."""
    endpoint = fields.pop("endpoint", None) or factories.endpoint()
    state = factories.state()
    values = {"kind": "sync", "base_state": state, "target_state": state, "author": "test", "deadline": Now()}
    return Operation.objects.create(**(values | {"endpoint": endpoint} | fields))


def twice(make: Callable[..., Any], **fields: Any) -> None:
    make(**fields)
    make(**fields)


LEASE = {"lease_token": uuid.UUID(int=1), "lease_until": Now()}
BAD_ROWS: dict[str, Callable[[], Any]] = {
    "pool_conflict_resolution_known": lambda: Pool.objects.create(name="p", conflict_resolution="random"),
    "pool_retention_positive": lambda: Pool.objects.create(name="p", retention=0),
    "pool_paused_with_its_cause": lambda: Pool.objects.create(name="p", paused_since=Now()),
    "checksum_conflict_unique": lambda: twice(
        ChecksumConflict.objects.create, name="a", version="1-1", arch="any", files=[]
    ),
    "target_revision_number_unique": lambda: twice(
        TargetRevision.objects.create, pool=factories.pool(), number=1, state=factories.state()
    ),
    "target_revision_number_positive": lambda: TargetRevision.objects.create(
        pool=factories.pool(), number=0, state=factories.state()
    ),
    "endpoint_seq_positive": lambda: Endpoint.objects.create(name="m", arch="x86_64", report_seq=-1),
    "endpoint_state_seq_unique": lambda: twice(
        EndpointState.objects.create, endpoint=factories.endpoint(), seq=1, state=factories.state(), cause="report"
    ),
    "endpoint_repository_position_unique": lambda: [
        EndpointRepository.objects.create(endpoint=endpoint, position=0, name=name, content=factories.repository())
        for endpoint in [factories.endpoint()]
        for name in ("a", "b")
    ],
    "endpoint_repository_name_unique": lambda: [
        EndpointRepository.objects.create(endpoint=endpoint, position=at, name="a", content=factories.repository())
        for endpoint in [factories.endpoint()]
        for at in (0, 1)
    ],
    "package_version_unique": lambda: twice(PackageVersion.objects.create, name="a", version="1", arch="any"),
    "posting_unique": lambda: twice(Posting.objects.create, version=1, segment=1, bits=b"1"),
    "api_token_role_known": lambda: ApiToken.objects.create(name="t", token_hash="h", role="admin"),
    "enrolment_code_uses_positive": lambda: EnrolmentCode.objects.create(code_hash="h", expires=Now(), uses=0),
    "enrolment_code_not_overused": lambda: EnrolmentCode.objects.create(code_hash="h", expires=Now(), uses=1, used=2),
    "operation_one_active_per_endpoint": lambda: [
        operation(endpoint=endpoint, **fields)
        for endpoint in [factories.endpoint()]
        for fields in ({}, {"status": "leased"} | LEASE)
    ],
    "operation_status_known": lambda: operation(status="paused"),
    "operation_kind_known": lambda: operation(kind="purge"),
    "operation_lease_exactly_in_leased_states": lambda: operation(**LEASE),
    "operation_finished_exactly_in_final_states": lambda: operation(status="failed"),
    "operation_attempt_bounded": lambda: operation(attempt=4),
}
MORE_BAD_ROWS: dict[str, Callable[[], Any]] = {
    "a lease without a time": lambda: operation(status="leased", lease_token=uuid.uuid4()),
    "applying without a lease": lambda: operation(status="applying"),
    "finished while queued": lambda: operation(finished=Now()),
    "finished with a lease": lambda: operation(status="succeeded", finished=Now(), **LEASE),
    "a key twice": lambda: twice(operation, idempotency_key="k"),
    "a pool's name twice": lambda: twice(Pool.objects.create, name="p"),
    "an endpoint's name twice": lambda: twice(Endpoint.objects.create, name="m", arch="x86_64"),
    "a token twice": lambda: [factories.endpoint(token="t"), factories.endpoint(token="t")],
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_constraint_row_that_breaks_it_is_refused(name: str) -> None:
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        BAD_ROWS[name]()
    if connection.vendor == "postgresql" or not name.endswith(("_unique", "_per_endpoint")):
        assert name in str(refusal.value)  # SQLite names columns for unique ones
    else:
        assert "UNIQUE" in str(refusal.value)


@pytest.mark.parametrize("case", MORE_BAD_ROWS)
def test_constraint_other_bad_row_is_refused(case: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        MORE_BAD_ROWS[case]()


def test_constraints_every_one_of_the_models_is_tried() -> None:
    fleet = apps.get_app_config("fleet").get_models()
    names = {constraint.name for model in fleet for constraint in model._meta.constraints}
    assert names == BAD_ROWS.keys()


@pytest.mark.parametrize("refer", ["endpoint", "history", "operation", "revision"])
def test_state_that_is_referred_to_cannot_be_deleted(refer: str) -> None:
    state = factories.state("used 1-1")
    if refer == "endpoint":
        Endpoint.objects.create(name="m", arch="x86_64", state=state)
    if refer == "history":
        EndpointState.objects.create(endpoint=factories.endpoint(), seq=1, state=state, cause="report")
    if refer == "operation":
        operation(target_state=state)
    if refer == "revision":
        TargetRevision.objects.create(pool=factories.pool(), number=1, state=state)
    with pytest.raises(IntegrityError), transaction.atomic():
        State.objects.filter(pk=state.pk)._raw_delete("default")
        connection.check_constraints()
