"""The process's umask, working directory and environment, the same whatever started the agent.

That may be a hook, a unit, `env -i` or a shell with `umask 077`. It must not know what the agent does.
"""

from __future__ import annotations

import argparse
import os
import pwd
from collections.abc import Mapping

from ..errors import Local

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UMASK = 0o022
_PATHS = ("config", "root", "dbpath", "state_dir", "agent_config")


def completed(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with PATH and HOME, where they are missing or empty: gpg, hooks and scriptlets look for both."""
    values = dict(environment)
    if not values.get("PATH"):
        values["PATH"] = PATH
    if not values.get("HOME"):
        try:
            values["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:  # a user without an entry, as in some containers
            values["HOME"] = "/"
    return values


def settle(options: argparse.Namespace) -> None:
    """Set umask, PATH, HOME and the working directory. Raises Local where an option is relative to a removed one.

    Secret files have modes of their own; the agent's other files, and pacman's directories, may be read by all.
    """
    os.umask(UMASK)
    os.environ.update(completed(os.environ))
    try:
        os.getcwd()
    except OSError:
        relative = [key for key in _PATHS if (value := getattr(options, key, None)) and not os.path.isabs(value)]
        if relative:
            raise Local(
                "directory_gone",
                f"The working directory doesn't exist any more, so --{relative[0].replace('_', '-')} leads nowhere.",
                "Change to another directory, or give the whole path.",
            ) from None
        os.chdir("/")
