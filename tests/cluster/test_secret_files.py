"""The component secret-files in a real cluster: the values are in files, and in no process's environment."""

import pytest

from tests.cluster.service import NAME, Service
from tests.cluster.traffic import Traffic

pytestmark = pytest.mark.timeout(900)
SECRET = "pacman-sync-utility-secrets"
# The names of variables of every process of the container: all are of one user, who may read them.
VARIABLES = """
from pathlib import Path
texts = [path.read_text() for path in Path("/proc").glob("[0-9]*/environ")]
print(*sorted({pair.split("=")[0] for text in texts for pair in text.split(chr(0))}))
"""


def variables(service: Service) -> set[str]:
    return {*service.cluster("exec", f"deploy/{NAME}", "--", "python", "-c", VARIABLES).split()}


def test_secret_as_files_is_in_no_environment(service: Service, traffic: Traffic) -> None:
    """The pods that wait for the third key leave the old ones in service, and continue by themselves."""
    names = {"SECRET_KEY", "DATABASE_URL"}
    assert variables(service) >= names
    before = service.in_pod("from django.conf import settings; print(settings.SECRET_KEY)")
    try:
        with service.ends_are_clean(), traffic.flowing() as result:
            service.apply_with("secret-files")
            service.cluster.eventually(lambda: "references non-existent secret key" in events(service), "the reason")
            service.cluster("patch", "secret", SECRET, "-p", '{"stringData": {"SECRET_KEY_FALLBACKS": ""}}')
            service.follow("kubectl rollout status deployment/")
        result.nothing_is_lost()
        found = variables(service)
        assert found.isdisjoint({*names, "SECRET_KEY_FALLBACKS"})
        assert found >= {f"{name}_FILE" for name in names}
        assert service.in_pod("from django.conf import settings; print(settings.SECRET_KEY)") == before
    finally:
        patch = '{"data": {"SECRET_KEY_FALLBACKS": null}}'
        service.cluster("patch", "secret", SECRET, "-p", patch)


def events(service: Service) -> str:
    return service.cluster("get", "events", "--field-selector", "reason=FailedMount")
