"""Where the agent is sent for each package."""

import pytest
from pytest_django import Settings

from apps.fleet import pool_manager, sync_coordinator
from apps.fleet.models import Endpoint, EndpointRepository, RepositoryContent, TargetRevision
from apps.fleet.package_sources import Fetch
from tests import factories

pytestmark = pytest.mark.django_db
ARCHIVE = "https://archive.archlinux.org"


def fetched(endpoint: Endpoint, kind: str = "sync") -> dict[str, Fetch]:
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind=kind, actor="test")
    return {fetch.name: fetch for fetch in factories.claim(operation).fetch}


def machines(
    target: tuple[str, ...],
    target_offers: tuple[str, ...],
    own_offers: tuple[str, ...],
    *,
    target_mirrors: tuple[str, ...] = ("https://source/core",),
    own_mirrors: tuple[str, ...] = ("https://own/core",),
) -> Endpoint:
    """A machine on `app 1.0-1`, in a pool whose target a machine with other repositories has set."""
    pool = factories.pool()
    source = factories.endpoint(pool=pool)
    offers = factories.reported_repository(factories.repository(*target_offers), "core", target_mirrors)
    factories.report(source, factories.state(*target), offers)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    endpoint = factories.endpoint(pool=pool)
    offers = factories.reported_repository(factories.repository(*own_offers), "core", own_mirrors)
    factories.report(endpoint, factories.state("app 1.0-1"), offers)
    return endpoint


def test_fetch_only_what_the_base_has_not_whatever_the_reason() -> None:
    target = ("app 1.0-1 dependency", "new 1-1")
    endpoint = machines(target, ("app 1.0-1", "new 1-1"), ("app 1.0-1",))
    assert set(fetched(endpoint)) == {"new"}


def test_fetch_own_mirrors_first_then_the_sources_then_the_archive() -> None:
    endpoint = machines(
        ("app 2.0-1",), ("app 2.0-1",), ("app 2.0-1",), own_mirrors=("https://a/core/", "https://b/core")
    )
    fetch = fetched(endpoint)["app"]
    file = "app-2.0-1-x86_64.pkg.tar.zst"
    assert fetch.urls == (
        f"https://a/core/{file}",
        f"https://b/core/{file}",
        f"https://source/core/{file}",
        f"{ARCHIVE}/packages/a/app/{file}",
    )
    assert (fetch.filename, fetch.sha256, fetch.size) == (file, factories.offered("app 2.0-1").sha256, 1000)


def test_fetch_own_mirrors_with_another_version_are_left_out() -> None:
    endpoint = machines(("app 2.0-1",), ("app 2.0-1",), ("app 3.0-1",))
    assert not any(url.startswith("https://own") for url in fetched(endpoint)["app"].urls)


def test_fetch_own_file_with_another_checksum_is_left_out() -> None:
    endpoint = machines(("app 2.0-1",), ("app 2.0-1",), ("app 2.0-1 any",))
    fetch = fetched(endpoint)["app"]
    assert fetch.arch == "x86_64" and not any(url.startswith("https://own") for url in fetch.urls)


def test_fetch_dated_mirrors_archive_is_derived_from_either_side() -> None:
    endpoint = machines(
        ("app 2.0-1",),
        ("app 2.0-1",),
        ("app 1.0-1",),
        target_mirrors=("https://ala/repos/2025/02/01/core/os/x86_64/",),
        own_mirrors=("file:///srv/ala/repos/2025/01/01/core/os/x86_64", "https://plain/core/os/x86_64"),
    )
    file = "app-2.0-1-x86_64.pkg.tar.zst"
    assert fetched(endpoint)["app"].urls == (
        f"https://ala/repos/2025/02/01/core/os/x86_64/{file}",
        f"file:///srv/ala/packages/a/app/{file}",
        f"https://ala/packages/a/app/{file}",
        f"{ARCHIVE}/packages/a/app/{file}",
    )


def test_fetch_epoch_and_plus_stay_as_they_are_and_the_archive_is_configurable(settings: Settings) -> None:
    settings.PACKAGE_ARCHIVE_URL = "http://archive.example/arch/"
    endpoint = machines(("gtk+ 1:0.9+r1-1",), ("gtk+ 1:0.9+r1-1",), ("app 1.0-1",))
    urls = fetched(endpoint)["gtk+"].urls
    assert urls[-1] == "http://archive.example/arch/packages/g/gtk+/gtk+-1:0.9+r1-1-x86_64.pkg.tar.zst"
    assert urls[0] == "https://source/core/gtk+-1:0.9+r1-1-x86_64.pkg.tar.zst"


def test_fetch_offered_nowhere_has_the_conventional_name_and_the_archive() -> None:
    endpoint = machines(("app 2.0-1",), ("app 3.0-1",), ("app 1.0-1",))
    fetch = fetched(endpoint)["app"]
    assert (fetch.filename, fetch.sha256, fetch.size) == ("app-2.0-1-x86_64.pkg.tar.zst", None, None)
    assert fetch.urls == (f"{ARCHIVE}/packages/a/app/app-2.0-1-x86_64.pkg.tar.zst",)


def test_fetch_contents_of_the_revision_are_gone_its_own_files_are_left() -> None:
    endpoint = machines(("app 2.0-1",), ("app 2.0-1",), ("app 1.0-1",))
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test")
    for row in Endpoint.objects.exclude(pk=endpoint.pk):
        row.repositories.all().delete()
    RepositoryContent.objects.exclude(pk__in=endpoint.repositories.values("content")).delete()
    (fetch,) = factories.claim(operation).fetch
    archived = f"{ARCHIVE}/packages/a/app/app-2.0-1-x86_64.pkg.tar.zst"
    assert fetch.urls == ("https://source/core/app-2.0-1-x86_64.pkg.tar.zst", archived)
    assert fetch.sha256 == factories.offered("app 2.0-1").sha256


def test_fetch_contents_of_a_revision_without_files_are_gone_the_archive_is_left() -> None:
    endpoint = machines(("app 2.0-1",), ("app 2.0-1",), ("app 1.0-1",))
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test")
    TargetRevision.objects.update(files=None)
    for row in Endpoint.objects.exclude(pk=endpoint.pk):
        row.repositories.all().delete()
    RepositoryContent.objects.exclude(pk__in=endpoint.repositories.values("content")).delete()
    (fetch,) = factories.claim(operation).fetch
    assert fetch.urls == (f"{ARCHIVE}/packages/a/app/app-2.0-1-x86_64.pkg.tar.zst",)


def test_fetch_built_again_under_the_same_version_the_own_database_counts() -> None:
    endpoint = machines(("app 2.0-1",), ("app 2.0-1",), ("app 1.0-1",))
    rebuilt = factories.repository("app 2.0-1", build="two")
    factories.report(endpoint, endpoint.state, factories.reported_repository(rebuilt, mirrors=("https://own/core",)))
    fetch = fetched(endpoint)["app"]
    assert fetch.sha256 == factories.offered("app 2.0-1", build="two").sha256
    assert [url for url in fetch.urls if not url.startswith(ARCHIVE)] == [
        "https://own/core/app-2.0-1-x86_64.pkg.tar.zst"
    ]


def test_fetch_credentials_of_mirrors_are_nobodys_business() -> None:
    mirrors = ("https://user:secret@m/core?token=secret", "https://m2/core")
    endpoint = machines(("app 2.0-1",), ("app 2.0-1",), ("app 2.0-1",), own_mirrors=mirrors)
    EndpointRepository.objects.filter(endpoint=endpoint).update(mirrors=list(mirrors))  # as of an older release
    urls = fetched(endpoint)["app"].urls
    assert urls[:2] == ("https://m/core/app-2.0-1-x86_64.pkg.tar.zst", "https://m2/core/app-2.0-1-x86_64.pkg.tar.zst")
    assert not any("secret" in url for url in urls)


def test_fetch_long_mirrorlist_first_five_are_named() -> None:
    mirrors = tuple(f"https://m{number}/core" for number in range(15))
    endpoint = machines(("app 2.0-1",), ("app 2.0-1",), ("app 2.0-1",), own_mirrors=mirrors)
    urls = fetched(endpoint)["app"].urls
    assert [url for url in urls if url.startswith("https://m")] == [
        f"https://m{number}/core/app-2.0-1-x86_64.pkg.tar.zst" for number in range(5)
    ]


def test_fetch_revert_is_from_the_own_repositories() -> None:
    endpoint = machines(("app 2.0-1",), ("app 2.0-1",), ("app 1.0-1",))
    factories.synced(endpoint)
    fetch = fetched(endpoint, "revert")["app"]
    assert (fetch.version, fetch.urls[0]) == ("1.0-1", "https://own/core/app-1.0-1-x86_64.pkg.tar.zst")
