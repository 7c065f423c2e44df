"""What pages may load and run: nothing inline, nothing from elsewhere."""

import re
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test import Client

from apps.fleet.models import Endpoint, EnrolmentCode
from tests import factories

INLINE = re.compile(rb"<style|\sstyle=|\son[a-z]+=\"|<script(?![^>]*\ssrc=)|javascript:", re.IGNORECASE)
ELSEWHERE = re.compile(rb"(?:src|href|action)=\"(?:https?:)?//", re.IGNORECASE)
PAGES = [
    "/",
    "/create-pool",
    "/audit",
    "/enrol",
    "/tokens",
    "/endpoints",
    "/endpoints/box",
    "/endpoints/box/revoke-token",
    "/endpoints/box/new-token",
    "/endpoints/box/packages",
    "/endpoints/box/packages?q=nothing",
    "/endpoints/box/timeline",
    "/endpoints/box/timeline?since=2020-01-01",
    "/packages",
    "/packages?q=x",
    "/packages/app",
    "/packages/app?missing=1&version=1",
    "/compare",
    "/compare?from=endpoint:box&to=revision:lab/1",
    "/compare?from=endpoint:box&to=endpoint:nothing",
    "/operations",
    "/pools/lab",
    "/pools/lab/change",
    "/pools/lab/delete",
    "/pools/lab/sync",
    "/pools/lab/preview",
    "/pools/lab/preview?machines=changes",
    "/pools/lab/analysis",
    "/pools/lab/excluded?try=a*",
    "/pools/lab/promote",
    "/pools/other/promote/lab",
    "/enrol/1/delete",
    "/pools/lab/target",
    "/pools/lab/target/box",
    "/pools/lab/revisions/1",
    "/password",
    "/admin/",
    "/admin/fleet/pool/",
    "/admin/fleet/pool/add/",
    "/nothing",
]


@pytest.fixture
def lab(db: None) -> Endpoint:
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1")
    factories.pool("other")
    EnrolmentCode.objects.create(pk=1, code_hash="1", expires=Now() + timedelta(days=1), uses=1, author="user:ada")
    return factories.reporting_endpoint("box", pool=pool, state=factories.state("app 1-1"))


@pytest.mark.parametrize("path", PAGES)
def test_page_runs_and_loads_only_its_own_files(staff: Client, lab: Endpoint, path: str) -> None:
    answer = staff.get(path)
    policy = answer["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy
    assert answer["X-Frame-Options"] == "DENY"
    assert not ELSEWHERE.search(answer.content)
    # Django's admin keeps its own JSON in a script element, which no browser runs.
    assert not INLINE.search(re.sub(rb"<script [^>]*type=\"application/json\"[^>]*>", b"", answer.content))


@pytest.mark.parametrize("path", [path for path in PAGES if not path.startswith("/admin")])
def test_page_is_whole_for_a_screen_reader(staff: Client, lab: Endpoint, path: str) -> None:
    page = staff.get(path).content.decode()
    assert page.count("<h1") == 1
    assert 'lang="en"' in page and 'class="skip"' in page and "<main" in page
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids)), sorted(name for name in ids if ids.count(name) > 1)
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
        assert "<caption" in table
        assert re.search(r"<th(?! scope|ead)", table) is None
    for target in re.findall(r'aria-labelledby="([^"]+)"|<label for="([^"]+)"', page):
        assert set(target) & set(ids), target


def test_missing_template_variable_never_shows(staff: Client, lab: Endpoint) -> None:
    for path in PAGES:
        page = staff.get(path).content.decode()
        assert "{{" not in page and "{%" not in page and ">None<" not in page, path
