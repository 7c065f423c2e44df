"""Every `code` that a problem can carry, its HTTP status and its meaning: one table for answers, OpenAPI and docs.

It must not know about requests or exceptions (apps/api/requests/errors.py maps those to a code).
"""

from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True)
class Code:
    """One stable code: the status it is sent with, and what it means to whoever gets it."""

    status: int
    meaning: str

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase


CODES = {
    "invalid_json": Code(400, "The body is not valid JSON, is nested too deeply, or has a key twice."),
    "too_complex": Code(400, "The body has more values, keys, levels or digits than any request needs."),
    "invalid_encoding": Code(
        400, "The body is not what Content-Encoding says: truncated, damaged, more than one member."
    ),
    "digest_mismatch": Code(400, "The text is not the one that the digest names."),
    "bad_request": Code(400, "The request can't be read as HTTP, or its host is not in the server's ALLOWED_HOSTS."),
    "token_invalid": Code(
        401, "The request has no token, or its token is unknown, was revoked, or its owner's account is deactivated."
    ),
    "token_expired": Code(401, "The API token's time is over: make a new one, and use it instead."),
    "forbidden": Code(403, "The token or session is valid but has no permission for this."),
    "may_not_set_targets": Code(403, "The endpoint has no right to set targets; an operator can give it."),
    "csrf_failed": Code(403, "A change with a dashboard session needs its CSRF token (X-CSRFToken) and origin."),
    "enrolment_code_invalid": Code(
        403, "The enrolment code is unknown, expired or used up; the answer doesn't say which."
    ),
    "approval_pending": Code(403, "The endpoint enrolled, and no operator has approved it yet."),
    "not_found": Code(404, "There is no such path, or no such thing."),
    "method_not_allowed": Code(
        405, "The path exists, but not with this method; the Allow header lists the supported methods."
    ),
    "conflict": Code(409, "The request makes sense, but not in the current state of things."),
    "name_taken": Code(409, "The name belongs to another one already; nothing is taken over."),
    "pool_not_empty": Code(409, "Endpoints are still assigned to the pool."),
    "no_pool": Code(409, "The endpoint is in no pool."),
    "no_target": Code(409, "The pool has no target yet."),
    "state_unknown": Code(409, "The state was never reported or uploaded."),
    "already_in_sync": Code(409, "The endpoint is in the wanted state already."),
    "nothing_to_revert": Code(409, "There is no finished sync that could be reverted."),
    "operation_active": Code(409, "The endpoint has an operation that isn't finished."),
    "idempotency_key_reused": Code(409, "The same key came before, with another request."),
    "base_changed": Code(409, "The endpoint is no longer in the operation's base state; the operation is cancelled."),
    "not_claimable": Code(409, "The operation is leased by someone else, or finished."),
    "not_cancellable": Code(409, "It is finished, or pacman was started for it, which is never stopped."),
    "lease_lost": Code(409, "Fenced: the lease token isn't that of the operation."),
    "target_changed": Code(409, "`expected_number` isn't the current revision."),
    "source_changed": Code(409, "`expected_digest` isn't the digest of what the endpoint would give now."),
    "unsound_source": Code(
        409, "The endpoint's own examination speaks against a target made from it; `problems` has its findings."
    ),
    "databases_unreadable": Code(
        409, "The endpoint can't read its sync databases, so which of its packages are foreign isn't known."
    ),
    "token_shared": Code(
        409, "More than one machine reports with the endpoint's token: no operation until one of them enrols again."
    ),
    "code_for_another_name": Code(
        409, "The code gives another endpoint its machine back; `detail` names that endpoint."
    ),
    "feature_disabled": Code(409, "The server's configuration switches this off."),
    "length_required": Code(411, "The body came without Content-Length."),
    "too_large": Code(413, "The body is over the limit, counted after decompression."),
    "unsupported_media_type": Code(
        415, "The body has a Content-Type or Content-Encoding that this route doesn't read."
    ),
    "invalid_request": Code(
        422, "A field or parameter is missing, unknown, or of the wrong type; `errors` lists them."
    ),
    "invalid_name": Code(422, "Not a name: 1 to 63 letters, digits, dots, hyphens, underscores."),
    "invalid_pattern": Code(
        422, "A pattern of excluded packages matches everything, can't match anything, or has bad syntax."
    ),
    "invalid_state": Code(422, "The state text is not canonical, or a line is malformed."),
    "invalid_repository": Code(422, "The repository text is not canonical, or a line is malformed."),
    "state_too_large": Code(
        422,
        "The state has more packages than STATE_MAX_PACKAGES: it isn't taken, or was kept before and isn't compared.",
    ),
    "repository_too_large": Code(422, "The repository has more packages than REPOSITORY_MAX_PACKAGES."),
    "comparison_too_long": Code(
        422, "The comparison was given up after COMPARISON_TIMEOUT seconds of computing; a repeat takes as long."
    ),
    "invalid_cursor": Code(422, "The cursor doesn't come from this list."),
    "refused": Code(422, "Refused for another reason, which `detail` gives."),
    "rate_limited": Code(429, "Too many requests of this kind from your address: try again after Retry-After seconds."),
    "upload_quota_exceeded": Code(
        429, "The endpoint uploaded too much lately (UPLOAD_QUOTA_…): try again after Retry-After seconds."
    ),
    "internal_error": Code(500, "A fault of the server; its log has the request's X-Request-ID."),
    "busy": Code(
        503, "All threads or database connections are in use, or a row is locked: try again after Retry-After seconds."
    ),
    "database_unavailable": Code(503, "The database can't be used: try again after Retry-After seconds."),
    "database_not_writable": Code(
        503, "The database can be read, but takes no changes; nothing was changed. Try again after Retry-After seconds."
    ),
    "outcome_unknown": Code(
        503, "The change was not confirmed in time and may have been carried out: check, or repeat it idempotently."
    ),
    "shutting_down": Code(503, "This instance is stopping: try again after Retry-After seconds."),
}
