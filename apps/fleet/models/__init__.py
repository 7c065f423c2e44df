"""The tables of the fleet. Rules that must always hold are constraints here, not code elsewhere."""

from .alarms import ChecksumConflict
from .audit import AuditEvent
from .credentials import ApiToken, EnrolmentCode, ReenrolmentCode
from .endpoints import Endpoint, EndpointRepository, EndpointState, OfflinePeriod
from .operations import Operation, OperationKind, OperationStatus
from .packages import IndexSegment, Posting
from .pools import Pool, RevisionSignature, TargetFiles, TargetRevision
from .roles import Role
from .states import PackageVersion, RepositoryContent, State
from .status_cases import StatusCase
from .uploads import Upload

__all__ = [
    "ApiToken",
    "AuditEvent",
    "ChecksumConflict",
    "Endpoint",
    "EndpointRepository",
    "EndpointState",
    "EnrolmentCode",
    "IndexSegment",
    "OfflinePeriod",
    "Operation",
    "OperationKind",
    "OperationStatus",
    "PackageVersion",
    "Pool",
    "Posting",
    "ReenrolmentCode",
    "RepositoryContent",
    "RevisionSignature",
    "Role",
    "State",
    "StatusCase",
    "TargetFiles",
    "TargetRevision",
    "Upload",
]
