"""Which of the packages that could fill a role do fill it on this machine: by enabled units, settings, traces.

It must not know plans or decide what becomes of a package.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ..databases.local_db import LocalPackage
from ..packages import dependency
from .roles import Role

Filling = Mapping[str, Collection[str]]
"""Packages that could fill a role, each with the role's names that it has or provides; none: known by its files."""

_OF_NETWORK_MANAGER = (
    "etc/NetworkManager/NetworkManager.conf",
    *(f"{place}/NetworkManager/conf.d/*.conf" for place in ("etc", "run", "usr/lib")),
)
_IWD_BACKEND = re.compile(r"^\s*wifi\.backend\s*=\s*iwd\s*$", re.MULTILINE)
_DHCPCD_BACKEND = re.compile(r"^\s*dhcp\s*=\s*dhcpcd\s*$", re.MULTILINE)
_WIRELESS_PROFILE = re.compile(r"^\s*Connection=['\"]?wireless", re.MULTILINE)
_DHCP_PROFILE = re.compile(r"^\s*IP6?=['\"]?dhcp", re.MULTILINE)
_IWD_ALONE = re.compile(r"^\s*EnableNetworkConfiguration\s*=\s*true\s*$", re.MULTILINE | re.IGNORECASE)
_HOOKS_OF_DHCPCD = ("usr/lib/dhcpcd/dhcpcd-hooks/10-wpa_supplicant", "usr/libexec/dhcpcd-hooks/10-wpa_supplicant")


def known_as(package: LocalPackage, role: Role) -> set[str]:
    """The names of the role that the package has or provides."""
    provided = {dependency.parse(word).name for word in package.provides}
    return {package.name, *provided}.intersection(role.names)


def enabled(root: Path, role: Role, filling: Filling) -> set[str]:
    """The packages whose unit is enabled, or that one of these uses."""
    started = {name for name, unit in role.units if _is_enabled(root, unit)}
    used = started.union(_used_by(root, started))
    found = {package for package, names in filling.items() if used.intersection(names)}
    if started.difference(*filling.values()):  # its package has a name that isn't known
        found |= {package for package, names in filling.items() if not names}
    return found


def do_a_part(root: Path, role: Role, packages: Collection[str], filling: Filling) -> bool:
    """Whether these packages alone don't fill the role: a network also needs addresses."""
    parts = {name for name in role.parts if name != "iwd" or not _says(root, _IWD_ALONE, "etc/iwd/main.conf")}
    return all(parts.intersection(filling[package]) for package in packages)


def possible(root: Path, role: Role, filling: Filling) -> list[set[str]]:
    """The packages that may be in use, in groups; one of each group has to stay.

    A package without its traces is left out if another one has some. A package without known traces may be in use as
    well.
    """
    traces = dict(role.traces)
    traced: set[str] = set()
    untraced: set[str] = set()
    unknown: set[str] = set()
    for package, names in filling.items():
        paths = [path for name in names for path in traces.get(name, ())]
        if any(os.path.exists(root / path) for path in paths):
            traced.add(package)
        elif not set(role.only_in_use).intersection(names):
            (untraced if paths else unknown).add(package)
    groups = [traced, unknown] if traced else [untraced | unknown]
    return [group for group in groups if group]


def _is_enabled(root: Path, unit: str) -> bool:
    """Whether systemd starts such a unit, or listens for it: there is a link in a `.wants` directory."""
    units = root / "etc/systemd/system"
    try:
        wanting = [path for path in units.iterdir() if path.name.endswith((".wants", ".requires"))]
        return any(re.fullmatch(unit, path.name) for directory in wanting for path in directory.iterdir())
    except OSError:
        return False


def _used_by(root: Path, started: Collection[str]) -> Iterator[str]:
    """The packages that those use without an enabled unit, by D-Bus or by a script."""
    if "networkmanager" in started:
        yield "iwd" if _says(root, _IWD_BACKEND, *_OF_NETWORK_MANAGER) else "wpa_supplicant"
        if _says(root, _DHCPCD_BACKEND, *_OF_NETWORK_MANAGER):
            yield "dhcpcd"
    if "netctl" in started:
        if _says(root, _WIRELESS_PROFILE, "etc/netctl/*"):
            yield "wpa_supplicant"
        if _says(root, _DHCP_PROFILE, "etc/netctl/*"):
            yield "dhcpcd"
    if "dhcpcd" in started and any(os.path.exists(root / path) for path in _HOOKS_OF_DHCPCD):
        yield "wpa_supplicant"
    if "connman" in started:  # which of the two is an option of its command line
        yield from ("iwd", "wpa_supplicant")


def _says(root: Path, pattern: re.Pattern[str], *globs: str) -> bool:
    """Whether one of these files has such a line."""
    return any(pattern.search(_read(path)) for glob in globs for path in root.glob(glob))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace") if path.is_file() else ""
    except OSError:
        return ""
