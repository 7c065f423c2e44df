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
    durability,
    leftovers,
    local_db,
    lock_check,
    marker,
    no_room,
    obstructions,
    pacman,
    pacman_failure,
    plan,
    private_databases,
    rehearsal_refusal,
    repair,
    sync_databases,
    transaction,
    verification,
    wanted,
    way_back,
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
from .plan import Plan
from .rehearsal_refusal import RehearsalFailed
from .transaction import Prepared

Packages = Sequence[InstalledPackage]


@dataclass
class Machine:
    """`fetch` is what the server said about package files (hints), `trust` what the machine's own configuration allows.

    `stop` ends downloads. `begun` are packages that a cut-off pacman is known to have begun, beside those it has said.
    `mirror_patience` are the seconds for which mirrors that fail at the moment are asked again.
    """

    conf: PacmanConf
    state_dir: Path
    running: Transaction
    output: Output
    stop: threading.Event
    fetch: Sequence[dict[str, Any]] = ()
    trust: candidates.Trust = field(default_factory=candidates.Trust)
    begun: Collection[str] = ()
    mirror_patience: float = OUTAGE
    _databases: Optional[OwnDatabases] = None
    _network: Optional[Network] = None

    @property
    def rehearsal_dir(self) -> Path:
        return self.state_dir / "rehearsal"

    def installed(self) -> Installed:
        """What is installed, without a marker that an older agent left behind."""
        found = local_db.read(self.conf.dbpath)
        found.pop(marker.NAME, None)
        return found

    def config(self, repository: Optional[Path] = None) -> Path:
        """The configuration for pacman runs on the machine itself; with the generated repository in another file."""
        name = "transaction.conf" if repository else "pacman.conf"
        return pacman.write_config(self.conf, self.state_dir / name, repository=repository)

    def prepare(
        self,
        goal: Packages,
        *,
        held: Collection[str],
        ignored_groups: Collection[str] = (),
        again: Collection[str] = (),
        cached_only: bool = False,
        gathered: Callable[[], None] = lambda: None,
        permit: Callable[[Installed, Plan, Sequence[PackageFile]], None] = lambda *_: None,
    ) -> Prepared:
        """Gather the files and rehearse. Raises Refused with the reason why the goal can't be reached exactly.

        `gathered` is called between the two, and raises when there is no use in going on; so does `permit`, with what
        is installed, the plan and the files, where the machine doesn't let it happen. Raises Failed where a
        directory is in the way.
        """
        transaction.needs_root(os.geteuid())
        installed = self.installed()
        steps = plan.make(installed, goal, again)
        plan.check_permitted(steps, protected=self.conf.hold, held=held)
        found = self._gatherer(offline=cached_only).gather(wanted.of_packages(steps.install, self.fetch))
        gathered()
        plan.check_groups(found, ignored_groups)
        permit(installed, steps, found)
        obstructions.check(self.conf, installed, {package.name for package in steps.remove}, found)
        transaction.check_space(self.conf, found, installed)
        no_room.check_rehearsal(self.conf.dbpath, self.state_dir)
        for text in self.without_way_back(installed, steps) if not (again or cached_only) else ():
            self.output.warn(text)
        self.output.progress("rehearsing")
        try:
            return transaction.rehearse(
                self.conf, self.rehearsal_dir, installed=installed, wanted=goal, steps=steps, files=found
            )
        except RehearsalFailed as error:
            raise self._with_hint(error, installed, steps, held) from None

    def _with_hint(
        self, error: RehearsalFailed, installed: Installed, steps: Plan, held: Collection[str]
    ) -> RehearsalFailed:
        staying = installed.keys() - steps.touched
        databases = self.databases()
        hint = rehearsal_refusal.hint_of(
            error.said, staying=staying, held=held, is_foreign=lambda name: databases.repository_of(name) is None
        )
        error.hint = hint or error.hint
        return error

    def without_way_back(self, installed: Installed, steps: Plan) -> list[str]:
        """What is to be said of packages that the plan takes away and that can't be had again."""
        going = [installed[name].as_installed() for name in sorted(steps.touched & installed.keys())]
        cache = Cache(self.conf, self.state_dir)
        return way_back.sentences(way_back.lost(going, self.conf, self.databases(), self.trust, cache))

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

    def gather(self, packages: Packages) -> list[PackageFile]:
        """The files of these packages, from caches or mirrors, in the cache by then. Raises Refused, Stopped."""
        return self._gatherer(offline=False).gather(wanted.of_packages(packages, self.fetch))

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
        self.config()  # afterwards there may be no room for it
        after = self.rehearsal_dir / "db"
        leftovers.note(self.conf, self.state_dir, after, self.installed(), prepared.plan.touched)
        return transaction.apply(self.running, self.conf, self.config(prepared.repository), prepared, self.output)

    def clear_stale_lock(self) -> bool:
        """Remove the lock that a cut-off pacman of ours left. Raises Busy while there is another one."""
        removed = self.remove_own_lock()
        lock_check.check_unlocked(self.conf)
        return removed

    def remove_own_lock(self) -> bool:
        """Remove the lock that a pacman of ours made, and died with; True if there was one."""
        return self.running.remove_own_lock(self.conf.dbpath)

    def mend(
        self, goal: Packages, again: Collection[str], *, newcomers: Collection[str] = (), cached_only: bool = False
    ) -> None:
        """Go on from wherever a cut-off or failed transaction left the machine, to `goal`.

        Packages in `again` are installed once more even if the database has them: their files, scriptlets and hooks may
        not have come to their end; `newcomers` among them are installed as for the first time. A package whose entry
        has to be completed is installed once more too: the agent knows less of it than pacman writes.
        Raises AgentError.
        """
        self.clear_stale_lock()
        self.running.forget_status()
        again = {*again, *(package.name for package in self.installed().values() if package.broken)}
        own = self.running.own_lock
        repair.mend_entries(self.conf.dbpath, self.installed(), newcomers=newcomers, find=self._file_of, own=own)
        transaction.remove_marker(self.conf, self.running, self.config())
        prepared = self.prepare(goal, held=(), again=again, cached_only=cached_only)
        run = self.apply(prepared)
        if run is not None and run.status != 0:
            begun = {*self.begun, *pacman.begun(self.running.output())}
            options = transaction.overwrite_own_files(run, begun, self.conf.root)
            if options:
                prepared.arguments[1:1] = options
                run = self.apply(prepared)
        if run is not None and run.status != 0:
            raise pacman_failure.of_run(run, self.conf, self.state_dir, prepared.plan.touched)

    def is_unchanged(self, base: Packages, touched: Collection[str]) -> bool:
        """Whether a transaction left the packages of `base` as they were; reasons that were set for it are put back."""
        if transaction.difference(self.installed(), base, reasons=False, check_broken=touched):
            return False
        return not transaction.settle(self.conf, self.running, self.config(), base)

    def mend_settled(self, goal: Packages) -> None:
        """Mend entries that a power cut emptied while the install reasons were set. Raises AgentError."""
        broken = [package.name for package in self.installed().values() if package.broken]
        if broken:
            self.begun = broken
            self.mend(goal, broken)

    def flush(self) -> None:
        """See that what pacman wrote survives a power cut. Raises Failed when a disk doesn't take it."""
        durability.flush(self.conf.root, (self.conf.dbpath, self.state_dir))

    def finish(self, goal: Packages) -> None:
        """Set the install reasons that are still wrong, durably. Raises Failed when that isn't done."""
        complaints = transaction.settle(self.conf, self.running, self.config(), goal)
        if complaints:
            raise Failed(
                "settling_failed",
                f"pacman could not finish: {'; '.join(complaints)}.",
                "Run `pacsync-agent sync` again.",
            )
        self.flush()

    def verify(self, goal: Packages, problems: Collection[str], touched: Collection[str]) -> None:
        """Raises Failed unless the machine is exactly as wanted, with no problem that it didn't have before."""
        self.output.progress("verifying")
        transaction.verify(self.conf, self.config(), goal, set(problems), touched)

    def check_files(self, names: Collection[str], began: Optional[float]) -> tuple[str, ...]:
        """See that the files of these packages are theirs; what to warn of. Raises Failed (`files_differ`)."""
        return verification.after_transaction(self.conf, self.state_dir, names, began)
