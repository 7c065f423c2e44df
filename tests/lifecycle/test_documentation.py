"""docs/configuration.md names each variable that settings.py reads, and no other."""

import re

from django.conf import settings

ELSEWHERE = {"AUTO_MIGRATE", "DATABASE_WAIT_SECONDS"}  # read by the image's entry point


def test_configuration_page_names_exactly_the_variables_of_the_settings() -> None:
    source = (settings.BASE_DIR / "pacsync" / "settings.py").read_text()
    read = set(
        re.findall(
            r'(?:env\.\w+|seconds|whole|flag|choice|networks|proxies|hosts|origins|address|database)\(\s*"([A-Z_]+)"',
            source,
        )
    )
    page = (settings.BASE_DIR / "docs" / "configuration.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert named == read
    assert len(read) > 40
    assert set(re.findall(r"`([A-Z_]+)`", page)) >= ELSEWHERE
