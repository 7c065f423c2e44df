"""What an endpoint may upload: per hour, per day, and kept. Each quota with its negative twin."""

import gzip
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from apps.fleet import clock, retention, upload_quota
from apps.fleet.alpm import canonical
from apps.fleet.exceptions import NotFound, QuotaExceeded
from apps.fleet.models import Endpoint, RepositoryContent, State, Upload
from tests import factories
from tests.api.support import Answer, ApiMachine, state_text

pytestmark = pytest.mark.django_db


@pytest.fixture
def machine() -> Iterator[ApiMachine]:
    yield ApiMachine("m1", factories.pool())


def upload(machine: ApiMachine, number: int, kind: str = "states") -> Answer:
    text = state_text(f"app {number}-1")
    return machine.api.upload(f"/{kind}/{canonical.digest_of(text)}", gzip.compress(text))


def age(by: timedelta) -> None:
    Upload.objects.update(at=clock.now() - by)


def test_uploads_more_than_the_hour_allows_429(machine: ApiMachine, settings: Any) -> None:
    settings.UPLOAD_QUOTA_PER_HOUR = 3
    for number in range(3):
        upload(machine, number).ok(201)
    refused = upload(machine, 3)
    problem = refused.refused(429, "upload_quota_exceeded")
    assert "3 uploads in an hour (UPLOAD_QUOTA_PER_HOUR)" in problem["detail"]
    assert 3500 <= int(refused.headers["Retry-After"]) <= 3600
    assert State.objects.count() == 3
    age(timedelta(minutes=61))
    upload(machine, 3).ok(201)


def test_uploads_without_the_quota_go_on(machine: ApiMachine, settings: Any) -> None:
    settings.UPLOAD_QUOTA_PER_HOUR = settings.UPLOAD_QUOTA_MB_PER_DAY = settings.UPLOAD_QUOTA_MB_STORED = 0
    Upload.objects.create(endpoint=machine.endpoint, digest="0" * 64, size=1 << 50)
    for number in range(10):
        upload(machine, number).ok(201)


def test_uploads_that_are_refused_or_known_count_too(machine: ApiMachine, settings: Any) -> None:
    settings.UPLOAD_QUOTA_PER_HOUR = 3
    upload(machine, 1).ok(201)
    upload(machine, 1).ok(200)
    machine.api.upload(f"/states/{'0' * 64}", gzip.compress(b"nonsense")).refused(400, "digest_mismatch")
    upload(machine, 2).refused(429, "upload_quota_exceeded")
    assert list(Upload.objects.order_by("pk").values_list("kept", flat=True)) == [True, False, False]


def test_upload_that_is_refused_is_not_read(
    machine: ApiMachine, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UPLOAD_QUOTA_PER_HOUR = 1
    upload(machine, 1).ok(201)
    from apps.api.routes.agent import contents

    monkeypatch.setattr(contents, "read_text", lambda *_, **__: pytest.fail("read"))
    upload(machine, 2).refused(429, "upload_quota_exceeded")


def test_bytes_of_a_day_429_until_they_are_a_day_old(machine: ApiMachine, settings: Any) -> None:
    settings.UPLOAD_QUOTA_MB_PER_DAY = 5
    Upload.objects.create(endpoint=machine.endpoint, digest="0" * 64, size=5 << 20)
    age(timedelta(hours=23))
    assert "5 MiB in a day" in upload(machine, 1).refused(429, "upload_quota_exceeded")["detail"]
    age(timedelta(hours=25))
    upload(machine, 1).ok(201)


def test_kept_bytes_429_until_the_content_is_gone(machine: ApiMachine, settings: Any) -> None:
    settings.UPLOAD_QUOTA_MB_STORED = 5
    upload(machine, 1).ok(201)
    Upload.objects.update(size=6 << 20)
    age(timedelta(days=30))
    assert "5 MiB that are still kept" in upload(machine, 2).refused(429, "upload_quota_exceeded")["detail"]
    State.objects.update(created=clock.now() - timedelta(days=2))
    assert retention.clean()["states"] == 1
    upload(machine, 2).ok(201)


def test_kept_bytes_without_cleanup_are_not_counted(machine: ApiMachine, settings: Any) -> None:
    settings.UPLOAD_QUOTA_MB_STORED = 5
    settings.AUTO_CLEANUP_OLD_STATES = False
    upload(machine, 1).ok(201)
    Upload.objects.update(size=6 << 20)
    age(timedelta(days=30))
    upload(machine, 2).ok(201)


def test_quota_is_each_endpoint_s_own(machine: ApiMachine, settings: Any) -> None:
    settings.UPLOAD_QUOTA_PER_HOUR = 1
    upload(machine, 1).ok(201)
    upload(ApiMachine("m2"), 2).ok(201)
    upload(machine, 3).refused(429, "upload_quota_exceeded")


def test_size_is_what_was_decompressed(machine: ApiMachine) -> None:
    text = state_text(*(f"p{number} 1-1" for number in range(1000)))
    machine.api.upload(f"/states/{canonical.digest_of(text)}", gzip.compress(text)).ok(201)
    assert Upload.objects.get().size == len(text)


def test_honest_rolling_machine_never_meets_the_quotas(machine: ApiMachine) -> None:
    """A new state and four new repositories every quarter of an hour, for an hour, by default."""
    for number in range(4):
        machine.report(f"app {number}-1", repository=(f"app {number}-1", "other 1-1"))
    assert Upload.objects.count() == 8


def test_check_in_that_changes_nothing_asks_nothing_about_uploads(
    machine: ApiMachine, django_assert_num_queries: Any
) -> None:
    machine.report("app 1-1")
    with django_assert_num_queries(2) as captured:
        machine.report("app 1-1")
    assert not [one for one in captured.captured_queries if "upload" in str(one["sql"])]  # None: it was prepared


def test_upload_of_an_endpoint_that_was_deleted_meanwhile_not_found(machine: ApiMachine) -> None:
    endpoint = Endpoint.objects.get()
    Endpoint.objects.all().delete()
    with pytest.raises(NotFound), upload_quota.counted(endpoint=endpoint, digest="0" * 64):
        pass


def test_forget_keeps_the_last_day_and_what_is_still_kept(machine: ApiMachine) -> None:
    upload(machine, 1).ok(201)
    Upload.objects.create(endpoint=machine.endpoint, digest="1" * 64, size=5, kept=True)  # removed since
    Upload.objects.create(endpoint=machine.endpoint, digest="2" * 64)  # was refused
    assert upload_quota.forget() == 0
    age(timedelta(hours=25))
    assert upload_quota.forget() == 2
    assert Upload.objects.get().digest == State.objects.get().digest
    State.objects.all().delete()
    assert upload_quota.forget() == 1


def test_forget_content_of_a_repository_stays(machine: ApiMachine) -> None:
    machine.report("app 1-1")
    age(timedelta(hours=25))
    assert upload_quota.forget() == 0
    RepositoryContent.objects.exclude(pk="x").update(package_count=1)
    assert Upload.objects.count() == 2


def test_quota_exceeded_waits_at_least_a_second(machine: ApiMachine, settings: Any) -> None:
    settings.UPLOAD_QUOTA_PER_HOUR = 1
    upload(machine, 1).ok(201)
    age(timedelta(minutes=59, seconds=59.9))
    try:
        with upload_quota.counted(endpoint=machine.endpoint, digest="0" * 64):
            pass
    except QuotaExceeded as refused:
        assert refused.retry_after == 1
