"""What a name of a pool or an endpoint may be. It must not know the models."""

from django.core.validators import RegexValidator

# A host-name-like word: safe in a URL path, a log line and a shell. Arch's own host names fit in it.
NAME_PATTERN = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
NAME_MAX_LENGTH = 63
validate_name = RegexValidator(
    NAME_PATTERN[:-1] + r"\Z",  # `$` would let a trailing newline pass
    "A name has 1 to 63 letters, digits, dots, hyphens and underscores, and starts and ends with a letter or digit.",
    code="invalid_name",
)
