"""Chooses the form of an answer from an Accept header (RFC 9110, section 12.5.1). It must not know what is answered."""

from enum import StrEnum
from typing import NamedTuple


class Form(StrEnum):
    JSON = "json"
    HTML = "html"
    PROMETHEUS = "prometheus"  # the older text format, or OpenMetrics if the header prefers it
    OPENMETRICS = "openmetrics"


OPENMETRICS = "application/openmetrics-text"
# In the server's order of preference, which decides between types of equal quality.
MEDIA_TYPES: dict[str, Form] = {
    "application/json": Form.JSON,
    "application/problem+json": Form.JSON,
    "text/html": Form.HTML,
    "application/xhtml+xml": Form.HTML,
    OPENMETRICS: Form.PROMETHEUS,
    "text/plain": Form.PROMETHEUS,
}
MAX_HEADER = 4096  # characters that are looked at


class Wish(NamedTuple):
    """One entry of an Accept header. `specific` is 2 for a/b, 1 for a/*, 0 for */*."""

    type: str
    quality: float
    specific: int


def parse(header: str) -> list[Wish]:
    """The entries of an Accept header; invalid ones are left out."""
    return [wish for part in header[:MAX_HEADER].split(",") if (wish := _wish(part)) is not None]


def _wish(text: str) -> Wish | None:
    media_type, *parameters = (part.strip().lower() for part in text.split(";"))
    kind, slash, subtype = media_type.partition("/")
    if not (kind and slash and subtype) or " " in media_type or (kind == "*" and subtype != "*"):
        return None
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
            if not 0 <= quality <= 1:
                return None
    return Wish(media_type, quality, (kind != "*") + (subtype != "*"))


def quality_of(media_type: str, wishes: list[Wish]) -> float:
    """The quality of this type: the most specific entry that covers it decides."""
    kind = media_type.partition("/")[0]
    covering = [wish for wish in wishes if wish.type in (media_type, f"{kind}/*", "*/*")]
    return max(covering, key=lambda wish: (wish.specific, wish.quality)).quality if covering else 0.0


def choose(header: str | None, override: str = "") -> Form:
    """The form to answer in: `override` if there is one, otherwise by the header. JSON when in doubt, and for `*/*`.

    Raises ValueError if `override` isn't a form.
    """
    if override:
        return Form(override)
    wishes = parse(header or "")
    best, best_quality = Form.JSON, 0.0
    for media_type, form in MEDIA_TYPES.items():
        quality = quality_of(media_type, wishes)
        if quality > best_quality:
            best, best_quality = form, quality
    return best
