"""The types of fields: what a name, a digest, a text or a number in a request may be.

Every type has a bound, and none lets a NUL through (PostgreSQL can't store it). It must not know about schemas.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from apps.fleet import limits
from apps.fleet.names import NAME_MAX_LENGTH, NAME_PATTERN, validate_name

MAX_BIGINT = 2**63 - 1
MAX_INTEGER = 2**31 - 1
NO_NUL = r"^[^\x00]*$"
HEX_DIGITS = r"^[0-9a-f]{64}$"
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
NO_SPACES = r"^[^\x00-\x20\x7f]+$"
NAME_OR_NONE = f"^-$|{NAME_PATTERN}"
# The message for a text that doesn't match the pattern.
PATTERNS = {
    HEX_DIGITS: "A digest has 64 hex digits, in lower case.",
    ONE_LINE: "It is one line without control characters.",
    NO_SPACES: "A pattern has no spaces.",
    NAME_PATTERN: str(validate_name.message),
    NAME_OR_NONE: str(validate_name.message),
}


class Body(BaseModel):
    """A request body: every field must be known, and have exactly its type."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NoFields(Body):
    """The body of a request that needs none: nothing, or an object without fields."""


def decimal(value: Any) -> Any:
    """Parameters are texts; pydantic alone would also accept `1_000`, ` 5` and `5.0`."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 19):
        raise ValueError("It is a whole number in decimal digits.")
    return value


def _without_nul(value: Any) -> Any:
    """A program's output may contain anything, and a result must not be lost because of a NUL."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode() if isinstance(value, str) else value


# The domain checks names, and refuses them with `invalid_name`; this pattern is for readers of the OpenAPI document.
NewName = Annotated[
    str, Field(max_length=1000, json_schema_extra={"pattern": NAME_PATTERN, "maxLength": NAME_MAX_LENGTH})
]
# A reference to something by name: what can't be a name isn't found.
Name = Annotated[
    str,
    Field(max_length=1000, pattern=NO_NUL, json_schema_extra={"pattern": NAME_PATTERN, "maxLength": NAME_MAX_LENGTH}),
]
# A name that is only compared: a filter.
NameFilter = Annotated[str, Field(max_length=NAME_MAX_LENGTH, pattern=NAME_PATTERN)]
Digest = Annotated[str, Field(pattern=HEX_DIGITS, description="SHA-256 in lower-case hex.")]
Fingerprint = Annotated[
    str, Field(max_length=64, pattern=r"^([0-9A-F]{40}|[0-9A-F]{64})$", description="Upper-case hex.")
]
Id = Annotated[UUID, Strict(False)]
Text500 = Annotated[str, Field(max_length=500, pattern=ONE_LINE, description="One line.")]
Hint = Annotated[str, Field(max_length=limits.HINT_LENGTH, pattern=ONE_LINE, description="One line.")]
Key = Annotated[str, Field(min_length=1, max_length=limits.IDEMPOTENCY_KEY_LENGTH, pattern=r"^[\x21-\x7e]+$")]
Pattern = Annotated[str, Field(min_length=1, max_length=limits.PATTERN_LENGTH, pattern=NO_SPACES)]
RepositoryName = Annotated[str, Field(max_length=limits.REPOSITORY_NAME_LENGTH, pattern=r"^[^\x00-\x20/\x7f]+$")]
MirrorUrl = Annotated[str, Field(max_length=limits.MIRROR_LENGTH, pattern=r"^(https?|ftp|file)://[\x21-\x7e]+$")]
Arch = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$")]
AgentVersion = Annotated[str, Field(max_length=limits.AGENT_VERSION_LENGTH, pattern=r"^[\x20-\x7e]*$")]
EnrolmentCodeText = Annotated[str, Field(min_length=1, max_length=200)]
ProblemCode = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
ProblemText = Annotated[
    str,
    Field(min_length=1, max_length=limits.PROBLEM_TEXT_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$", description="One line."),
]
ProblemName = Annotated[str, Field(min_length=1, max_length=limits.PACKAGE_NAME_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$")]
Sequence = Annotated[int, Field(ge=1, le=MAX_BIGINT)]
RevisionNumber = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
LogText = Annotated[str, BeforeValidator(_without_nul), Field(max_length=limits.LOG_TAIL_TAKEN)]
ResultCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,100}$")]

Role = Literal["viewer", "operator", "administrator"]
Kind = Literal["sync", "revert"]

# Parameters of a path or a query.
PathNumber = Annotated[int, BeforeValidator(decimal), Field(ge=1, le=MAX_INTEGER)]

Time = Annotated[datetime, WithJsonSchema({"type": "string", "format": "date-time"})]
