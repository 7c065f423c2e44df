"""The commands of the Kubernetes page. tests/cluster runs each as it is printed, so it has to find each there."""

import re

import pytest

from tests.cluster.page import commands, printed
from tests.deploy.engine import ROOT

CALL = re.compile(r"""(?:\.follow|\bprinted)\(\s*(?:"([^"]+)"|'([^']+)')""")
PLACEHOLDER = "kubectl exec deploy/pacman-sync-utility -- python manage.py …"
# What the page only names; it prints the whole command elsewhere, or none.
NAMES = {"kubectl apply", "kubectl drain", "kubectl port-forward", "kubectl exec … manage.py", PLACEHOLDER}
# Need a pod that has ended with an error, Traefik in the cluster, a certificate, another password of PostgreSQL.
NOT_RUN = {
    "kubectl logs POD",
    "kubectl -n traefik port-forward svc/traefik 8443:443",
    "kubectl create secret tls pacman-sync-utility-tls --cert=fullchain.pem --key=privkey.pem",
    """kubectl patch secret pacman-sync-utility-secrets -p '{"stringData": {"DATABASE_URL": "postgresql://…"}}'""",
}


def parts() -> list[str]:
    """What the cluster's tests look for on the page."""
    sources = [path.read_text() for path in sorted((ROOT / "tests/cluster").glob("*.py"))]
    return sorted({first or second for text in sources for first, second in CALL.findall(text)})


@pytest.mark.parametrize("part", parts())
def test_command_that_a_test_runs_is_printed_once(part: str) -> None:
    assert printed(part) in commands()


def test_command_that_is_printed_is_run_by_a_test() -> None:
    assert len(parts()) > 15
    run = {printed(part) for part in parts()}
    assert {*commands()} - run - NAMES - NOT_RUN == set()


def test_names_of_commands_are_on_the_page() -> None:
    assert {*commands()} >= NAMES | NOT_RUN
