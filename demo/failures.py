"""Results of failed operations, with the real agent's messages (docs/agent.md) about packages of the operation.

It must not know the database or the API.
"""

from collections.abc import Sequence

from apps.agent.pacsync_agent.packages.package_file import Wanted
from apps.agent.pacsync_agent.trust.target_files import unavailable as refusal
from demo import packages

MIRROR = "https://geo.mirror.pkgbuild.com/{repository}/os/x86_64/{name}-{version}-{arch}.pkg.tar.zst"
FEW = 3
"""How many packages no mirror has."""
Package = tuple[str, str]
"""Name and version."""


def unavailable(plan: Sequence[Package]) -> dict[str, str]:
    """Code, message and hint for an operation whose first packages no mirror has."""
    repositories = {one.name: one.repository for one in packages.catalogue()}
    reasons = {}
    for name, version in plan[:FEW]:
        address = MIRROR.format(
            repository=repositories.get(name, "extra"), name=name, version=version, arch=packages.ARCH
        )
        reasons[Wanted(name, version, packages.ARCH)] = f"{address}: not there"
    error = refusal(reasons)
    return {"code": error.code, "message": error.message, "hint": error.hint}


def file_conflict(plan: Sequence[Package], like: str) -> dict[str, str]:
    """Code, message, hint and log for a file that no package owns, in the way of a package of the operation.

    The package is `like`, if the operation has it.
    """
    name = next((name for name, _ in plan if name == like), plan[0][0])
    line = f"{name}: /usr/share/{name}/extensions/hall-screen/extension.js exists in filesystem"
    log = f""":: Processing package changes...
error: failed to commit transaction (conflicting files)
{line}
Errors occurred, no packages were upgraded.
"""
    return {
        "code": "file_conflict",
        "message": f"pacman found files in its way: {line}. No package owns them.",
        "hint": "Move them to another place. Then sync again.",
        "log_tail": log,
    }
