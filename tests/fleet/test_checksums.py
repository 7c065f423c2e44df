"""The alarm of two files for one package version."""

import pytest

from apps.fleet import checksums, pool_manager
from apps.fleet.models import ChecksumConflict, Endpoint, Pool, RepositoryContent
from tests import factories

pytestmark = pytest.mark.django_db
PACKAGES = ("app 1-1", "lib 1-1")


def machine(name: str, *offered: str, pool: Pool | None = None, build: str = "", repository: str = "core") -> Endpoint:
    made = factories.endpoint(name, pool=pool)
    content = factories.repository(*(offered or PACKAGES), build=build)
    factories.report(made, factories.state(*PACKAGES), factories.reported_repository(content, repository))
    return made


def sha256(build: str = "") -> str:
    return str(factories.offered("app 1-1", build).sha256)


def test_conflict_of_two_endpoints_says_who_has_which_file() -> None:
    machine("box1")
    machine("box2")
    machine("box3", "app 1-1", build="two", repository="custom")
    assert checksums.refresh() == 1
    conflict = ChecksumConflict.objects.get()
    assert (conflict.name, conflict.version, conflict.arch) == ("app", "1-1", "x86_64")
    files = {file["sha256"]: file for file in conflict.files}
    assert files.keys() == {sha256(), sha256("two")}
    one, two = files[sha256()], files[sha256("two")]
    assert (one["endpoints"], one["names"], one["repositories"]) == (2, ["box1", "box2"], ["core"])
    assert (two["endpoints"], two["names"], two["repositories"]) == (1, ["box3"], ["custom"])


def test_conflict_no_equal_files_other_versions_or_unknown_checksums() -> None:
    machine("box1")
    machine("box2", "app 2-1", "lib 1-1 any")
    text = b"app 1-1 x86_64 app-1-1-x86_64.pkg.tar.zst - 0\n"
    content = RepositoryContent.objects.create(digest="d" * 64, package_count=1, packages=_compressed(text))
    factories.report(factories.endpoint("box3"), factories.state(*PACKAGES), factories.reported_repository(content))
    assert checksums.refresh() == 0


def _compressed(text: bytes) -> bytes:
    import zlib

    return zlib.compress(text)


def test_conflict_of_a_target_with_a_repository_that_was_built_again() -> None:
    pool = factories.pool("lab")
    source = machine("box1", pool=pool)
    revision, _ = pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    content = factories.reported_repository(factories.repository(*PACKAGES, build="two"))
    factories.report(source, factories.state(*PACKAGES), content)
    assert checksums.refresh() == 2
    found = checksums.conflicts_of(revision)
    assert [conflict.name for conflict in found] == ["app", "lib"]
    held = next(file for file in found[0].files if file["sha256"] == sha256())
    assert (held["revisions"], held["endpoints"]) == (["lab #1"], 0)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    assert checksums.refresh() == 0  # the target and the fleet agree again


def test_conflict_of_other_packages_is_not_the_revisions() -> None:
    pool = factories.pool()
    revision = factories.target(pool, "other 1-1")
    machine("box1")
    machine("box2", build="two")
    assert checksums.refresh() == 2
    assert checksums.conflicts_of(revision) == []


def test_conflict_that_goes_on_keeps_its_time_and_learns_who_joins() -> None:
    machine("box1")
    machine("box2", build="two")
    checksums.refresh()
    before = ChecksumConflict.objects.get(name="app")
    machine("box3", build="two")
    assert checksums.refresh() == 2
    after = ChecksumConflict.objects.get(name="app")
    assert (after.pk, after.since) == (before.pk, before.since)
    assert sorted(file["endpoints"] for file in after.files) == [1, 2]
    Endpoint.objects.get(name="box1").delete()
    assert checksums.refresh() == 0
    assert not ChecksumConflict.objects.exists()


def test_refresh_nothing_changed_reads_no_contents(django_assert_max_num_queries: object) -> None:
    machine("box1")
    machine("box2", build="two")
    checksums.refresh()
    with django_assert_max_num_queries(3):  # type: ignore[operator]
        assert checksums.refresh() == 2


def test_refresh_memory_is_bounded_and_the_odd_ones_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine("box1")
    machine("box2")
    machine("box3", *(f"junk{number} 1-1" for number in range(50)))
    machine("box4", build="two")
    monkeypatch.setattr(checksums, "MAX_VERSIONS", 2)
    assert checksums.refresh() == 2
    assert "only the first 2 package versions were compared" in caplog.text


def test_refresh_more_conflicts_than_are_kept_those_of_targets_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = factories.pool()
    source = machine("box1", pool=pool)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    others = [f"aaa{number} 1-1" for number in range(5)]
    machine("box2", *others, "lib 1-1", build="two")
    machine("box3", *others, "lib 1-1", build="three")
    monkeypatch.setattr(checksums, "MAX_CONFLICTS", 3)
    assert checksums.refresh() == 3
    assert ChecksumConflict.objects.filter(name="lib").exists()
