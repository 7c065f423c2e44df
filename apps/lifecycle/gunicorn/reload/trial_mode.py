"""Whether this process only tests that everything can be loaded (trial.py). It must not know what is loaded."""

from dataclasses import dataclass


@dataclass
class TrialMode:
    """`is_on` is set once, before anything is loaded."""

    is_on: bool = False


mode = TrialMode()
