"""The dashboard's JSON against Grafana's own types, as grafana-foundation-sdk has them."""

import enum
import json
import re
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tests.deploy.test_prometheus import DASHBOARD

SDK = "grafana_foundation_sdk."


def problems(document: dict[str, Any]) -> list[str]:
    """Fields that Grafana doesn't know, and values of another type than it has."""
    plugins.register_default_plugins()
    dashboard = Dashboard.from_json(document)
    return [*lost(document, json.loads(JSONEncoder().encode(dashboard)), ""), *wrong(dashboard)]


def lost(given: Any, known: Any, place: str) -> Iterator[str]:
    """What the SDK, which reads only the fields that it knows, didn't write again."""
    if isinstance(given, dict) and isinstance(known, dict):
        for name, value in given.items():
            if name in known:
                yield from lost(value, known[name], f"{place}.{name}")
            else:
                yield f"{place}.{name}"
    elif isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        for number, (value, back) in enumerate(zip(given, known, strict=True)):
            yield from lost(value, back, f"{place}[{number}]")
    elif given != known:
        yield place


def wrong(value: Any) -> Iterator[str]:
    """The SDK reads a value of any type: so each is compared with its annotation."""
    if isinstance(value, list):
        for item in value:
            yield from wrong(item)
    elif type(value).__module__.startswith(SDK):
        for name, hint in typing.get_type_hints(type(value)).items():
            if not fits(getattr(value, name), hint):
                yield f"{type(value).__name__}.{name}: {getattr(value, name)!r}"
            yield from wrong(getattr(value, name))


def fits(value: Any, hint: Any) -> bool:
    """The SDK leaves the text of an enumeration as it is, and puts nothing where a list or object is left out."""
    adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    try:
        found = adapter.validate_python(value, strict=not isinstance(value, str))
    except ValidationError:
        return False
    return not isinstance(value, str) or isinstance(found, (str, enum.Enum))


def test_dashboard_has_only_fields_and_types_of_grafana() -> None:
    assert problems(json.loads(DASHBOARD.read_text())) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("refrech",), "30s"),
        (("schemaVersion",), "39"),
        (("panels", 1, "tittle"), "a field of no panel"),
        (("panels", 1, "gridPos", "w"), "wide"),
        (("panels", 1, "targets", 0, "expresion"), "a field of no query"),
        (("panels", 1, "targets", 0, "expr"), 1),
        (("panels", 1, "options", "colourMode"), "a field of no stat panel"),
        (("panels", 1, "fieldConfig", "defaults", "thresholds", "mode"), "relative"),
        (("panels", 10, "fieldConfig", "defaults", "min"), "none"),
        (("panels", 10, "options", "legend", "placement"), "left"),
    ],
)
def test_dashboard_with_a_wrong_field_or_type_is_noticed(path: tuple[str | int, ...], value: object) -> None:
    document = json.loads(DASHBOARD.read_text())
    inner: Any = document
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    assert len(problems(document)) == 1


def test_dashboard_uses_only_variables_that_it_or_grafana_has() -> None:
    text = DASHBOARD.read_text()
    variables = json.loads(text)["templating"]["list"]
    assert [(variable["name"], variable["type"], variable["query"]) for variable in variables] == [
        ("datasource", "datasource", "prometheus")
    ]
    (source,) = yaml.safe_load((DASHBOARD.parents[1] / "provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["type"] == "prometheus"
    assert set(re.findall(r"\$\{?(\w+)", text)) == {"datasource", "__rate_interval"}
