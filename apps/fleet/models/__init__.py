"""The tables of the fleet. Rules that must always hold are constraints here, not code elsewhere."""

from .access import ApiToken, EnrolmentCode
from .alarms import ChecksumConflict
from .audit import AuditEvent
from .endpoints import Endpoint, EndpointRepository, EndpointState
from .operations import Operation, OperationKind, OperationStatus
from .pools import Pool, TargetFiles, TargetRevision
from .states import PackageVersion, RepositoryContent, State
from .uploads import Upload

__all__ = [
    "ApiToken",
    "AuditEvent",
    "ChecksumConflict",
    "Endpoint",
    "EndpointRepository",
    "EndpointState",
    "EnrolmentCode",
    "Operation",
    "OperationKind",
    "OperationStatus",
    "PackageVersion",
    "Pool",
    "RepositoryContent",
    "State",
    "TargetFiles",
    "TargetRevision",
    "Upload",
]
