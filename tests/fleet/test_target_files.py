"""The files behind a target's packages: as the source's databases had them, kept, compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.fleet import pool_manager, retention, revisions, states, target_files
from apps.fleet.alpm import target_files as canonical
from apps.fleet.alpm.target_files import TargetFile
from apps.fleet.models import Pool, State, TargetFiles, TargetRevision
from tests import factories

SHA = "a" * 64
words = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
files = st.builds(
    TargetFile,
    name=words,
    version=words.map(lambda word: f"{word}-1"),
    arch=words,
    repository=words,
    filename=words,
    sha256=st.none() | st.sampled_from([SHA, "0" * 64]),
    size=st.integers(0, 10**17),
)


@given(st.lists(files, unique_by=lambda file: file.name))
def test_text_read_back_is_what_was_written(some: list[TargetFile]) -> None:
    assert canonical.parse(canonical.to_text(some)) == sorted(some)


@pytest.mark.parametrize(
    "line",
    [
        b"app 1-1 any core app.pkg " + SHA.encode(),
        b"app 1-1 any core app.pkg " + SHA.encode() + b" 1 2",
        b"app 1-1 any co/re app.pkg " + SHA.encode() + b" 1",
        b"app 1-1 any core ../app.pkg " + SHA.encode() + b" 1",
        b"app 1-1 any core app.pkg " + SHA.upper().encode() + b" 1",
        b"app 1-1 any core app.pkg - 01",
        b"app 1-1 any core app.pkg - -1",
        b"-app 1-1 any core app.pkg - 1",
        b"app 1 any core app.pkg - 1",
    ],
)
def test_text_that_makes_no_sense_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="line 1"):
        canonical.parse(line + b"\n")


def test_text_name_twice_is_refused() -> None:
    file = TargetFile("app", "1-1", "any", "core", "app.pkg", SHA, 1)
    with pytest.raises(ValueError, match="twice"):
        canonical.to_text([file, file])


def revision_of(pool: Pool, state: State, *repositories: factories.ReportedRepository) -> TargetRevision:
    source = factories.endpoint(pool=pool)
    factories.report(source, state, *repositories)
    return pool_manager.set_target(pool=pool, endpoint=source, actor="test", force=True)[0]


@pytest.mark.django_db
def test_files_are_those_of_the_first_repository_that_has_exactly_this_version() -> None:
    custom = factories.reported_repository(factories.repository("app 2-1", "lib 1-1", build="custom"), "custom")
    core = factories.reported_repository(factories.repository("app 1-1", "lib 1-1", "other 1-1"), "core")
    revision = revision_of(factories.pool(), factories.state("app 1-1", "lib 1-1", "other 9-1"), custom, core)
    found = target_files.load(revision)
    assert {name: file.repository for name, file in found.items()} == {"app": "core", "lib": "custom"}
    assert found["lib"].sha256 == factories.offered("lib 1-1", "custom").sha256
    assert found["app"].sha256 == factories.offered("app 1-1").sha256
    assert found["app"].size == 1000
    assert {package.name for package in states.load(revision.state)} == {"app", "lib", "other"}


@pytest.mark.django_db
def test_files_other_bytes_under_the_same_version_are_a_new_revision_with_another_digest() -> None:
    pool = factories.pool()
    state = factories.state("app 1-1", "lib 1-1")
    source = factories.reporting_endpoint(pool=pool, state=state)
    first, _ = pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    content = factories.repository("app 1-1", build="two")
    lib = factories.repository("lib 1-1")
    repositories = [factories.reported_repository(lib, "extra"), factories.reported_repository(content)]
    factories.report(source, state, *repositories)
    second, new = pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    assert new and first.state == second.state
    assert revisions.digest(first) != revisions.digest(second)
    changes = {change.after.name: change for change in target_files.compare(first, second)}
    assert changes["app"].before.sha256 != changes["app"].after.sha256
    assert (changes["lib"].before.repository, changes["lib"].after.repository) == ("core", "extra")
    assert target_files.compare(second, second) == []


@pytest.mark.django_db
def test_files_equal_revisions_share_their_row_and_go_back_takes_it() -> None:
    pool, other = factories.pool(), factories.pool()
    first = factories.target(pool, "app 1-1")
    factories.target(pool, "app 2-1")
    back = pool_manager.go_back(pool=pool, number=1, actor="test")
    promoted = pool_manager.promote(pool=other, source=pool, actor="test")
    assert first.files == back.files == promoted.files
    assert revisions.digest(first) == back.digest == promoted.digest
    assert TargetFiles.objects.count() == 2


@pytest.mark.django_db
def test_revision_of_before_files_were_recorded_has_a_digest_and_goes_on() -> None:
    pool = factories.pool()
    old = factories.target(pool, "app 1-1")
    TargetRevision.objects.update(files=None, unmanaged=None, digest=None)
    old.refresh_from_db()
    assert len(revisions.digest(old)) == 64
    assert (target_files.load(old), revisions.unmanaged_names(old)) == ({}, frozenset())
    pool.refresh_from_db()
    back = pool_manager.go_back(pool=pool, number=1, actor="test")
    assert (back.files, back.unmanaged, back.digest) == (None, None, revisions.digest(old))


@pytest.mark.django_db
def test_revision_digest_says_packages_files_and_unmanaged_names_not_mirrors() -> None:
    parts = {"state": "s", "files": "f", "unmanaged": [{"name": "yay", "why": "foreign"}]}
    digests = {
        revisions.digest_of(**{**parts, **change})
        for change in (
            {},
            {"state": "t"},
            {"files": "g"},
            {"files": None},
            {"unmanaged": []},
            {"unmanaged": None},
            {"unmanaged": [{"name": "yay", "why": "dropped"}]},
        )
    }
    assert len(digests) == 7


@pytest.mark.django_db
def test_mirrors_of_a_revision_have_no_credentials() -> None:
    mirrors = ("https://user:pw@m.example:8443/core?token=x#y", "https://m2/core", "http://[broken/core")
    content = factories.reported_repository(factories.repository("app 1-1"), "core", mirrors)
    revision = revision_of(factories.pool(), factories.state("app 1-1"), content)
    assert revisions.mirrors_of(revision) == {"core": ["https://m.example:8443/core", "https://m2/core"]}
    assert revision.source_endpoint
    assert "pw" not in repr([*revision.source_endpoint.repositories.values(), revision.repositories])


@pytest.mark.django_db
def test_retention_removes_files_only_when_no_revision_has_them() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1-1")
    TargetFiles.objects.update(created="2020-01-01T00:00:00Z")
    retention.clean()
    assert TargetFiles.objects.count() == 1
    pool.endpoints.update(pool=None)
    pool_manager.delete_pool(pool=pool, actor="test")
    assert retention.clean()["files"] == 1
    assert not TargetFiles.objects.exists()
