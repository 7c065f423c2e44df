"""What a pool's conflict resolution lets automatic sync do. It must not know which endpoint it is about.

The rules are in docs/fleet.md (*Automatic sync*).
"""

from collections.abc import Collection

from . import status
from .difference import ChangeKind
from .models.pools import ConflictResolution


def allows(resolution: str, kinds: Collection[ChangeKind]) -> bool:
    """Whether automatic sync may make changes of these kinds."""
    if resolution == ConflictResolution.MANUAL:
        return status.of_kinds(kinds) == status.EndpointStatus.BEHIND
    if resolution == ConflictResolution.NEWEST:
        return ChangeKind.DOWNGRADE not in kinds
    return True
