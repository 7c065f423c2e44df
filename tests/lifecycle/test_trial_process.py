"""What the master says of a trial by its output and its exit status, which its main loop may have taken (0)."""

import json

import pytest

from apps.lifecycle.gunicorn.reload.trial_process import NO_RESULT, result

WARNING = json.dumps({"level": "WARNING", "message": "No directory at: staticfiles"})
FOUND = {"address": ["127.0.0.1:1"], "workers": 2}


@pytest.mark.parametrize(
    ("said", "status", "problem"),
    [
        ("", 0, NO_RESULT),
        ("", -9, NO_RESULT),
        (WARNING, 0, NO_RESULT),
        (f"{WARNING}\nloading", -9, NO_RESULT),
        (f"Traceback\nImportError: no x\n{WARNING}\n", 1, "ImportError: no x"),
        ("pacsync: SECRET_KEY is missing\n", 2, "SECRET_KEY is missing"),
        ("ImportError: no x", 0, f"ImportError: no x ({NO_RESULT})"),
        (f"{WARNING}\n" + json.dumps({"problem": "no table"}), 1, "no table"),
    ],
)
def test_result_of_a_trial_names_its_cause(said: str, status: int, problem: str) -> None:
    assert result(said.encode(), status) == {"problem": problem}


def test_result_of_a_trial_that_succeeded_is_what_it_found() -> None:
    assert result(f"{WARNING}\n{json.dumps(FOUND)}\n".encode(), 0) == FOUND
