"""One operation with everything known about it: what it waits for, and its packages before and after.

It must not know who may ask. apps.fleet decides what the parts mean.
"""

import json
from typing import Any, Literal

from django.http import HttpResponse
from ninja.responses import NinjaJSONEncoder
from pydantic import BaseModel, Field

from apps.api.requests.fields import Time
from apps.api.schemas.endpoints import ChangeOut, KeptOut, NoSyncOut
from apps.api.schemas.operations import OperationOut, Plan, operation_out
from apps.fleet import difference, operation_packages, waiting
from apps.fleet.exceptions import ComparisonTooLong, StateTooLarge
from apps.fleet.models import Operation


class WaitingOut(BaseModel):
    """What an operation waits for. `until` is when that is over at the latest."""

    code: str = Field(
        description="`next_report`, `offline`, `next_try`, `database_locked`, `another_operation`, `agent_silent`, "
        "`mirror`; or why it is cancelled when the machine asks for it: `base_changed`, `target_changed`, "
        "`sync_paused`, `pool_went_back`; or `token_revoked`."
    )
    text: str
    since: Time | None
    until: Time | None


class OperationPackagesOut(BaseModel):
    """The packages before and after an operation, and the changes between them."""

    what: Literal["planned", "changed", "not_begun", "not_known"] = Field(
        description="`planned`: to its goal, as it hasn't ended. `changed`: to the state that it left. `not_begun`: it "
        "ended before pacman was started, this is what it would have changed. `not_known`: what it left isn't "
        "known, this is what it should have changed."
    )
    origin: str = Field(alias="from", description="Digest of the state before.")
    goal: str = Field(alias="to", description="Digest of the state after.")
    counts: Plan | None = Field(description="Null where the states can't be compared.")
    changes: list[ChangeOut] | None = Field(description="Null where the states can't be compared.")
    kept: KeptOut | None = Field(
        description="Of what is planned: names that are left as they are although the target has them otherwise."
    )
    refusal: NoSyncOut | None = Field(description="Why the states can't be compared; null if they can.")


class OperationDetail(OperationOut):
    """An operation for people. With an endpoint's own token, the last two fields are left out."""

    waits_for: WaitingOut | None = Field(None, description="Null while it is at work and when it has ended.")
    packages: OperationPackagesOut | None = Field(None, description="Its packages before and after.")


def operation_detail(operation: Operation) -> HttpResponse:
    """The operation in the form of `OperationDetail`, written as JSON like `diff_out`: it may have 20,000 changes."""
    waits = waiting.of(operation)
    body = operation_out(operation).model_dump() | {
        "waits_for": waits and {"code": waits.code, "text": waits.text, "since": waits.since, "until": waits.until},
        "packages": _packages(operation),
    }
    return as_answer(body)


def as_answer(body: dict[str, Any]) -> HttpResponse:
    return HttpResponse(json.dumps(body, cls=NinjaJSONEncoder), content_type="application/json; charset=utf-8")


def _packages(operation: Operation) -> dict[str, Any]:
    found = operation_packages.of(operation)
    sides = {"what": found.what.value, "from": found.before.pk, "to": found.after.pk}
    try:
        return sides | {
            "counts": difference.counts(found.changes),
            "changes": difference.as_json(found.changes),
            "kept": found.kept if found.what == operation_packages.What.PLANNED else None,
            "refusal": None,
        }
    except (StateTooLarge, ComparisonTooLong) as error:
        refusal = {"code": error.code, "detail": str(error)}
        return sides | {"counts": None, "changes": None, "kept": None, "refusal": refusal}
