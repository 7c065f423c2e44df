"""The components and the OpenShift overlay: schemas of custom resources, and what they change of the base."""

import copy
from typing import Any

import kubernetes_validate
import pytest
from jsonschema import ValidationError

from tests.deploy import custom_resources
from tests.deploy.manifests import assembled, only, render
from tests.deploy.test_kubernetes import NEWEST

pytestmark = pytest.mark.needs("kubectl")
Documents = list[dict[str, Any]]
SECRET = "pacman-sync-utility-secrets"
OPENSHIFT = "overlays/openshift"
CUSTOM = [("http-route", "HTTPRoute"), ("cloudnative-pg", "Cluster"), (OPENSHIFT, "Route")]
RENDERED = ["http-route", "cloudnative-pg", "secret-files", OPENSHIFT]


def made(name: str) -> Documents:
    """The documents of an overlay, or of the base with a component."""
    return render(name) if name.startswith("overlays/") else assembled(name)


def containers(documents: Documents) -> list[dict[str, Any]]:
    pod = only(documents, "Deployment")["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


def variables(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in container["env"]}


@pytest.mark.parametrize("name", RENDERED)
def test_documents_match_the_strict_schema(name: str) -> None:
    custom = dict(CUSTOM).get(name)
    for document in made(name):
        if document["kind"] == custom:
            custom_resources.validate(document)
        else:
            kubernetes_validate.validate(document, "{}.{}".format(*NEWEST[-1]), strict=True)


@pytest.mark.parametrize(("name", "kind"), CUSTOM)
def test_custom_resource_with_a_wrong_field_is_refused_by_its_schema(name: str, kind: str) -> None:
    found = only(made(name), kind)
    unknown, mistyped = copy.deepcopy(found), copy.deepcopy(found)
    unknown["spec"]["nosuch"] = 1
    mistyped["spec"][next(iter(found["spec"]))] = 1.5
    for document in (unknown, mistyped):
        with pytest.raises(ValidationError):
            custom_resources.validate(document)


def test_ingress_names_no_controller(documents: Documents) -> None:
    ingress = only(documents, "Ingress")
    assert "annotations" not in ingress["metadata"]
    assert "ingressClassName" not in ingress["spec"]


def test_route_of_the_gateway_replaces_the_ingress_and_names_the_service() -> None:
    documents = assembled("http-route")
    assert "Ingress" not in {document["kind"] for document in documents}
    route, service = only(documents, "HTTPRoute")["spec"], only(documents, "Service")
    (rule,) = route["rules"]
    ports = [port["port"] for port in service["spec"]["ports"]]
    assert [(backend["name"], [backend["port"]]) for backend in rule["backendRefs"]] == [
        (service["metadata"]["name"], ports)
    ]
    assert set(route["hostnames"]) <= set(only(documents, "ConfigMap")["data"]["ALLOWED_HOSTS"].split(","))


def test_namespace_of_the_gateway_may_reach_the_pods() -> None:
    documents = assembled("http-route")
    gateways = {parent["namespace"] for parent in only(documents, "HTTPRoute")["spec"]["parentRefs"]}
    (rule,) = only(documents, "NetworkPolicy")["spec"]["ingress"]
    (names,) = [
        part["namespaceSelector"]["matchExpressions"][0] for part in rule["from"] if "namespaceSelector" in part
    ]
    assert gateways <= set(names["values"])


def test_secret_files_leave_no_value_in_the_environment() -> None:
    documents = assembled("secret-files")
    pod = only(documents, "Deployment")["spec"]["template"]["spec"]
    (volume,) = [volume for volume in pod["volumes"] if "secret" in volume]
    assert volume["secret"]["secretName"] == SECRET
    for container in containers(documents):
        assert not any("valueFrom" in variable for variable in container["env"])
        (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == volume["name"]]
        assert mount["readOnly"]
        files = {f"{mount['mountPath']}/{item['path']}": item["key"] for item in volume["secret"]["items"]}
        named = {variable["value"]: name for name, variable in variables(container).items() if name.endswith("_FILE")}
        assert {path: f"{key}_FILE" for path, key in files.items()} == named


def test_secret_files_replace_each_variable_of_the_secret(documents: Documents) -> None:
    plain, changed = (variables(containers(found)[1]) for found in (documents, assembled("secret-files")))
    taken = {name for name, variable in plain.items() if "secretKeyRef" in variable.get("valueFrom", {})}
    assert {f"{name}_FILE" for name in taken} == set(changed) - set(plain)


def test_operators_secret_replaces_the_database_url() -> None:
    documents = assembled("cloudnative-pg")
    cluster = only(documents, "Cluster")
    for container in containers(documents):
        found = variables(container)
        assert "DATABASE_URL" not in found
        parts = {name: found[name]["valueFrom"]["secretKeyRef"] for name in found if name.startswith("DATABASE_")
                 and "valueFrom" in found[name]}  # fmt: skip
        assert {reference["name"] for reference in parts.values()} == {f"{cluster['metadata']['name']}-app"}
        assert {name: reference["key"] for name, reference in parts.items()} == {
            "DATABASE_HOST": "host",
            "DATABASE_PORT": "port",
            "DATABASE_NAME": "dbname",
            "DATABASE_USER": "user",
            "DATABASE_PASSWORD": "password",
        }
    config = only(documents, "ConfigMap")["data"]
    assert not set(found) & set(config)


def test_openshift_chooses_the_user_and_has_a_route() -> None:
    documents = render(OPENSHIFT)
    security = only(documents, "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert set(security) == {"runAsNonRoot", "seccompProfile"}
    assert "Ingress" not in {document["kind"] for document in documents}
    route, service = only(documents, "Route")["spec"], only(documents, "Service")
    assert route["to"] == {"kind": "Service", "name": service["metadata"]["name"]}
    assert route["port"]["targetPort"] in [port["name"] for port in service["spec"]["ports"]]
    assert route["host"] in only(documents, "ConfigMap")["data"]["ALLOWED_HOSTS"].split(",")


def test_openshifts_dns_is_reached_on_the_port_of_its_pods() -> None:
    dns, *_ = only(render(OPENSHIFT), "NetworkPolicy")["spec"]["egress"]
    (to,) = dns["to"]
    assert to["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "openshift-dns"}
    assert {(port["protocol"], port["port"]) for port in dns["ports"]} == {("UDP", 5353), ("TCP", 5353)}
