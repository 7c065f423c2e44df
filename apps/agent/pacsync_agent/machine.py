"""One machine being brought to a goal: gathers, rehearses, applies, and mends what was cut off.

It must not know servers. The journal is written by the caller before each of these steps.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from apps.fleet.alpm.state import InstalledPackage

from . import (
    candidates,
    database_lock,
    file_conflicts,
    local_db,
    marker,
    no_room,
    pacman,
    plan,
    private_databases,
    repair,
    sync_databases,
    transaction,
    wanted,
)
from . import xfer_command as xfer
from .accepted import Accepted
from .cache import Cache
from .errors import Failed
from .gather import Gatherer
from .local_db import Installed, LocalPackage
from .network import Network
from .output import Output
from .own_databases import OwnDatabases
from .package_file import PackageFile
from .pacman import Run, Transaction
from .pacman_conf import PacmanConf
from .patience import OUTAGE, Patience
from .transaction import Prepared

Packages = Sequence[InstalledPackage]


@dataclass
class Machine:
    """`fetch` is what the server said about package files (hints), `trust` what the machine's own configuration allows.

    `stop` ends downloads; `mirror_patience` are the seconds for which mirrors that fail at the moment are asked again.
    """

    conf: PacmanConf
    state_dir: Path
    running: Transaction
    output: Output
    stop: threading.Event
    fetch: Sequence[dict[str, Any]] = ()
    trust: candidates.Trust = field(default_factory=candidates.Trust)
    mirror_patience: float = OUTAGE
    _databases: Optional[OwnDatabases] = None
    _network: Optional[Network] = None

    @property
    def rehearsal_dir(self) -> Path:
        return self.state_dir / "rehearsal"

    def installed(self) -> Installed:
        """What is installed, without a marker that was left behind."""
        found = local_db.read(self.conf.dbpath)
        found.pop(marker.NAME, None)
        return found

    def config(self) -> Path:
        """The configuration for pacman runs on the machine itself, written anew."""
        return pacman.write_config(self.conf, self.state_dir / "pacman.conf")

    def prepare(
        self,
        goal: Packages,
        *,
        held: Collection[str],
        ignored_groups: Collection[str] = (),
        again: Collection[str] = (),
        cached_only: bool = False,
        gathered: Callable[[], None] = lambda: None,
    ) -> Prepared:
        """Gather the files and rehearse. Raises Refused with the reason why the goal can't be reached exactly.

        `gathered` is called between the two, and raises when there is no use in going on.
        """
        transaction.needs_root(os.geteuid())
        installed = self.installed()
        steps = plan.make(installed, goal, again)
        plan.check_permitted(steps, protected=self.conf.hold, held=held)
        found = self._gatherer(offline=cached_only).gather(wanted.of_packages(steps.install, self.fetch))
        gathered()
        plan.check_groups(found, ignored_groups)
        transaction.check_space(self.conf, found, installed)
        no_room.check_rehearsal(self.conf.dbpath, self.state_dir)
        self.output.progress("rehearsing")
        return transaction.rehearse(
            self.conf, self.rehearsal_dir, installed=installed, wanted=goal, steps=steps, files=found
        )

    def databases(self) -> OwnDatabases:
        """What the machine's own databases say of package files; read once.

        Where one can't be read, the current ones are fetched at once: a repository that nothing is known of would
        leave its packages, and its SigLevel, to the others.
        """
        if self._databases is None:
            self._databases = OwnDatabases(
                self.conf,
                read=lambda name: sync_databases.read(self, name),
                fetch=lambda names: private_databases.fetch(self, names),
            )
            if self._databases.unreadable:
                self._databases.refresh()
        return self._databases

    def _gatherer(self, *, offline: bool) -> Gatherer:
        if self._network is None:
            patience = Patience(self.mirror_patience)
            self._network = Network(self.stop, transfer=xfer.of(self.conf), patience=patience)
        return Gatherer(
            self.conf,
            databases=self.databases(),
            trust=self.trust,
            accepted=Accepted(self.state_dir),
            cache=Cache(self.conf, self.state_dir),
            network=self._network,
            output=self.output,
            offline=offline,
        )

    def _file_of(self, package: LocalPackage) -> Optional[PackageFile]:
        """The file that a broken entry came from; its architecture is not known any more."""
        for arch in ("any", *self.conf.architectures):
            known = InstalledPackage(package.name, package.version, arch, package.reason)
            file = self._gatherer(offline=True).in_cache(wanted.of_packages([known], self.fetch)[0])
            if file:
                return file
        return None

    def apply(self, prepared: Prepared) -> Optional[Run]:
        """The one transaction; None when there is nothing but install reasons to set."""
        if not prepared.arguments:
            return None
        return transaction.apply(self.running, self.config(), prepared, self.output)

    def clear_stale_lock(self) -> bool:
        """Remove the lock that a cut-off pacman of ours left. Raises Busy while another pacman holds it."""
        removed = database_lock.remove_if_stale(self.conf.dbpath)
        transaction.check_unlocked(self.conf)
        return removed

    def mend(
        self, goal: Packages, again: Collection[str], *, newcomers: Collection[str] = (), cached_only: bool = False
    ) -> None:
        """Go on from wherever a cut-off or failed transaction left the machine, to `goal`.

        Packages in `again` are installed once more even if the database has them: their files, scriptlets and hooks may
        not have come to their end; `newcomers` among them are installed as for the first time. Raises AgentError.
        """
        self.clear_stale_lock()
        self.running.forget_status()
        repair.mend_entries(self.conf.dbpath, self.installed(), newcomers=newcomers, find=self._file_of)
        transaction.remove_marker(self.conf, self.running, self.config())
        prepared = self.prepare(goal, held=(), again=again, cached_only=cached_only)
        run = self.apply(prepared)
        if run is not None and run.status != 0:
            options = transaction.overwrite_own_files(run, pacman.begun(self.running.output()), self.conf.root)
            if options:
                prepared.arguments[1:1] = options
                run = self.apply(prepared)
        if run is not None and run.status != 0:
            raise pacman_failed(run, self.conf)

    def finish(self, goal: Packages) -> None:
        """Remove the marker, set the install reasons. Raises Failed when pacman doesn't do it."""
        complaints = transaction.settle(self.conf, self.running, self.config(), goal)
        if complaints:
            raise Failed("settling_failed", f"pacman could not finish: {'; '.join(complaints)}.", "Run `sync` again.")

    def verify(self, goal: Packages, problems: Collection[str], touched: Collection[str]) -> None:
        """Raises Failed unless the machine is exactly as wanted, with no problem that it didn't have before."""
        self.output.progress("verifying")
        transaction.verify(self.conf, self.config(), goal, set(problems), touched)


def pacman_failed(run: Run, conf: PacmanConf) -> Failed:
    """pacman's own words, with a code for the common cases."""
    if file_conflicts.of(run):
        return file_conflicts.failure(run, conf)
    said = run.errors
    text = "; ".join(said[:5]) or f"it ended with status {run.status}"
    if any("unable to lock database" in line for line in said):
        return Failed("database_locked", f"Another pacman came first: {text}.", "Wait for it to finish, and try again.")
    if "No space left" in run.output or "not enough free disk space" in run.output:
        return Failed("disk_full", f"The disk is full: {text}.", "Free some space, and try again.")
    return Failed(
        "pacman_failed", f"pacman could not do it: {text}.", "The whole of what it said is with the operation."
    )
