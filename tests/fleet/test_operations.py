"""Operations from creation to result, and what each step refuses."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.fleet import clock, endpoint_manager, exceptions, judgement, leases, states, sync_coordinator
from apps.fleet.models import AuditEvent, Endpoint, Operation, OperationStatus, Pool, State
from tests import factories

pytestmark = pytest.mark.django_db


def expire(operation: Operation) -> Operation:
    """Let its lease have run out a second ago."""
    Operation.objects.filter(pk=operation.pk).update(lease_until=Now() - timedelta(seconds=1))
    operation.refresh_from_db()
    return operation


def pass_deadline(operation: Operation) -> None:
    Operation.objects.filter(pk=operation.pk).update(deadline=Now() - timedelta(seconds=1))


def heartbeat(operation: Operation, phase: str = "leased", token: uuid.UUID | None = None) -> Operation:
    return sync_coordinator.heartbeat(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=token or operation.lease_token or uuid.uuid4(),
        phase=phase,
    )


def create(endpoint: Endpoint, kind: str = "sync", **options: Any) -> Operation:
    return sync_coordinator.create_operation(endpoint=endpoint, kind=kind, actor="test", **options)[0]


def reread(operation: Operation) -> Operation:
    return Operation.objects.get(pk=operation.pk)


def test_sync_whole_way_reaches_the_target() -> None:
    operation = factories.queued()
    assert (operation.status, operation.plan["upgrade"], operation.attempt) == ("queued", 1, 0)
    claim = factories.claim(operation)
    assert claim.operation.status == "leased" and claim.operation.attempt == 1
    assert [(fetch.name, fetch.version) for fetch in claim.fetch] == [("app", "2.0-1")]
    applying = heartbeat(reread(operation), "applying")
    assert applying.status == "applying" and applying.applying_since
    done = factories.finish(applying)
    assert (done.status, done.lease_token, done.result["outcome"]) == ("succeeded", None, "succeeded")
    endpoint = Endpoint.objects.get(pk=operation.endpoint_id)
    assert endpoint.state_id == operation.target_state_id
    assert list(endpoint.history.order_by("seq").values_list("cause", flat=True)) == ["report", "operation"]
    events = AuditEvent.objects.filter(object=f"operation:{operation.pk}").order_by("pk")
    assert list(events.values_list("actor", "verb")) == [("test", "create"), (f"endpoint:{endpoint.name}", "succeeded")]


# --- creation ---------------------------------------------------------------------------------------------------


def test_create_endpoint_without_pool_target_or_state_is_refused() -> None:
    with pytest.raises(exceptions.NoPool):
        create(factories.endpoint())
    pool = factories.pool()
    with pytest.raises(exceptions.NoTarget):
        create(factories.endpoint(pool=pool))
    factories.target(pool, "app 1.0-1")
    with pytest.raises(exceptions.StateUnknown):
        create(factories.endpoint(pool=pool))
    assert not Operation.objects.exists()


def test_create_in_sync_but_for_kept_packages_is_refused() -> None:
    pool = factories.pool(excluded_packages=["linux"])
    factories.target(pool, "app 1.0-1")
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1.0-1", "linux 6-1"))
    with pytest.raises(exceptions.AlreadyInSync):
        create(endpoint)


def test_create_sync_that_would_leave_no_package_is_refused() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1.0-1")
    Pool.objects.update(excluded_packages=["app"])
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("lib 1.0-1"))
    with pytest.raises(exceptions.Conflict, match="without any package"):
        create(endpoint)
    factories.report(endpoint, factories.state("app 0.9-1", "lib 1.0-1"))
    assert create(endpoint).plan["remove"] == 1


def test_create_another_architecture_is_refused() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1.0-1")
    endpoint = factories.endpoint(pool=pool, arch="aarch64")
    factories.report(endpoint, factories.state("app 1.0-1 aarch64"))
    with pytest.raises(exceptions.Conflict) as refusal:
        create(endpoint)
    assert refusal.value.code == "conflict"


def test_create_target_of_another_level_of_the_architecture_is_queued() -> None:
    pool = factories.pool()
    factories.target(pool, "app 2.0-1 x86_64_v3", "lib 1-1 x86_64")
    endpoint = factories.endpoint(pool=pool, arch="x86_64")
    factories.report(endpoint, factories.state("app 1.0-1 x86_64_v3"))
    assert create(endpoint).plan["upgrade"] == 1


def test_create_while_another_is_active_is_refused() -> None:
    operation = factories.queued()
    with pytest.raises(exceptions.OperationActive):
        create(operation.endpoint)
    factories.leased(operation)
    with pytest.raises(exceptions.OperationActive):
        create(operation.endpoint, "revert")


def test_create_same_key_again_returns_the_same_even_when_finished() -> None:
    pool = factories.pool()
    factories.target(pool, "app 2.0-1")
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1.0-1"))
    first = create(endpoint, idempotency_key="k")
    assert sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test", idempotency_key="k") == (
        first,
        False,
    )
    factories.finish(factories.applying(first))
    assert create(endpoint, idempotency_key="k") == first
    for other, kind in ((endpoint, "revert"), (factories.endpoint(pool=pool), "sync")):
        with pytest.raises(exceptions.IdempotencyKeyReused):
            create(other, kind, idempotency_key="k")


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", "a\0b"])
def test_create_key_that_makes_no_sense_is_invalid(key: str) -> None:
    with pytest.raises(exceptions.Invalid):
        create(factories.endpoint(), idempotency_key=key)


def test_create_unknown_kind_is_invalid() -> None:
    with pytest.raises(exceptions.Invalid):
        create(factories.endpoint(), "purge")


# --- claim ------------------------------------------------------------------------------------------------------


def test_claim_same_token_again_gets_the_same_lease() -> None:
    operation, token = factories.queued(), uuid.uuid4()
    first = factories.claim(operation, token)
    again = factories.claim(operation, token)
    assert again.operation.attempt == 1 and again.fetch == first.fetch
    assert again.operation.lease_until >= first.operation.lease_until


def test_claim_lease_lasts_by_the_databases_clock() -> None:
    operation = factories.leased()
    assert operation.lease_until
    left = (operation.lease_until - clock.now()).total_seconds()
    assert leases.LEASE_SECONDS - 30 < left <= leases.LEASE_SECONDS


def test_claim_other_token_while_leased_is_refused() -> None:
    operation = factories.leased()
    with pytest.raises(exceptions.NotClaimable):
        factories.claim(operation)
    assert reread(operation).lease_token == operation.lease_token


def test_claim_expired_lease_passes_to_the_new_token_and_fences_the_old_one() -> None:
    operation = expire(factories.leased())
    new = factories.claim(operation).operation
    assert (new.attempt, new.status) == (2, "leased") and new.lease_token != operation.lease_token
    with pytest.raises(exceptions.LeaseLost):
        heartbeat(operation, token=operation.lease_token)
    with pytest.raises(exceptions.LeaseLost):
        factories.finish(operation)


def test_claim_in_another_state_cancels_the_operation() -> None:
    operation = factories.queued()
    with pytest.raises(exceptions.BaseChanged):
        sync_coordinator.claim(
            operation_id=operation.pk, endpoint=operation.endpoint, lease_token=uuid.uuid4(), state="0" * 64
        )
    operation = reread(operation)
    assert (operation.status, operation.result["code"]) == ("cancelled", "base_changed")
    with pytest.raises(exceptions.NotClaimable):
        factories.claim(operation)


def test_claim_of_another_endpoints_operation_is_not_found() -> None:
    operation = factories.queued()
    with pytest.raises(exceptions.NotFound):
        sync_coordinator.claim(
            operation_id=operation.pk, endpoint=factories.endpoint(), lease_token=uuid.uuid4(), state="0" * 64
        )
    assert reread(operation).status == "queued"


def test_claim_applying_with_its_token_is_a_repeat_and_expired_is_not_for_others() -> None:
    operation = expire(factories.applying())
    with pytest.raises(exceptions.NotClaimable):
        factories.claim(operation)
    again = factories.claim(operation, operation.lease_token).operation
    assert (again.status, again.attempt) == ("applying", 1)


def test_claim_past_the_deadline_is_refused() -> None:
    operation = factories.queued()
    pass_deadline(operation)
    with pytest.raises(exceptions.NotClaimable):
        factories.claim(operation)


# --- heartbeat --------------------------------------------------------------------------------------------------


def test_heartbeat_extends_the_lease() -> None:
    operation = factories.leased()
    Operation.objects.filter(pk=operation.pk).update(lease_until=Now() + timedelta(seconds=5))
    left = heartbeat(operation).lease_until - clock.now()
    assert left > timedelta(seconds=60)


def test_heartbeat_applying_is_for_good_and_since_the_first() -> None:
    operation = factories.applying()
    later = heartbeat(operation, "leased")
    assert (later.status, later.applying_since) == ("applying", operation.applying_since)
    assert heartbeat(operation, "applying").applying_since == operation.applying_since


def test_heartbeat_expired_while_leased_is_lost_though_nobody_took_it() -> None:
    operation = expire(factories.leased())
    for phase in ("leased", "applying"):
        with pytest.raises(exceptions.LeaseLost):
            heartbeat(operation, phase)
    assert reread(operation).lease_until == operation.lease_until


def test_heartbeat_expired_while_applying_takes_the_lease_up_again() -> None:
    operation = expire(factories.applying())
    assert heartbeat(operation, "applying").lease_until > clock.now()


@pytest.mark.parametrize("state", ["queued", "foreign token", "finished"])
def test_heartbeat_without_the_lease_is_lost(state: str) -> None:
    operation = factories.queued()
    if state == "foreign token":
        factories.leased(operation)
    if state == "finished":
        factories.finish(factories.applying(operation))
    before = Operation.objects.filter(pk=operation.pk).values().get()
    with pytest.raises(exceptions.LeaseLost):
        heartbeat(operation, token=uuid.uuid4())
    assert Operation.objects.filter(pk=operation.pk).values().get() == before


def test_heartbeat_unknown_phase_is_invalid() -> None:
    with pytest.raises(exceptions.Invalid):
        heartbeat(factories.leased(), "done")


# --- result -----------------------------------------------------------------------------------------------------


def test_finish_repeat_returns_the_stored_operation() -> None:
    operation = factories.applying()
    first = factories.finish(operation)
    again = factories.finish(operation, factories.state("other 1-1"), outcome="failed")
    assert (again.status, again.result, again.finished) == (first.status, first.result, first.finished)
    operation.endpoint.refresh_from_db()
    assert operation.endpoint.state_id == operation.target_state_id


@pytest.mark.parametrize(
    ("outcome", "reached", "status"), [("succeeded", "app 1.0-1", "failed"), ("failed", "app 2.0-1", "succeeded")]
)
def test_finish_state_decides_not_the_outcome(outcome: str, reached: str, status: str) -> None:
    operation = factories.finish(factories.applying(), factories.state(reached), outcome=outcome)
    assert (operation.status, operation.result["outcome"]) == (status, outcome)


def test_finish_failed_in_between_keeps_the_difference() -> None:
    operation = factories.finish(factories.applying(), factories.state("app 1.5-1", "new 1-1"), outcome="failed")
    difference = operation.result["difference"]
    assert (difference["counts"]["upgrade"], difference["counts"]["remove"]) == (1, 1)
    assert [change["name"] for change in difference["changes"]] == ["app", "new"]


def test_finish_state_not_uploaded_is_refused_and_changes_nothing() -> None:
    operation = factories.applying()
    with pytest.raises(exceptions.StateUnknown):
        factories.finish(operation, State(digest="0" * 64))
    assert reread(operation).status == "applying"


@pytest.mark.parametrize("seq", [0, -1, 2**63, True])
def test_finish_seq_that_is_none_is_invalid(seq: int) -> None:
    operation = factories.applying()
    with pytest.raises(exceptions.Invalid):
        sync_coordinator.finish(
            operation_id=operation.pk,
            endpoint=operation.endpoint,
            lease_token=operation.lease_token or uuid.uuid4(),
            outcome="succeeded",
            seq=seq,
            state=operation.target_state_id,
        )
    assert reread(operation).status == "applying"


def test_finish_texts_that_no_database_takes_are_mended() -> None:
    operation = factories.applying()
    done = sync_coordinator.finish(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token or uuid.uuid4(),
        outcome="succeeded",
        seq=99,
        state=operation.target_state_id,
        message="a\0b\ud800",
        log_tail="x" * 20_000 + "\0end",
    )
    assert done.result["message"] == "a�b�"
    assert len(done.result["log_tail"]) == 16_000 and done.result["log_tail"].endswith("x�end")


def test_finish_after_a_newer_report_is_judged_but_not_recorded_over_it() -> None:
    operation = factories.applying()
    newer = factories.state("app 3.0-1")
    factories.report(operation.endpoint, newer, seq=50)
    done = sync_coordinator.finish(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token or uuid.uuid4(),
        outcome="succeeded",
        seq=40,
        state=operation.target_state_id,
    )
    operation.endpoint.refresh_from_db()
    assert done.status == "succeeded" and operation.endpoint.state == newer


# --- cancel -----------------------------------------------------------------------------------------------------


def test_cancel_queued_is_cancelled_and_a_repeat_too() -> None:
    operation = factories.queued()
    for _ in range(2):
        assert sync_coordinator.cancel(operation=operation, actor="anna").status == "cancelled"
    assert AuditEvent.objects.filter(verb="cancelled", actor="anna").count() == 1


def test_cancel_leased_is_cancelled_and_its_agent_is_fenced() -> None:
    operation = factories.leased()
    token = operation.lease_token
    assert token is not None
    assert sync_coordinator.cancel(operation=operation, actor="anna").status == "cancelled"
    asked = {"operation_id": operation.pk, "endpoint": operation.endpoint, "lease_token": token}
    for phase in ("leased", "applying"):
        with pytest.raises(exceptions.LeaseLost):
            sync_coordinator.heartbeat(**asked, phase=phase)
    with pytest.raises(exceptions.NotClaimable):
        sync_coordinator.claim(**asked, state=operation.base_state_id)
    operation = reread(operation)
    assert (operation.status, operation.result["code"]) == ("cancelled", "cancelled")


def test_cancel_applying_is_refused() -> None:
    operation = factories.applying()
    with pytest.raises(exceptions.NotCancellable):
        sync_coordinator.cancel(operation=operation, actor="anna")
    assert reread(operation).status == "applying"


def test_cancel_in_a_race_with_the_start_of_pacman_has_one_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent says that it starts pacman between the two statements of `cancel`."""
    operation = factories.leased()
    end = judgement.end

    def late(found: Any, **fields: Any) -> bool:
        if reread(operation).status == "leased":
            sync_coordinator.heartbeat(
                operation_id=operation.pk,
                endpoint=operation.endpoint,
                lease_token=operation.lease_token,
                phase="applying",
            )
        return end(found, **fields)

    monkeypatch.setattr(judgement, "end", late)
    with pytest.raises(exceptions.NotCancellable):
        sync_coordinator.cancel(operation=operation, actor="anna")
    assert reread(operation).status == "applying"


def test_cancel_of_a_lease_that_runs_out_meanwhile_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    operation = factories.leased()
    end = judgement.end

    def late(found: Any, **fields: Any) -> bool:
        monkeypatch.setattr(judgement, "end", end)
        expire(operation)
        leases.expire_leases()
        return end(found, **fields)

    monkeypatch.setattr(judgement, "end", late)
    assert sync_coordinator.cancel(operation=operation, actor="anna").status == "cancelled"


# --- leases that ran out ----------------------------------------------------------------------------------------


def test_expire_leased_is_queued_again_three_times_then_for_later() -> None:
    operation = factories.queued()
    for attempt in (1, 2, 3):
        assert reread(operation).status == "queued"
        factories.claim(operation)
        assert leases.expire_leases() == 0
        expire(operation)
        assert operation.attempt == attempt and leases.expire_leases() == 1
    operation = reread(operation)
    assert (operation.status, operation.result["code"]) == ("queued", "attempts_exhausted")
    assert (operation.attempt, operation.retries) == (0, 1) and operation.retry_at > clock.now()
    assert leases.expire_leases() == 0


def test_expire_applying_waits_for_the_report_until_the_deadline() -> None:
    operation = expire(factories.applying())
    assert leases.expire_leases() == 0
    pass_deadline(operation)
    assert leases.expire_leases() == 1
    operation = reread(operation)
    assert (operation.status, operation.result["code"]) == ("lost", "deadline_passed")


def test_expire_past_the_deadline_with_a_live_lease_goes_on() -> None:
    operation = factories.applying()
    pass_deadline(operation)
    assert leases.expire_leases() == 0
    assert factories.finish(operation).status == "succeeded"


def test_expire_queued_past_the_deadline_is_lost() -> None:
    operation = factories.queued()
    pass_deadline(operation)
    assert leases.expire_leases() == 1 and reread(operation).status == "lost"


@pytest.mark.parametrize(
    ("reported", "attempt", "status", "code"),
    [
        ("app 2.0-1", 1, "succeeded", "judged_by_report"),
        ("app 1.0-1", 1, "queued", None),
        ("app 1.0-1", 3, "failed", "lost_applying"),
        ("app 1.5-1", 1, "failed", "state_differs"),
    ],
)
def test_report_after_the_lease_was_lost_while_applying_decides(
    reported: str, attempt: int, status: str, code: str | None
) -> None:
    operation = expire(factories.applying())
    Operation.objects.filter(pk=operation.pk).update(attempt=attempt)
    factories.report(operation.endpoint, factories.state(reported))
    operation = reread(operation)
    assert (operation.status, (operation.result or {}).get("code")) == (status, code)
    if code == "state_differs":
        assert operation.result["difference"]["counts"]["upgrade"] == 1


@pytest.mark.parametrize("reported", ["app 2.0-1", "app 1.0-1", "app 1.5-1"])
def test_report_of_a_locked_machine_decides_nothing_until_the_lock_is_gone(reported: str) -> None:
    """Its agent goes on with the operation then."""
    operation = expire(factories.applying())
    locked = factories.problem("database_locked")
    factories.report(operation.endpoint, factories.state(reported), examination=[locked])
    assert reread(operation).status == "applying"
    factories.report(operation.endpoint, factories.state(reported), examination=[])
    assert reread(operation).status != "applying"


def test_report_while_the_lease_lives_decides_nothing() -> None:
    operation = factories.applying()
    factories.report(operation.endpoint, factories.state("app 1.5-1"))
    assert reread(operation).status == "applying"
    assert factories.finish(operation).status == "succeeded"


def test_judge_lease_extended_in_the_meantime_is_left_alone() -> None:
    read = expire(factories.applying())
    heartbeat(read, "applying")
    result = judgement.server_result("failed", "state_differs", "")
    assert not judgement.queue_again(read)
    assert not judgement.end(read, status=OperationStatus.FAILED, actor="server", result=result, lost=True)
    assert reread(read).status == "applying"


# --- revert -----------------------------------------------------------------------------------------------------


def machine(*, foreign: str = "") -> tuple[Endpoint, Any]:
    """A machine on `app 1.0-1` in a pool whose target is `app 2.0-1`."""
    pool = factories.pool()
    factories.target(pool, "app 2.0-1")
    endpoint = factories.endpoint(pool=pool)
    offers = factories.reported_repository(factories.repository("app 1.0-1"))
    factories.report(endpoint, factories.state("app 1.0-1", *([foreign] if foreign else [])), offers)
    return endpoint, pool


def installed(endpoint: Endpoint) -> list[str]:
    endpoint.refresh_from_db()
    assert endpoint.state
    return [f"{package.name} {package.version}" for package in states.load(endpoint.state)]


def test_revert_brings_the_base_back_exactly_and_a_second_has_nothing_left() -> None:
    endpoint, _ = machine()
    base = endpoint.state
    factories.synced(endpoint)
    operation = factories.synced(endpoint, "revert")
    assert endpoint.state == base and operation.reverts and operation.reverts.kind == "sync"
    with pytest.raises(exceptions.NothingToRevert):
        create(endpoint, "revert")


def test_revert_after_a_revert_goes_one_sync_further_back() -> None:
    endpoint, pool = machine()
    factories.synced(endpoint)
    factories.target(pool, "app 3.0-1")
    factories.synced(endpoint)
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 2.0-1"]
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 1.0-1"]
    factories.synced(endpoint)
    assert installed(endpoint) == ["app 3.0-1"]
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 1.0-1"]


def test_revert_keeps_what_is_foreign_now_and_does_not_bring_back_what_was() -> None:
    endpoint, _ = machine(foreign="yay 1-1")
    factories.synced(endpoint)
    factories.report(endpoint, factories.state("app 2.0-1", "paru 1-1"), *sources(endpoint))
    assert endpoint.foreign == ["paru"]
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 1.0-1", "paru 1-1"]


def test_revert_keeps_what_is_held() -> None:
    endpoint, _ = machine()
    factories.synced(endpoint)
    factories.report(endpoint, factories.state("app 2.0-1", "linux 6-1"), *sources(endpoint), holds=["linux"])
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 1.0-1", "linux 6-1"]


@pytest.mark.parametrize(("code", "status"), [("files_differ", "failed"), ("pacman_failed", "succeeded")])
def test_finish_files_that_differ_fail_it_though_the_state_is_the_targets(code: str, status: str) -> None:
    endpoint, _ = machine()
    operation = factories.finish(factories.applying(create(endpoint, "sync")), outcome="failed", code=code)
    assert operation.status == status and installed(endpoint) == ["app 2.0-1"]


def test_revert_takes_back_a_sync_whose_files_differ_and_not_the_one_before() -> None:
    endpoint, pool = machine()
    factories.synced(endpoint)
    factories.target(pool, "app 3.0-1")
    factories.finish(factories.applying(create(endpoint, "sync")), outcome="failed", code="files_differ")
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 2.0-1"]


def test_revert_nothing_succeeded_is_refused() -> None:
    endpoint, _ = machine()
    with pytest.raises(exceptions.NothingToRevert):
        create(endpoint, "revert")


def test_revert_out_of_the_pool_still_works() -> None:
    endpoint, _ = machine()
    factories.synced(endpoint)
    endpoint_manager.assign(endpoint=endpoint, pool=None, actor="test")
    factories.synced(endpoint, "revert")
    assert installed(endpoint) == ["app 1.0-1"]


def sources(endpoint: Endpoint) -> list[Any]:
    """The repositories that the endpoint has reported, to be reported again."""
    return [factories.reported_repository(row.content, row.name) for row in endpoint.repositories.all()]


def test_target_moves_on_while_queued_the_operation_keeps_its_revision() -> None:
    operation = factories.queued()
    assert operation.revision
    factories.target(operation.revision.pool, "app 3.0-1")
    assert factories.finish(factories.applying(operation)).revision.number == 1
    assert Pool.objects.get(pk=operation.revision.pool_id).target.number == 2


def test_probe_works() -> None:
    sync_coordinator.probe()


def test_probe_pile_of_overdue_leases_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    operation = factories.leased()
    Operation.objects.filter(pk=operation.pk).update(lease_until=Now() - timedelta(minutes=11))
    sync_coordinator.probe()
    assert "1 leases ran out" in caplog.text


# --- a machine at work is not offline


def test_heartbeat_and_claim_endpoint_is_online(db: None) -> None:
    operation = factories.queued()
    for act in (lambda: factories.leased(operation), lambda: heartbeat(reread(operation), "applying")):
        Endpoint.objects.update(last_seen=Now() - timedelta(days=1))
        assert not Endpoint.objects.online().exists()
        act()
        assert list(Endpoint.objects.online()) == [operation.endpoint]


def test_heartbeat_of_a_lost_lease_is_a_sign_of_life_too(db: None) -> None:
    operation = factories.leased()
    Endpoint.objects.update(last_seen=None)
    with pytest.raises(exceptions.LeaseLost):
        heartbeat(operation, token=uuid.uuid4())
    assert list(Endpoint.objects.online()) == [operation.endpoint]
