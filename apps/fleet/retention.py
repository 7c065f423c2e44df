"""Removes what isn't needed any more, in bounded batches. It must not remove anything that is referred to.

Everything is looked at and removed in one transaction under the content lock, so what is unreferenced stays so.
"""

import logging
import uuid
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, QuerySet, Window
from django.db.models.functions import Coalesce, RowNumber

from . import clock, endpoint_presence, states
from .content_lock import own_content
from .models import (
    Endpoint,
    EndpointRepository,
    EndpointState,
    Operation,
    OperationKind,
    PackageVersion,
    Pool,
    RepositoryContent,
    State,
    TargetFiles,
    TargetRevision,
)

logger = logging.getLogger(__name__)

OPERATIONS_KEPT = 200
# The newest revisions of each pool whose repository contents are kept: file names and checksums for their packages.
REVISIONS_WITH_CONTENTS = 20
UNREFERENCED_FOR = timedelta(days=1)
# What one run does at most: endpoints to trim, states and contents to remove, package versions to remove.
_ENDPOINTS, _CONTENTS, _VERSIONS = 100, 200, 2000


def clean() -> dict[str, int]:
    """One run of the chore. Does nothing where AUTO_CLEANUP_OLD_STATES is off."""
    return run() if settings.AUTO_CLEANUP_OLD_STATES else {}


def removable() -> dict[str, int]:
    """How many rows of each kind could be removed now. What is removed first may make more of the others removable."""
    versions = set(PackageVersion.objects.values_list("pk", flat=True))
    return {
        "history": sum(entries - kept for _, entries, kept in _long_histories()),
        "operations": sum(len(_beyond(endpoint)) for endpoint in _long_queues()),
        "offline": endpoint_presence.removable(),
        "states": _unused_states().count(),
        "repositories": len(_unused_contents()),
        "files": _unused_files().count(),
        "versions": len(versions.difference(_used_by(set()))),
    }


def run() -> dict[str, int]:
    """One run: how many rows it removed of each kind."""
    removed = {"history": trim_history(), "operations": trim_operations(), "offline": endpoint_presence.trim()}
    with transaction.atomic():
        if own_content():
            removed["states"] = remove_states()
            removed["repositories"] = remove_repositories()
            removed["files"] = remove_files()
        else:
            logger.info("retention: the content is in use all the time, the next run looks again")
    removed["versions"] = remove_versions() if removed.get("states") else 0
    if any(removed.values()):
        logger.info("retention removed %s", ", ".join(f"{count} {kind}" for kind, count in removed.items() if count))
    return removed


def trim_history() -> int:
    """Remove the entries of endpoints' histories beyond their pool's retention; the newest one always stays."""
    removed = 0
    for pk, _, keep in _long_histories(_ENDPOINTS):
        with transaction.atomic():
            history = EndpointState.objects.filter(endpoint=pk)
            oldest_kept = list(history.order_by("-seq").values_list("seq", flat=True)[keep - 1 : keep])
            removed += history.filter(seq__lt=oldest_kept[0]).delete()[0] if oldest_kept else 0
    return removed


def _long_histories(most: int | None = None) -> list[tuple[int, int, int]]:
    """(endpoint, entries in its history, entries that are kept) of those that have more, `most` of them."""
    default = Pool._meta.get_field("retention").default
    kept = Coalesce(F("pool__retention"), default)
    full = Endpoint.objects.annotate(kept=kept, entries=Count("history")).filter(entries__gt=F("kept"))
    return list(full.values_list("pk", "entries", "kept")[:most])


def trim_operations() -> int:
    """Remove finished operations beyond the newest 200 of each endpoint, except for those that are still needed.

    A revert takes the newest succeeded sync back; the newest succeeded operation says which packages aren't foreign.
    The sync that an active revert takes back stays until the revert has ended.
    """
    removed = 0
    for endpoint in _long_queues()[:_ENDPOINTS]:
        with transaction.atomic():
            beyond = _beyond(endpoint)[:_CONTENTS]
            removed += len(beyond)
            Operation.objects.filter(pk__in=beyond).delete()
    return removed


def _long_queues() -> QuerySet[Operation, int]:
    """The endpoints (their keys) with more finished operations than are kept."""
    final = Operation.objects.final()
    full = final.values("endpoint").annotate(count=Count("pk")).filter(count__gt=OPERATIONS_KEPT).order_by()
    return full.values_list("endpoint", flat=True)


def _beyond(endpoint: int) -> list[uuid.UUID]:
    """The finished operations of an endpoint that are beyond the newest ones and not needed."""
    mine = Operation.objects.final().filter(endpoint=endpoint).order_by("-created", "-pk")
    succeeded = mine.reached()
    needed = {*succeeded.values_list("pk", flat=True)[:1]}
    needed.update(succeeded.filter(kind=OperationKind.SYNC).values_list("pk", flat=True)[:1])
    active = Operation.objects.active().filter(endpoint=endpoint)
    needed.update(pk for pk in active.values_list("reverts", flat=True) if pk)
    return [pk for pk in mine.values_list("pk", flat=True)[OPERATIONS_KEPT:] if pk not in needed]


def remove_states() -> int:
    """Remove states that nothing refers to and that are older than a day. The caller has the content lock."""
    return _remove(_unused_states().order_by("created"))


def _unused_states() -> QuerySet[State, State]:
    return State.objects.filter(created__lt=clock.moved(-UNREFERENCED_FOR)).exclude(
        Exists(Endpoint.objects.filter(state=OuterRef("pk")))
        | Exists(EndpointState.objects.filter(state=OuterRef("pk")))
        | Exists(TargetRevision.objects.filter(state=OuterRef("pk")))
        | Exists(Operation.objects.filter(base_state=OuterRef("pk")))
        | Exists(Operation.objects.filter(target_state=OuterRef("pk")))
        | Exists(Operation.objects.filter(end_state=OuterRef("pk")))
    )


def remove_repositories() -> int:
    """Remove repository contents that no endpoint sees and no recent revision names, older than a day.

    The caller has the content lock.
    """
    return _remove(RepositoryContent.objects.filter(pk__in=_unused_contents()[:_CONTENTS]))


def _unused_contents() -> list[str]:
    """The digests of contents that can be removed, sorted."""
    unused = RepositoryContent.objects.filter(created__lt=clock.moved(-UNREFERENCED_FOR)).exclude(
        Exists(EndpointRepository.objects.filter(content=OuterRef("pk")))
    )
    return sorted(set(unused.values_list("pk", flat=True)) - _named_contents())


def remove_files() -> int:
    """Remove files of targets that no revision has any more (its pool was deleted). The caller has the content lock."""
    return _remove(_unused_files())


def _unused_files() -> QuerySet[TargetFiles, TargetFiles]:
    unused = TargetFiles.objects.filter(created__lt=clock.moved(-UNREFERENCED_FOR))
    return unused.exclude(Exists(TargetRevision.objects.filter(files=OuterRef("pk"))))


def _named_contents() -> set[str]:
    """The digests of contents that the newest revisions of each pool, or the active operations' ones, name."""
    newest = Window(RowNumber(), partition_by="pool", order_by="-number")
    recent = TargetRevision.objects.annotate(age=newest).filter(age__lte=REVISIONS_WITH_CONTENTS)
    active = TargetRevision.objects.filter(Exists(Operation.objects.active().filter(revision=OuterRef("pk"))))
    named = (*recent.values_list("repositories", flat=True), *active.values_list("repositories", flat=True))
    return {repository["digest"] for repositories in named for repository in repositories}


def _remove(unused: "QuerySet[State] | QuerySet[RepositoryContent] | QuerySet[TargetFiles]") -> int:
    digests = list(unused.values_list("pk", flat=True)[:_CONTENTS])
    unused.model._default_manager.filter(pk__in=digests).delete()
    return len(digests)


def remove_versions() -> int:
    """Remove package versions that no state has. They are found without the lock, and checked again with it."""
    scanned: set[str] = set()
    used = _used_by(scanned)
    unused = [pk for pk in PackageVersion.objects.order_by("pk").values_list("pk", flat=True) if pk not in used]
    with transaction.atomic():
        if not own_content():
            return 0
        used = _used_by(scanned)  # of states that came while we looked
        removable = [pk for pk in unused if pk not in used][:_VERSIONS]
        for chunk in states.chunks(removable):
            PackageVersion.objects.filter(pk__in=chunk).delete()
    return len(removable)


def _used_by(scanned: set[str]) -> Collection[int]:
    """The ids in states that are not in `scanned` yet, which they then are."""
    used: set[int] = set()
    fresh = sorted(set(State.objects.values_list("pk", flat=True)) - scanned)
    for start in range(0, len(fresh), 500):
        chunk = fresh[start : start + 500]
        for packages in State.objects.filter(pk__in=chunk).values_list("packages", flat=True):
            used.update(value >> 1 for value in states.unpack(packages))
    scanned.update(fresh)
    return used
