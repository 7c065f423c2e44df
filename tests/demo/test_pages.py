"""The dashboard over a fleet that has everything: each link that a page shows leads to a page."""

import re
from collections import Counter, deque
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import resolve

from demo import database, vulnerabilities
from demo.machines import Fleet

LINK = re.compile(r'<a\b[^>]*\shref="([^"#][^"]*)"')
EACH = 4  # pages of one kind that are looked at
APART = ("/admin/", "/static/", "/api/", "/agent/", "/metrics", "/health")


@pytest.mark.django_db
def test_pages_every_link_of_a_fleet_with_everything_leads_somewhere(
    client: Client, settings: Any, tmp_path: Path
) -> None:
    settings.SECURITY_TRACKER_URL = str(tmp_path / "all.json")
    database.fill(Fleet(endpoints=60), days=(-6, -2))
    vulnerabilities.take(settings.SECURITY_TRACKER_URL)
    client.force_login(get_user_model().objects.create_superuser("ann", password="x"))
    seen, kinds, todo = {"/"}, Counter[str](), deque([("/", "the browser")])
    while todo:
        path, before = todo.popleft()
        answer = client.get(path, follow=True)
        assert answer.status_code == 200, f"{path}, linked from {before}: {answer.status_code}"
        for href in LINK.findall(answer.content.decode()):
            there = urljoin(path, unescape(href))
            address = urlsplit(there)
            if address.netloc or address.path.startswith(APART) or there in seen:
                continue
            kind = f"{resolve(address.path).url_name}?{'&'.join(sorted(parse_qs(address.query)))}"
            seen.add(there)
            kinds[kind] += 1
            if kinds[kind] <= EACH:
                todo.append((there, path))
    assert {"endpoint?", "pool?", "operation?", "endpoints?", "operations?", "vulnerabilities?worst"} <= set(kinds)
