"""Many similar cases, of which `make test` tries some, and `make test ONLY=long` the others."""

from collections.abc import Iterable
from typing import Any

import pytest


def every(step: int, cases: Iterable[Any]) -> list[Any]:
    """The cases for `parametrize`; all but each `step`th are marked `long`. A tuple is the values of several names."""
    return [case if number % step == 0 else _long(case) for number, case in enumerate(cases)]


def _long(case: Any) -> Any:
    return pytest.param(*(case if type(case) is tuple else (case,)), marks=pytest.mark.long)
