"""What the domain refuses, each with one stable `code`. HTTP statuses are in apps/api/requests/errors.py."""

from typing import Any, ClassVar


class FleetError(Exception):
    """A request that the domain refuses. `str(error)` is a sentence for a person, `extra` has data for programs."""

    code: ClassVar[str] = "refused"

    def __init__(self, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.extra = extra


class Invalid(FleetError):
    """The input makes no sense."""

    code = "invalid_request"


class InvalidName(Invalid):
    code = "invalid_name"


class InvalidPattern(Invalid):
    """A pattern of excluded packages that matches everything, or can't match anything."""

    code = "invalid_pattern"


class InvalidState(Invalid):
    code = "invalid_state"


class InvalidRepository(Invalid):
    code = "invalid_repository"


class RepositoryTooLarge(Invalid):
    """More packages than REPOSITORY_MAX_PACKAGES."""

    code = "repository_too_large"


class DigestMismatch(Invalid):
    code = "digest_mismatch"


class Conflict(FleetError):
    """The input makes sense, but not in the current state of things."""

    code = "conflict"


class StateTooLarge(Conflict):
    """More packages than STATE_MAX_PACKAGES: not taken, and one that was kept before isn't compared."""

    code = "state_too_large"


class NameTaken(Conflict):
    code = "name_taken"


class PoolNotEmpty(Conflict):
    code = "pool_not_empty"


class NoPool(Conflict):
    code = "no_pool"


class NoTarget(Conflict):
    code = "no_target"


class StateUnknown(Conflict):
    code = "state_unknown"


class AlreadyInSync(Conflict):
    code = "already_in_sync"


class NothingToRevert(Conflict):
    code = "nothing_to_revert"


class OperationActive(Conflict):
    code = "operation_active"


class IdempotencyKeyReused(Conflict):
    code = "idempotency_key_reused"


class BaseChanged(Conflict):
    code = "base_changed"


class NotClaimable(Conflict):
    code = "not_claimable"


class NotCancellable(Conflict):
    code = "not_cancellable"


class LeaseLost(Conflict):
    code = "lease_lost"


class TargetChanged(Conflict):
    code = "target_changed"


class SourceChanged(Conflict):
    """The endpoint would give another target than the one that was shown."""

    code = "source_changed"


class UnsoundSource(Conflict):
    """The endpoint's examination says that it can't be the source of a target; `problems` are its findings."""

    code = "unsound_source"


class DatabasesUnreadable(Conflict):
    """The endpoint has no readable sync database of a repository, and its mirrors gave it none."""

    code = "databases_unreadable"


class TokenShared(Conflict):
    """More than one machine reports with the endpoint's token, so nobody knows which one an operation would change."""

    code = "token_shared"


class CodeForAnotherName(Conflict):
    """The code gives another endpoint its machine back."""

    code = "code_for_another_name"


class FeatureDisabled(Conflict):
    """The server's configuration switches this off."""

    code = "feature_disabled"


class ComparisonTooLong(FleetError):
    """Given up after COMPARISON_TIMEOUT; a repeat takes as long."""

    code = "comparison_too_long"


class QuotaExceeded(FleetError):
    """The endpoint uploaded too much lately. `retry_after` is the number of seconds until it may continue."""

    code = "upload_quota_exceeded"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TokenExpired(FleetError):
    """The API token is the right one, but its time is over."""

    code = "token_expired"


class Forbidden(FleetError):
    """Known, but not allowed."""

    code = "forbidden"


class MayNotSetTargets(Forbidden):
    """An endpoint without the right to set targets."""

    code = "may_not_set_targets"


class ApprovalPending(Forbidden):
    """The endpoint enrolled, and no operator has approved it yet."""

    code = "approval_pending"


class EnrolmentCodeInvalid(Forbidden):
    code = "enrolment_code_invalid"


class NotFound(FleetError):
    code = "not_found"


class PoolRenamed(NotFound):
    """A pool that was asked for by a former name. `name` is the current one."""

    def __init__(self, former: str, name: str) -> None:
        super().__init__(f"The pool {former} is called {name} now.")
        self.former, self.name = former, name
