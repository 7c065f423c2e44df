"""Targets on the pages: what they leave out, their files and mirrors, alarms, approval, confirming, rights."""

import re

import pytest
from django.test import Client

from apps.fleet import checksums, endpoint_manager, pool_manager
from apps.fleet.endpoint_manager import SeenRevision
from apps.fleet.models import Endpoint, EnrolmentCode, Pool
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def source() -> Endpoint:
    """box1 in the pool `lab`: `app`, `vim` (held) and `yay` (foreign); it may set targets."""
    pool = factories.pool("lab", auto_sync=True)
    made = factories.endpoint("box1", pool=pool)
    content = factories.repository("app 1-1", "vim 1-1")
    mirrors = ("https://user:secret@mirror.example/core",)
    factories.report(
        made,
        factories.state("app 1-1", "vim 1-1", "yay 1-1"),
        factories.reported_repository(content, "core", mirrors),
        holds=["vim"],
    )
    return endpoint_manager.change_rights(endpoint=made, may_set_targets=True, actor="test")


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return " ".join(answer.content.decode().split())


def pool() -> Pool:
    return Pool.objects.select_related("target").get()


def set_target(source: Endpoint, *, by_itself: bool = False) -> None:
    setter = source if by_itself else None
    actor = f"endpoint:{source.name}" if by_itself else "test"
    pool_manager.set_target(pool=pool(), endpoint=source, setter=setter, actor=actor)


def test_set_target_page_lists_what_is_left_out_and_why(staff: Client, source: Endpoint) -> None:
    text = page(staff, "/pools/lab/target/box1")
    assert "1 package of" in text
    assert "<dt>In no repository (AUR)</dt><dd><code>yay</code> </dd>" in text
    assert "<dt>Held at the source</dt><dd><code>vim</code> </dd>" in text
    assert "<code>https://mirror.example/core</code>" in text and "secret" not in text


def test_revision_page_shows_files_mirrors_digest_and_what_is_left_out(reader: Client, source: Endpoint) -> None:
    set_target(source)
    text = page(reader, "/pools/lab/revisions/1")
    assert "<code>https://mirror.example/core</code>" in text and "secret" not in text
    assert "the files of 1 are recorded" in text
    assert "<code>yay</code>" in text and "<code>vim</code>" in text
    packages = page(reader, "/pools/lab/revisions/1/packages")
    assert "core/app-1-1-x86_64.pkg.tar.zst" in packages
    assert str(factories.offered("app 1-1").sha256)[:12] in packages
    assert "No package matches" in page(reader, "/pools/lab/revisions/1/packages?q=zzz")


def test_revision_page_of_before_files_were_recorded_says_so(reader: Client, source: Endpoint) -> None:
    set_target(source)
    pool().revisions.update(files=None, unmanaged=None, digest=None)
    assert "their files were not recorded" in page(reader, "/pools/lab/revisions/1")
    assert "not recorded: the source" in page(reader, "/pools/lab/revisions/1/packages")


def test_revision_page_shows_other_files_under_the_same_version(reader: Client, source: Endpoint) -> None:
    set_target(source)
    rebuilt = factories.reported_repository(factories.repository("app 1-1", "vim 1-1", build="two"))
    factories.report(source, factories.state("app 1-1", "vim 1-1", "yay 1-1"), rebuilt, holds=["vim"])
    set_target(source)
    text = page(reader, "/pools/lab/revisions/1")
    assert "Same version, different file" in text
    assert str(factories.offered("app 1-1", "two").sha256)[:12] in text


def test_conflicts_are_on_the_first_page_a_page_of_their_own_and_the_targets(
    staff: Client, reader: Client, source: Endpoint
) -> None:
    set_target(source)
    other = factories.endpoint("box2")
    content = factories.reported_repository(factories.repository("app 1-1", build="two"))
    factories.report(other, factories.state("app 1-1"), content)
    checksums.refresh()
    first = page(reader, "/")
    assert "1 package version with more than one file" in first
    assert "The fleet has more than one file for app 1-1, which target lab #1 holds." in first
    for path in ("/checksums", "/pools/lab/revisions/1", "/pools/lab/target/box1"):
        text = page(staff if "target/" in path else reader, path)
        assert "app 1-1 x86_64" in text and "/endpoints/box2" in text and "target lab #1" in text, path
        assert str(factories.offered("app 1-1", "two").sha256)[:12] in text, path


def test_conflicts_none_is_said(reader: Client, source: Endpoint) -> None:
    assert "there is one file for each version" in page(reader, "/checksums")
    assert "more than one file" not in page(reader, "/")


def test_unapproved_target_is_said_and_approved_with_a_button(staff: Client, reader: Client, source: Endpoint) -> None:
    pool_manager.change_pool(pool=pool(), actor="test", endpoint_targets_need_approval=True)
    set_target(source, by_itself=True)
    for path in ("/", "/pools/lab", "/pools/lab/revisions/1"):
        assert "waits for an operator" in page(reader, path), path
    assert "/approve" in page(staff, "/pools/lab/revisions/1")
    assert "/approve" not in page(reader, "/pools/lab/revisions/1")
    assert reader.post("/pools/lab/revisions/1/approve").status_code == 403
    assert staff.post("/pools/lab/revisions/1/approve")["Location"] == "/pools/lab/revisions/1"
    assert "waits for an operator" not in page(reader, "/pools/lab")


def test_difference_of_revisions_tells_unmanaged_packages_from_absent_ones(staff: Client, source: Endpoint) -> None:
    set_target(source)  # `vim` and `yay` are left out
    offers = factories.reported_repository(factories.repository("app 1-1", "vim 1-1", "new 1-1"))
    factories.report(source, factories.state("app 1-1", "vim 1-1", "yay 1-1", "new 1-1"), offers)
    preview = page(staff, "/pools/lab/target/box1")
    for name, before in (("vim", "not managed"), ("new", "not installed")):
        after = r'<span class="under">.{0,200}?</span></th> <td class="mono"><span class="muted">'
        assert re.search(f'class="mono">{name}{after}{before}<', preview), name
    assert "</span>manage</span>" in preview and "</span>install</span>" in preview
    set_target(source)
    back = page(staff, "/pools/lab/revisions/1")
    assert '<td class="mono">1-1</td> <td class="mono"><span class="muted">not managed</span></td>' in back
    assert "</span>leave alone</span>" in back and "</span>remove</span>" in back


def test_unapproved_target_shows_what_it_changes_against_the_last_approved_one(staff: Client, source: Endpoint) -> None:
    factories.target(pool(), "app 0-1", "gone 1-1")
    pool_manager.change_pool(pool=pool(), actor="test", endpoint_targets_need_approval=True)
    set_target(source, by_itself=True)
    rebuilt = factories.reported_repository(factories.repository("app 2-1", "vim 1-1"))
    factories.report(source, factories.state("app 2-1", "vim 1-1", "yay 1-1"), rebuilt, holds=["vim"])
    set_target(source, by_itself=True)
    text = page(staff, "/pools/lab/revisions/3")
    assert "What #3 changes since #1, the last approved target" in text
    assert '<th scope="col">#1</th> <th scope="col">#3</th>' in text
    assert '<th scope="row" class="mono">gone<span' in text
    assert "Approve #3" in text and "Check and approve it" not in text
    assert "Approve #2" not in page(staff, "/pools/lab/revisions/2")
    pool_manager.approve(pool=pool(), number=3, actor="test")
    assert "What #3 changes" not in page(staff, "/pools/lab/revisions/3")


def test_unapproved_target_without_an_approved_one_before_says_so(staff: Client, source: Endpoint) -> None:
    pool_manager.change_pool(pool=pool(), actor="test", endpoint_targets_need_approval=True)
    set_target(source, by_itself=True)
    assert "No earlier target was approved" in page(staff, "/pools/lab/revisions/1")


def test_sync_all_to_an_unapproved_target_says_so_first(staff: Client, source: Endpoint) -> None:
    factories.reporting_endpoint("box2", pool=pool(), state=factories.state("app 0-1"))
    pool_manager.change_pool(pool=pool(), actor="test", endpoint_targets_need_approval=True)
    set_target(source, by_itself=True)
    text = page(staff, "/pools/lab/sync")
    assert "Nobody has approved target #1 yet." in text and "unmanaged packages stay as they are" in text
    pool_manager.approve(pool=pool(), number=1, actor="test")
    assert "Nobody has approved" not in page(staff, "/pools/lab/sync")


def test_revoked_source_offers_the_revision_before(staff: Client, source: Endpoint) -> None:
    factories.target(pool(), "app 9-1")
    set_target(source, by_itself=True)
    endpoint_manager.revoke_token(endpoint=source, actor="test")
    text = page(staff, "/pools/lab")
    assert "was set by endpoint box1, whose token was revoked" in text
    assert '<a href="/pools/lab/revisions/1">Go back to #1</a>' in text


def test_revoked_endpoint_is_marked_among_the_sources_and_warned_of(staff: Client, source: Endpoint) -> None:
    assert "token revoked" not in page(staff, "/pools/lab/target")
    assert "was revoked" not in page(staff, "/pools/lab/target/box1")
    endpoint_manager.revoke_token(endpoint=source, actor="test")
    assert "token revoked" in page(staff, "/pools/lab/target")
    text = page(staff, "/pools/lab/target/box1")
    assert "The token of box1 was revoked. Use it only if you trust its packages." in text


def test_paused_sync_is_said_and_confirmed_by_an_operator_who_saw_the_target(
    staff: Client, reader: Client, source: Endpoint
) -> None:
    assert "there is nothing to confirm" in page(staff, staff.get("/pools/lab/confirm")["Location"])
    set_target(source)
    seen = SeenRevision(number=7, digest="f" * 64)
    factories.report(Endpoint.objects.select_related("pool__target").get(), factories.state("app 2-1"), seen=seen)
    assert "Automatic sync is paused: endpoint box1 has seen target #7" in page(reader, "/pools/lab")
    assert reader.post("/pools/lab/confirm", {"expected_number": 1}).status_code == 403
    assert "Endpoint box1 has seen target #7, but this server has target #1" in page(staff, "/pools/lab/confirm")
    staff.post("/pools/lab/confirm", {"expected_number": 7})
    assert pool().paused_since is not None
    staff.post("/pools/lab/confirm", {"expected_number": 1})
    confirmed = pool()
    assert confirmed.paused_since is None
    assert confirmed.target and confirmed.target.number == 8
    assert "Automatic sync is paused" not in page(reader, "/pools/lab")


def test_right_of_an_endpoint_is_changed_on_its_page(staff: Client, reader: Client, source: Endpoint) -> None:
    assert "<dt>May set targets</dt><dd>yes</dd>" in page(reader, "/endpoints/box1")
    assert 'href="/endpoints/box1">box1</a>' in page(reader, "/pools/lab")
    assert reader.post("/endpoints/box1/rights").status_code == 403
    staff.post("/endpoints/box1/rights", {})
    assert "<dt>May set targets</dt><dd>no</dd>" in page(reader, "/endpoints/box1")
    staff.post("/endpoints/box1/rights", {"may_set_targets": "on"})
    assert Endpoint.objects.get().may_set_targets


def test_right_of_a_code_is_chosen_in_its_form(staff: Client, source: Endpoint) -> None:
    answer = staff.post("/enrol", {"pool": "lab", "uses": 1, "valid_for": 3600, "may_set_targets": "on"})
    assert "keep the code secret" in answer.content.decode()
    staff.post("/enrol", {"pool": "lab", "uses": 1, "valid_for": 3600})
    assert list(EnrolmentCode.objects.order_by("pk").values_list("may_set_targets", flat=True)) == [True, False]
