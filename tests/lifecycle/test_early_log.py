"""What is said before the settings are loaded: JSON where the server's own lines are, plain text at a terminal."""

import json
import re
import subprocess
import sys

import pytest
from django.conf import settings

from tests.support.server import environment

URL = "sqlite:///nothing.sqlite3"
GUNICORN = (sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py")
WAIT = (sys.executable, "deploy/database.py", "wait")
SERVE = ("sh", "deploy/entrypoint.sh", "serve")
# The command, what is wrong, the exit code, and words of the line.
REFUSED = {
    "a setting": (GUNICORN, {"WEB_THREADS": "many"}, 1, "WEB_THREADS must be a number"),
    "an option": ((*GUNICORN, "--daemon"), {}, 1, "--daemon is refused"),
    "before a wait": (WAIT, {"DATABASE_URL": "mysql://u@h/d"}, 1, "The configuration is wrong: DATABASE_URL"),
    "a time to wait": (WAIT, {"DATABASE_WAIT_SECONDS": "soon"}, 1, "DATABASE_WAIT_SECONDS must be a number"),
    "a switch": (SERVE, {"AUTO_MIGRATE": '"\\ \n\x1b[1m é'}, 2, "AUTO_MIGRATE must be true or false, not '\"\\ "),
    "a secret": (SERVE, {"REQUIRED_VARIABLES": "ABSENT"}, 2, "ABSENT is not set"),
}


def said(command: tuple[str, ...], env: dict[str, str], code: int) -> list[str]:
    """The lines on standard error of a program that ends with this code."""
    variables = environment(env.pop("DATABASE_URL", URL), **env)
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=variables, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (code, "")
    return done.stderr.splitlines()


@pytest.mark.parametrize("what", REFUSED)
def test_refusal_is_one_line_of_json_where_the_log_is(what: str) -> None:
    command, env, code, words = REFUSED[what]
    [text] = said(command, {**env, "STRUCTURED_LOGGING": "true"}, code)
    line = json.loads(text)
    assert words in line["message"]
    assert line["level"] == "ERROR"
    assert line["logger"].startswith("pacsync")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])


@pytest.mark.parametrize("what", ["a setting", "before a wait", "a secret"])
@pytest.mark.parametrize("structured", ["false", ""])
def test_refusal_is_plain_text_elsewhere(what: str, structured: str) -> None:
    command, env, code, words = REFUSED[what]
    [text] = said(command, {**env, "STRUCTURED_LOGGING": structured}, code)
    assert words in text
    assert not text.startswith("{")


def test_secret_in_a_file_is_one_that_is_set() -> None:
    """The entry point refuses the next variable, not the one that a file has."""
    env = {"REQUIRED_VARIABLES": "HERE ABSENT", "HERE_FILE": "/run/secrets/here"}
    [text] = said(SERVE, env, 2)
    assert text.startswith("ABSENT is not set")
