"""What management commands print, as text and as JSON. It must not know what that should be."""

import json
from io import StringIO
from typing import Any

from django.core.management import call_command


def said(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def document(*arguments: str) -> Any:
    """What the command prints as JSON: one document in one line."""
    text = said(*arguments, "--format", "json")
    assert text.endswith("\n") and text.count("\n") == 1
    return json.loads(text)
