"""The rest of the page's commands, as they are printed: accounts, drain, looking at pods, secrets that are replaced."""

import json
import os
import pty
import secrets
import subprocess

import pytest

from tests.cluster import database
from tests.cluster.kubelet import port_forward
from tests.cluster.page import printed, span
from tests.cluster.service import NAME, Service, named, token_of
from tests.cluster.traffic import Traffic
from tests.deploy.engine import eventually, fetch

pytestmark = pytest.mark.timeout(1200)
ANSWERS = (
    ("Username", "ann"),
    ("Email", "ann@example.org"),
    ("Password:", "of-this-test-1"),
    ("(again)", "of-this-test-1"),
)


def test_administrator_is_made_at_a_terminal(service: Service) -> None:
    """`kubectl exec -it` wants a terminal, and the command asks for each value."""
    ours, theirs = pty.openpty()
    command = ["bash", "-c", printed("createsuperuser")]
    said = ""
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=service.cluster.environment
    ) as asking:
        os.close(theirs)
        for question, answer in ANSWERS:
            while question not in said:
                said += os.read(ours, 1000).decode()
            said = said.partition(question)[2]
            os.write(ours, f"{answer}\n".encode())
        assert asking.wait(timeout=120) == 0
    os.close(ours)
    assert service.database.sql("SELECT is_superuser FROM auth_user WHERE username = 'ann'") == "t"


def test_enrolment_code_is_printed(service: Service) -> None:
    code = token_of(service.follow("create_enrolment_code").stdout)
    assert len(code) > 10
    assert service.database.sql("SELECT uses, used FROM fleet_enrolmentcode ORDER BY id DESC LIMIT 1") == "10|0"


def test_logs_of_all_pods_are_shown(service: Service) -> None:
    assert len(service.follow("kubectl logs -l").stdout.splitlines()) > 2


def test_drained_pod_leaves_the_service_and_comes_back(service: Service) -> None:
    all_pods = {named(pod) for pod in service.pods()}
    pod = min(all_pods)
    command = printed("manage.py drain", POD=pod)

    def in_service() -> set[str]:
        slices = service.cluster.items("endpointslices", "-l", f"kubernetes.io/service-name={NAME}")
        ends = [end for one in slices for end in one["endpoints"] or []]
        return {end["targetRef"]["name"] for end in ends if end["conditions"]["ready"]}

    assert in_service() == all_pods
    service.cluster.shell(command)
    service.follow("kubectl wait", POD=pod)
    service.cluster.eventually(lambda: in_service() == all_pods - {pod}, "the pod is out of the Service", within=20)
    service.cluster.shell(f"{command} {span('--undo').split()[-1]}")
    service.cluster.eventually(lambda: in_service() == all_pods, "the pod is back")


def test_details_are_shown_by_port_forward(service: Service) -> None:
    with port_forward(service, printed("kubectl port-forward POD", POD=named(service.pods()[0]))) as port:
        eventually(lambda: fetch(port, "/health/live")[0] == 200, within=30, what="the forwarded port answers")
        found = json.loads(fetch(port, "/health/detailed", headers={"Accept": "application/json"})[2])
    assert "components" in found


def test_api_is_used_without_the_ingress(service: Service) -> None:
    token = token_of(service.follow("create_api_token", NAME="forwarded").stdout)
    with port_forward(service, printed("kubectl port-forward deploy/")) as port:
        eventually(lambda: fetch(port, "/health/live")[0] == 200, within=30, what="the forwarded port answers")
        ask = span("curl -H").replace("TOKEN", token).replace("localhost:8080", f"localhost:{port}")
        found = json.loads(service.cluster.shell(ask).stdout)
    assert isinstance(found["items"], list)


def test_commands_that_only_show_something_work(service: Service) -> None:
    pod = named(service.pods()[0])
    assert pod in service.follow("kubectl get pods").stdout
    assert "Readiness" in service.follow("kubectl describe pod", POD=pod).stdout
    # The first of the first pods is the one that migrates.
    said = service.follow("-c migrate", POD=pod).stdout
    assert '"migrated"' in said or '"the schema is up to date"' in said
    assert "pacman-sync-utility-hpa" in service.follow("kubectl get hpa").stdout
    assert NAME in service.follow("kubectl get endpointslices").stdout
    assert NAME in service.follow("kubectl get ingress").stdout
    assert service.follow("kubectl get ingressclass").returncode == 0
    assert f"pod/{pod}" in service.follow("kubectl get events").stdout


def test_figures_of_pods_are_shown(service: Service, metrics: None) -> None:
    pod = named(service.pods()[0])
    service.cluster.eventually(lambda: pod in service.follow("kubectl top pod").stdout, "the figures of a new pod")


@pytest.mark.long
def test_secret_key_is_replaced_and_what_the_old_one_signed_stays_valid(service: Service, traffic: Traffic) -> None:
    old = service.in_pod("import os; print(os.environ['SECRET_KEY'])")
    signed = service.in_pod("from django.core import signing; print(signing.dumps('by the old key'))")
    new = secrets.token_urlsafe(50)
    first = printed("SECRET_KEY_FALLBACKS", NEW=new)
    second_values = span('"SECRET_KEY_FALLBACKS": "OLD"').replace("NEW", new).replace("OLD", old)
    second = f"{first[: first.index(chr(39))]}'{{\"stringData\": {second_values}}}'"
    with service.ends_are_clean(), traffic.flowing() as result:
        for patch in (first, second):
            service.cluster.shell(patch)
            service.follow("kubectl rollout restart deployment/")
            service.follow("kubectl rollout status deployment/")
        service.until_settled()
    result.nothing_is_lost()
    assert service.in_pod("import os; print(os.environ['SECRET_KEY'])") == new
    assert service.in_pod(f"from django.core import signing; print(signing.loads({signed!r}))") == "by the old key"


@pytest.mark.long
def test_password_of_postgresql_is_replaced_and_new_pods_have_it(service: Service) -> None:
    other = "another-of-this-test"
    try:
        with service.ends_are_clean():
            replace_password(service, other)
            service.follow("kubectl rollout restart deployment/")
            service.follow("kubectl rollout status deployment/")
        asked = service.in_pod("from django.conf import settings; print(settings.DATABASES['default']['PASSWORD'])")
        assert asked == other
    finally:
        replace_password(service, database.PASSWORD)
        service.follow("kubectl rollout restart deployment/")


def replace_password(service: Service, password: str) -> None:
    """In PostgreSQL and in the Secret."""
    url = database.URL.replace(f":{database.PASSWORD}@", f":{password}@")
    service.database.sql(f"ALTER ROLE {database.USER} PASSWORD '{password}'")
    patch = json.dumps({"stringData": {"DATABASE_URL": url}})
    service.cluster("patch", "secret", "pacman-sync-utility-secrets", "-p", patch)
