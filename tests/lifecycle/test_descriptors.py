"""How many connections a worker takes, by its limits of descriptors."""

import resource
import subprocess
import sys

import pytest

from tests.support.server import ROOT

ASK = """
import resource, sys
from apps.lifecycle.gunicorn import descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
try:
    print(descriptors.connections(int(sys.argv[3])), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except descriptors.TooFew as refusal:
    print(refusal)
"""


def asked(soft: int, hard: int, requests: int) -> str:
    """What a process of its own says, whose limits can't be raised again."""
    command = [sys.executable, "-c", ASK, str(soft), str(hard), str(requests)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [(256, 1024, "1000 1024"), (1024, 4096, "3584 4096"), (1024, 20_000, "8192 8704"), (16_000, 20_000, "8192 16000")],
)
def test_connections_are_as_many_as_the_hard_limit_allows(soft: int, hard: int, expected: str) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip("the hard limit of descriptors is too low here: raise it (ulimit -H -n)")
    assert asked(soft, hard, 142) == expected


def test_queue_that_would_take_all_connections_is_refused_with_a_remedy() -> None:
    assert asked(1024, 1024, 1000) == (
        "WEB_REQUEST_LIMIT and WEB_QUEUE_SIZE (1000 together) need almost all of the 1000 connections that 1024 file "
        "descriptors allow. Raise the hard limit (ulimit -H -n, LimitNOFILE= in systemd, ulimits: nofile in Compose) "
        "to 8704, or lower WEB_QUEUE_SIZE."
    )
    assert asked(1024, 1024, 900) == "1000 1024"
