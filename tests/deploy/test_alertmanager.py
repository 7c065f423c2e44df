"""Alertmanager's file, read by amtool; its routes and inhibitions against the rules of Prometheus."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.engine import ROOT, run
from tests.deploy.test_prometheus import PROMETHEUS, RULES

ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"


def alerts() -> dict[str, str]:
    """The severity of each alert."""
    documents = [yaml.safe_load((PROMETHEUS / name).read_text()) for name in RULES]
    rules = [rule for document in documents for group in document["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule["labels"]["severity"] for rule in rules if "alert" in rule}


@pytest.mark.needs("amtool")
def test_alertmanager_configuration_is_valid() -> None:
    run("amtool", "check-config", ALERTMANAGER)


@pytest.mark.needs("amtool")
def test_alertmanager_example_of_mail_is_valid(tmp_path: Path) -> None:
    text, count = re.subn(r"^    #(?=\S)|^    #(?=  )", "    ", ALERTMANAGER.read_text(), flags=re.MULTILINE)
    assert count == 6
    (receiver, _) = yaml.safe_load(text)["receivers"]
    assert receiver["email_configs"][0]["auth_password_file"]
    (tmp_path / "alertmanager.yml").write_text(text)
    run("amtool", "check-config", tmp_path / "alertmanager.yml")


@pytest.mark.needs("amtool")
@pytest.mark.parametrize(("severity", "receiver"), [("critical", "on-call"), ("warning", "team"), ("info", "team")])
def test_alertmanager_route_of_each_severity(severity: str, receiver: str) -> None:
    assert severity in alerts().values()
    options = (f"--config.file={ALERTMANAGER}", f"--verify.receivers={receiver}")
    run("amtool", "config", "routes", "test", *options, f"severity={severity}")


def test_alertmanager_keeps_back_only_alerts_that_there_are() -> None:
    configuration: dict[str, Any] = yaml.safe_load(ALERTMANAGER.read_text())
    for rule in configuration["inhibit_rules"]:
        for (matcher,) in (rule["source_matchers"], rule["target_matchers"]):
            expression = re.sub(r'^alertname =~? |"', "", matcher)
            prefix, _, names = expression.rstrip(")").partition("(")
            assert {f"{prefix}{name}" for name in names.split("|")} <= set(alerts()), matcher
            assert [name for name in alerts() if re.fullmatch(expression, name)], matcher


def test_prometheus_sends_to_the_alertmanager_of_the_stack() -> None:
    (manager,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["alerting"]["alertmanagers"]
    service = yaml.safe_load((ROOT / "docker-compose.scale.yml").read_text())["services"]["alertmanager"]
    assert manager["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    assert service["ports"][0].endswith(":9093")
    secrets = {path.rpartition("/")[0] for path in re.findall(r"_file: ([^}\s]+)", ALERTMANAGER.read_text())}
    assert secrets == {service["volumes"][1].split(":")[-2]}
