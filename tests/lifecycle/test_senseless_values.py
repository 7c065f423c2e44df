"""Every variable of docs/configuration.md with values that make no sense: accepted, or refused in a short sentence."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.support.server import environment

URL = "postgresql://nobody@127.0.0.1:1/none"
DOCUMENT = (Path(settings.BASE_DIR) / "docs" / "configuration.md").read_text()
SETTINGS = (Path(settings.BASE_DIR) / "pacsync" / "settings.py").read_text()
NAMES = sorted(set(re.findall(r"`([A-Z_]+)`", DOCUMENT)) & set(re.findall(r'\("([A-Z_]+)"', SETTINGS)))
VALUES = ("", "$HOME", "$UNKNOWN", "$NAME", "   ", "ü１２", "\udcff", ",,", "9" * 20_000, "x" * 20_000)
# Reads the settings once for each variable and value, and prints what isn't a refusal in a sentence.
PROGRAM = """
import json, os, sys
from django.core.exceptions import ImproperlyConfigured
names, values, suffix, folder = json.load(sys.stdin)
before = dict(os.environ)
for name in names:
    for value in values:
        os.environ.clear()
        os.environ.update(before)
        value = value.replace("NAME", name)
        if suffix:
            with open(f"{folder}/value", "w", errors="surrogateescape") as file:
                file.write(value)
            value = file.name
        os.environ[name + suffix] = value
        for module in [module for module in sys.modules if module.startswith("pacsync")]:
            del sys.modules[module]
        try:
            import pacsync.settings
        except ImproperlyConfigured as error:
            said = str(error).replace(f"{folder}/value", "FILE")
            if name not in said or len(said) > 400 or (suffix and any(a in said for a in ("$", "99", "xx", ",,"))):
                print(name, ascii(value)[:40], ascii(said)[:400])
        except Exception as error:
            print(name, ascii(value)[:40], type(error).__name__, error)
"""


@pytest.mark.parametrize("suffix", ["", "_FILE"])
def test_settings_senseless_value_is_one_sentence_and_quotes_no_file(tmp_path: Path, suffix: str) -> None:
    assert len(NAMES) > 60
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=settings.BASE_DIR,
        env=environment(URL),
        input=json.dumps([NAMES, VALUES, suffix, str(tmp_path)]),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_secret_key_may_begin_with_a_dollar() -> None:
    """django-environ takes such a value for the name of another variable."""
    code = "from pacsync import settings; print(settings.SECRET_KEY)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env=environment(URL, SECRET_KEY="$HOME"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "$HOME", done.stderr
