"""The one pacman transaction on the machine itself. It must not know how it was prepared, or what it led to."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from ..databases import entry_repair, local_db
from ..errors import Busy, Local
from ..pacman import execution, transaction_repository
from ..pacman.configuration import PacmanConf
from ..pacman.execution import Run, TransactionProcess
from ..pacman.running_hook import HookWatch
from ..planning import removal_conflicts
from ..terminal.output import Output
from .rehearsal import Prepared
from .settling import options_of, remove_conflicts

LONGEST_ARGUMENTS = 1_000_000  # bytes; Linux takes 2 MiB in all


def apply(transaction: TransactionProcess, conf: PacmanConf, config: Path, prepared: Prepared, output: Output) -> Run:
    """Add the conflicts of packages that go, set install reasons, then run the one transaction.

    Raises nothing when pacman fails: the caller checks the machine. Raises Busy and OSError before anything was
    changed.
    """
    installed = local_db.read(conf.dbpath)
    remove_conflicts(conf, transaction, installed)  # of one that was cut off
    if prepared.going:
        with entry_repair.locked(conf.dbpath, transaction.own_lock):
            removal_conflicts.add(conf.dbpath, [installed[name] for name in prepared.going], prepared.word)
    run = _apply(transaction, conf, config, prepared, output)
    if prepared.going:
        with contextlib.suppress(Busy, Local, OSError):  # `settle` does it later
            remove_conflicts(conf, transaction, local_db.read(conf.dbpath))
    return run


def _apply(transaction: TransactionProcess, conf: PacmanConf, config: Path, prepared: Prepared, output: Output) -> Run:
    for option, names in options_of(prepared.reasons).items():
        done = transaction.run_small(config, "-D", option, *names, dbpath=conf.dbpath)
        if done.status != 0:
            return done
    if prepared.repository:
        transaction_repository.publish(transaction_repository.database_in(prepared.repository), conf.dbpath)
    watch = HookWatch(conf, lambda hook: output.line(f"pacman's hook {hook.running()}."))
    total = len(prepared.plan.install) + len(prepared.plan.remove)

    def on_output(text: str) -> None:
        watch.look(text)
        begun = execution.begun(text)
        if begun:
            transaction.keep_log()
        output.progress("applying", min(len(begun), total), total, package=begun[-1] if begun else "")

    output.progress("applying", 0, total)
    run = transaction.run(config, *prepared.arguments, dbpath=conf.dbpath, on_output=on_output)
    transaction_repository.remove(conf.dbpath)
    return run


def overwrite_own_files(run: Run, begun: Iterable[str], root: Path) -> list[str]:
    """`--overwrite` options when only files of packages in `begun` are in the way; else none.

    A cut-off run had begun to install those. Files in the way of any other package are never overwritten.
    """
    found = re.findall(r"^(\S+): (/.*) exists in filesystem( \(owned by .*\))?$", run.output, re.MULTILINE)
    own = set(begun)
    if not found or any(owner or name not in own for name, _, owner in found):
        return []
    prefix = f"{str(root).rstrip('/')}/"
    options = execution.quote_overwrite(path[len(prefix) :] for _, path, _ in found if path.startswith(prefix))
    return options if sum(map(len, options)) < LONGEST_ARGUMENTS else ["--overwrite", "*"]
