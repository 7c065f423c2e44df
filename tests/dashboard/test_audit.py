"""The audit and the news: who did what, in words, and the same once."""

import re
import uuid

import pytest
from django.test import Client

from apps.dashboard.presentation import audit_phrases
from apps.fleet import endpoint_manager, sync_coordinator
from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool
from tests import factories


def test_audit_of_a_newer_servers_verb_is_found(staff: Client, lab: Pool) -> None:
    AuditEvent.objects.create(actor="user:ada", verb="teleport", object="pool:lab")
    answer = staff.get("/audit?verb=teleport")
    assert len(answer.context["lines"]) == 1 and "was ignored" not in answer.content.decode()


def test_audit_tells_who_did_what(staff: Client, lab: Pool) -> None:
    page = staff.get("/audit").content.decode()
    for phrase in ("set target #1 of pool lab", "asked for a sync of box", "cancelled the sync of box"):
        assert phrase in page, phrase
    assert re.search(r">\d{4}-\d\d-\d\d \d\d:\d\d UTC</time>", page)


def test_audit_filtered(staff: Client, lab: Pool) -> None:
    def verbs(query: str) -> list[str]:
        return [line.event.verb for line in staff.get(f"/audit?{query}").context["lines"]]

    assert verbs("verb=set_target") == ["set_target"]
    assert verbs("object=pool:lab") == ["set_target", "create"]
    assert verbs("actor=user:ada") == ["cancelled", "create"]
    assert verbs("text=POOL:") == ["set_target", "create"]
    assert verbs("until=2020-01-01") == []
    assert len(verbs("since=2020-01-01")) == AuditEvent.objects.count()


def test_audit_of_what_is_gone_and_of_something_newer_is_shown(staff: Client, lab: Pool) -> None:
    box = Endpoint.objects.get(name="box")
    endpoint_manager.assign(endpoint=box, pool=None, actor="user:ada")
    endpoint_manager.delete_endpoint(endpoint=box, actor="user:ada")
    AuditEvent.objects.create(actor="user:eve", verb="brand_new", object="thing:x", after=[1])
    AuditEvent.objects.create(actor="server", verb="set_target", object="pool:<b>", after={"other": "y" * 100})
    page = staff.get("/audit").content.decode()
    assert "took box out of pool" in page and "forgot box" in page
    assert "cancelled the operation of an endpoint that was forgotten" in page
    assert "brand new thing:x" in page
    assert "set target #? of pool &lt;b&gt;" in page and "<b>" not in page and "y" * 61 not in page


def test_news_names_who_enrolled(staff: Client, lab: Pool) -> None:
    for name in ("new1", "new2"):
        AuditEvent.objects.create(actor="enrolmentcode:5", verb="enroll", object=f"endpoint:{name}")
    line = staff.get("/").context["news"][0]
    assert (line.phrase, line.times, line.actor, line.address) == ("new2 enrolled", 2, "", "/endpoints/new2")


def test_news_says_the_same_once(staff: Client, lab: Pool) -> None:
    for name in ("m1", "m2", "m3"):
        made = factories.reporting_endpoint(name, pool=lab, state=factories.state("app 1-1"))
        sync_coordinator.create_operation(endpoint=made, kind="sync", actor="user:ada")
    lines = staff.get("/").context["news"]
    assert "asked for a sync of m3" not in [line.phrase for line in lines]  # its end will be news
    for operation in Operation.objects.active():
        factories.finish(factories.applying(operation))
    line, *rest = staff.get("/").context["news"]
    assert (line.phrase, line.times, line.actor) == ("the sync of m3 succeeded", 3, "")
    assert ("cancelled the sync of box", "ada") in [(one.phrase, one.actor) for one in rest]


def ended(kind: str, count: int, *, verb: str = "succeeded") -> None:
    """Make `count` operations of this kind end with this status, each by its endpoint."""
    operation = Operation.objects.get()
    if kind != operation.kind:
        operation.pk, operation.kind = uuid.uuid4(), kind
        operation.save(force_insert=True)
    event = {"actor": "endpoint:box", "verb": verb, "object": f"operation:{operation.pk}"}
    AuditEvent.objects.bulk_create(AuditEvent(**event) for _ in range(count))


def test_news_shows_what_was_before_a_rollout_too(staff: Client, lab: Pool) -> None:
    ended("sync", 450)
    first, *others = staff.get("/").context["news"]
    assert (first.phrase, first.times, first.or_more) == ("the sync of box succeeded", 450, False)
    assert "created pool lab" in [one.phrase for one in others]


def test_news_says_at_least_where_more_was_not_read(staff: Client, lab: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_phrases, "_BATCHES", (2, 3))
    ended("sync", 5)
    answer = staff.get("/")
    assert [(one.times, one.or_more) for one in answer.context["news"]] == [(5, True)]
    assert "and at least 4 more like it" in answer.content.decode()
    AuditEvent.objects.filter(actor="endpoint:box").delete()
    monkeypatch.setattr(audit_phrases, "_BATCHES", (2, 300))
    assert not any(one.or_more for one in staff.get("/").context["news"])


def test_news_keeps_reverts_and_syncs_apart(staff: Client, lab: Pool) -> None:
    ended("sync", 2)
    ended("revert", 3)
    lines = staff.get("/").context["news"][:2]
    assert [(one.phrase, one.times) for one in lines] == [
        ("the revert of box succeeded", 3),
        ("the sync of box succeeded", 2),
    ]


@pytest.mark.parametrize(
    ("verb", "before", "after", "said"),
    [
        ("assign", {"pool": "a"}, {"pool": "b"}, "moved box from pool a to pool b"),
        ("assign", {"pool": None}, {"pool": "b"}, "put box into pool b"),
        ("assign", {"pool": "a"}, {"pool": None}, "took box out of pool a"),
        ("change_rights", None, {"may_set_targets": True}, "gave box the right to set targets"),
        ("change_rights", None, {"may_set_targets": False}, "took the right to set targets from box"),
        ("revoke_token", None, None, "revoked the token of box"),
        ("brand_new", None, "odd", "brand new endpoint:box"),
    ],
)
@pytest.mark.django_db
def test_audit_event_in_words(verb: str, before: object, after: object, said: str) -> None:
    event = AuditEvent(verb=verb, object="endpoint:box", actor="user:ada", before=before, after=after)
    (line,) = audit_phrases.audit_lines([event])
    assert (line.actor, line.phrase) == ("ada", said)
