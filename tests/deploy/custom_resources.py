"""Validates custom resources against the schemas in `schemas/`, each from the project that its file names.

It must not know what is validated. Unknown fields are errors, as they are for kubectl. CEL rules aren't checked.
"""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parent / "schemas"
Schema = dict[str, Any]


def validate(document: dict[str, Any]) -> None:
    """Raises jsonschema.ValidationError if it doesn't match; FileNotFoundError if its kind has no schema."""
    group = document["apiVersion"].partition("/")[0]
    schema = json.loads((SCHEMAS / f"{group}.{document['kind']}.json").read_text())["schema"]
    Draft202012Validator(strict(schema)).validate(document)


def strict(schema: Schema) -> Schema:
    """The same, but an object has only the fields that the schema names, unless it allows others."""
    made = {name: strict(value) if isinstance(value, dict) else value for name, value in schema.items()}
    if "properties" in schema:
        made["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made
