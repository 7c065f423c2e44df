"""One machine on its way to a goal: gathers, rehearses, applies, and recovers what was cut off.

It must not know servers. The journal is written by the caller before each of these steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from apps.fleet.alpm.state import InstalledPackage

from ..databases import entry_repair, local_db, private_databases, sync_databases
from ..databases.local_db import Installed, LocalPackage
from ..databases.own_databases import OwnDatabases
from ..errors import Failed
from ..examination import leftovers, obstructions, source_examination, verification
from ..gather import candidates, irrecoverable_packages
from ..gather.cache import Cache
from ..gather.gatherer import Gatherer
from ..mirrors import xfer_command as xfer
from ..mirrors.network import Network
from ..mirrors.retry_schedule import OUTAGE, Patience
from ..packages.package_file import PackageFile
from ..pacman import execution, lock_check
from ..pacman.configuration import PacmanConf
from ..pacman.execution import Run, TransactionProcess
from ..planning import plan, rehearsal_refusal, removal_marker
from ..planning.plan import Plan
from ..planning.rehearsal_refusal import RehearsalFailed
from ..system import durability
from ..terminal.output import Output
from ..trust import target_files
from ..trust.accepted_checksums import Accepted
from . import applying, package_differences, pacman_errors, preconditions, rehearsal, settling
from .rehearsal import Prepared

Packages = Sequence[InstalledPackage]


@dataclass(frozen=True)
class Trial:
    """Where the outcome of a transaction that wasn't run yet is: its copy of the package database, a copy of the
    keyring."""

    dbpath: Path
    gpgdir: Path


@dataclass
class Machine:
    """`fetch` is what the server said about package files (hints), `trust` what the machine's own configuration allows.

    `stop` ends downloads. `begun` lists packages that a cut-off pacman had begun, in addition to those in its output.
    `mirror_patience`: for how many seconds failing mirrors are asked again.
    """

    conf: PacmanConf
    state_dir: Path
    running: TransactionProcess
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
        """The installed packages, without a marker that an older agent left behind."""
        found = local_db.read(self.conf.dbpath)
        found.pop(removal_marker.NAME, None)
        return found

    def config(self, repository: Optional[Path] = None) -> Path:
        """The configuration for pacman runs on the machine itself; with the generated repository in another file."""
        name = "transaction.conf" if repository else "pacman.conf"
        return execution.write_config(self.conf, self.state_dir / name, repository=repository)

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
        after: Optional[Trial] = None,
        warn: bool = True,
    ) -> Prepared:
        """Gather the files and rehearse. Raises Refused with the reason why the goal can't be reached exactly.

        `gathered` is called between the two, and may raise to stop. `permit` gets the installed packages, the plan and
        the files, and raises where the machine doesn't allow it. Raises Failed where a directory is in the way.
        `after`: another transaction comes first, and this is only its continuation, to see that it works; not to be
        applied. `warn`: name the packages without a way back.
        """
        preconditions.check_root()
        conf = replace(self.conf, dbpath=after.dbpath, gpgdir=after.gpgdir) if after else self.conf
        installed = local_db.read(conf.dbpath) if after else self.installed()
        steps = plan.make(installed, goal, again)
        plan.check_permitted(steps, protected=self.conf.hold, held=held)
        gatherer = self._gatherer(offline=cached_only, gpgdir=conf.gpgdir)
        found = gatherer.gather(target_files.of_packages(steps.install, self.fetch))
        gathered()
        plan.check_groups(found, ignored_groups)
        permit(installed, steps, found)
        obstructions.check(self.conf, installed, {package.name for package in steps.remove}, found)
        preconditions.check_space(self.conf, found, installed)
        for text in self.without_way_back(installed, steps) if warn and not (again or cached_only) else ():
            self.output.warn(text)
        self.output.progress("rehearsing")
        try:
            return rehearsal.rehearse(
                conf,
                self.rehearsal_dir / rehearsal.SECOND if after else self.rehearsal_dir,
                installed=installed,
                wanted=goal,
                steps=steps,
                files=found,
                known=None if after else source_examination.database_problems(conf, self.state_dir, installed),
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
        """Warnings about packages that the plan takes away and that can't be installed again."""
        going = [installed[name].as_installed() for name in sorted(steps.touched & installed.keys())]
        cache = Cache(self.conf, self.state_dir)
        return irrecoverable_packages.sentences(
            irrecoverable_packages.lost(going, self.conf, self.databases(), self.trust, cache)
        )

    def databases(self) -> OwnDatabases:
        """The machine's own databases, read once.

        Where one can't be read, the current ones are fetched at once: an unknown repository would leave its packages,
        and its SigLevel, to the others.
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

    def _gatherer(self, *, offline: bool, gpgdir: Optional[Path] = None) -> Gatherer:
        if self._network is None:
            patience = Patience(self.mirror_patience)
            self._network = Network(self.stop, transfer=xfer.of(self.conf), patience=patience)
        return Gatherer(
            replace(self.conf, gpgdir=gpgdir or self.conf.gpgdir),
            databases=self.databases(),
            trust=self.trust,
            accepted=Accepted(self.state_dir),
            cache=Cache(self.conf, self.state_dir),
            network=self._network,
            output=self.output,
            offline=offline,
        )

    def gather(self, packages: Packages) -> list[PackageFile]:
        """The files of these packages, downloaded into the cache if it lacks them. Raises Refused, Stopped."""
        return self._gatherer(offline=False).gather(target_files.of_packages(packages, self.fetch))

    def _file_of(self, package: LocalPackage) -> Optional[PackageFile]:
        """The cached file of a package whose broken entry doesn't say the architecture."""
        for arch in ("any", *self.conf.architectures):
            known = InstalledPackage(package.name, package.version, arch, package.reason)
            file = self._gatherer(offline=True).in_cache(target_files.of_packages([known], self.fetch)[0])
            if file:
                return file
        return None

    def apply(self, prepared: Prepared) -> Optional[Run]:
        """Run the transaction; None when there are only install reasons to set."""
        if not prepared.arguments:
            return None
        self.config()  # afterwards there may be no room for it
        leftovers.note(self.conf, self.state_dir, prepared.after, self.installed(), prepared.plan.touched)
        return applying.apply(self.running, self.conf, self.config(prepared.repository), prepared, self.output)

    def clear_stale_lock(self) -> bool:
        """Remove the lock of a cut-off pacman of ours. Raises Busy while there is another lock."""
        removed = self.remove_own_lock()
        lock_check.check_unlocked(self.conf)
        return removed

    def remove_own_lock(self) -> bool:
        """Remove the lock that a pacman of ours died with; True if there was one."""
        return self.running.remove_own_lock(self.conf.dbpath)

    def recover(
        self, goal: Packages, again: Collection[str], *, newcomers: Collection[str] = (), cached_only: bool = False
    ) -> None:
        """Bring the machine to `goal` from wherever a cut-off or failed transaction left it.

        Packages in `again` are reinstalled even if the database has them, because their files, scriptlets or hooks may
        be incomplete; `newcomers` among them are installed as for the first time. A package with a repaired entry is
        reinstalled too, because the agent can't write all that pacman writes. Raises AgentError.
        """
        self.clear_stale_lock()
        self.running.forget_status()
        again = {*again, *(package.name for package in self.installed().values() if package.broken)}
        own = self.running.own_lock
        entry_repair.repair_entries(
            self.conf.dbpath, self.installed(), newcomers=newcomers, find=self._file_of, own=own
        )
        settling.remove_marker(self.conf, self.running, self.config(), local_db.read(self.conf.dbpath))
        prepared = self.prepare(goal, held=(), again=again, cached_only=cached_only)
        run = self.apply(prepared)
        if run is not None and run.status != 0:
            begun = {*self.begun, *execution.begun(self.running.output())}
            options = applying.overwrite_own_files(run, begun, self.conf.root)
            if options:
                prepared.arguments[1:1] = options
                run = self.apply(prepared)
        if run is not None and run.status != 0:
            raise pacman_errors.of_run(run, self.conf, self.state_dir, prepared.plan.touched)

    def is_unchanged(self, base: Packages, touched: Collection[str]) -> bool:
        """Whether the packages are still those of `base`; install reasons set for the transaction are restored."""
        if package_differences.difference(self.installed(), base, reasons=False, check_broken=touched):
            return False
        return not settling.settle(self.conf, self.running, self.config(), base)

    def repair_settled_entries(self, goal: Packages) -> None:
        """Repair entries that a power cut emptied while install reasons were set. Raises AgentError."""
        broken = [package.name for package in self.installed().values() if package.broken]
        if broken:
            self.begun = broken
            self.recover(goal, broken)

    def flush(self) -> None:
        """Make what pacman wrote survive a power cut. Raises Failed when a disk doesn't accept it."""
        durability.flush(self.conf.root, (self.conf.dbpath, self.state_dir))

    def finish(self, goal: Packages) -> None:
        """Set the install reasons that are still wrong, durably. Raises Failed when pacman refuses."""
        complaints = settling.settle(self.conf, self.running, self.config(), goal)
        if complaints:
            raise Failed(
                "settling_failed",
                f"pacman could not finish: {'; '.join(complaints)}.",
                "Run `pacsync-agent sync` again.",
            )
        self.flush()

    def verify(self, goal: Packages, problems: Collection[str], touched: Collection[str]) -> None:
        """Raise Failed unless the packages are exactly the goal's, without new database problems."""
        self.output.progress("verifying")
        package_differences.verify(self.conf, self.config(), goal, set(problems), touched)

    def check_files(self, names: Collection[str], began: Optional[float]) -> tuple[str, ...]:
        """Check the files of these packages; the warnings. Raises Failed (`files_differ`)."""
        return verification.after_transaction(self.conf, self.state_dir, names, began)
