"""What each problem of a check means, as a sentence, and what to do about it: for the page and the JSON.

The advice fits the problem, not just the component: one that waits for a lock needs no migration. It must not know how
anything is found out.
"""

from django.conf import settings

PROBLEMS = {
    "not_checked_yet": "Not checked yet.",
    "checker_stalled": "Not known: the health checks don't run any more.",
    "timed_out": "It gave no answer in time.",
    "failed": "It does not work.",
    "not_initialized": "Its tables are missing.",
    "migrations_pending": "Migrations are pending.",
    "disk_full": "Its disk is full.",
    "transaction_ids_used_up": "Its transaction ids are used up: it must be vacuumed.",
    "no_right": "The server's role lacks a right.",
    "input_output_error": "It can't write to its disk.",
    "read_only": "It, or its folder, is read-only.",
    "refused": "It refuses changes; the server's log has the error.",
    "commit_timed_out": "It takes changes, but doesn't confirm them: a synchronous standby may be gone.",
    "waits_for_lock": "It works, but waited for a lock on its tables.",
    "waits_for_connection": "Requests wait for a connection.",
    "write_lock_held": "Another program holds SQLite's write lock: changes are refused, reads still work.",
    "warning": "It works, but reported a warning.",
    "database_unhealthy": "The database that it needs is unhealthy.",
}
_MIGRATE = f"Apply the migrations: {settings.MANAGE_COMMAND} migrate."
# What to do about a problem, whichever component has it. Other problems get the component's own advice.
_ADVICE = {
    "not_checked_yet": "Wait: the first checks take some tenths of a second.",
    "checker_stalled": "If this lasts, restart the server; its log has the error.",
    "timed_out": "Check whether the database is frozen, overloaded or out of reach.",
    "not_initialized": _MIGRATE,
    "migrations_pending": _MIGRATE,
    "waits_for_lock": "It continues when the other transaction ends (a migration, a dump, a VACUUM FULL). "
    "If it lasts, look in pg_stat_activity for what holds the lock.",
    "waits_for_connection": "Raise DB_POOL_MAX_SIZE, or look for slow queries.",
    "no_right": "Give the role the right that the log names. After a restore, another role may own the tables.",
    "write_lock_held": "Wait until the backup or shell that holds it is done, or end it.",
    "database_unhealthy": "",
}


def problem(code: str) -> str:
    """What is wrong, as a sentence; empty if nothing is."""
    return PROBLEMS.get(code, "")


def advice(code: str, otherwise: str) -> str:
    """What to do about the problem, as a sentence; `otherwise` is the component's own advice."""
    return _ADVICE.get(code, otherwise) if code else ""
