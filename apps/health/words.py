"""What a status, a reason or a problem means in words, and what to do about it: for the page and the JSON.

What is said fits the problem, and not only the component: one that waits for a lock needs no migration. It must not
know how anything is found out.
"""

from django.conf import settings

SENTENCES = {
    "": "Ready for requests.",
    "starting": "Not ready for requests: its first checks are not done.",
    "checker_stalled": "Not ready for requests: nobody knows, because the health checks don't run any more.",
    "database_unhealthy": "Not ready for requests: the database cannot be used.",
    "database_not_writable": "Not ready for requests: the database takes no changes. What only reads still works.",
    "migrations_pending": "Not ready for requests: the database lacks migrations.",
    "dependencies_not_ready": "Not ready for requests: not every component works.",
    "shutting_down": "It still answers, but new requests should go to another instance.",
}
PROBLEMS = {
    "not_checked_yet": "Not checked yet.",
    "checker_stalled": "Not known: the health checks don't run any more.",
    "timed_out": "It gave no answer in time.",
    "failed": "It does not work.",
    "not_initialized": "Its tables are missing.",
    "migrations_pending": "Migrations are pending.",
    "disk_full": "Its disk is full.",
    "transaction_ids_used_up": "Its transaction ids are used up: it must be vacuumed.",
    "no_right": "The server's role has no right to write.",
    "input_output_error": "It can't write to its disk.",
    "read_only": "It, or its folder, is read-only.",
    "refused": "It refuses changes; the server's log has its words.",
    "commit_timed_out": "It takes changes, but doesn't confirm them: a synchronous standby may be gone.",
    "waits_for_lock": "It works, but had to wait for a lock on its tables.",
    "waits_for_connection": "Requests wait for a connection.",
    "write_lock_held": "Another program holds SQLite's write lock: changes are refused, reads go on.",
    "warning": "It works, but reported a warning.",
    "database_unhealthy": "The database that it needs is unhealthy.",
}
_MIGRATE = f"Apply the migrations: {settings.MANAGE_COMMAND} migrate."
# What to do about a problem, whichever component has it; otherwise the component's own advice counts.
_ADVICE = {
    "not_checked_yet": "Wait: the first checks take some tenths of a second.",
    "checker_stalled": "If it stays so, restart the server; its log has the error.",
    "timed_out": "See whether the database is frozen, overloaded or out of reach.",
    "not_initialized": _MIGRATE,
    "migrations_pending": _MIGRATE,
    "waits_for_lock": "It goes on when the other transaction ends (a migration, a dump, a VACUUM FULL). "
    "If it lasts, look in pg_stat_activity for what holds the lock.",
    "waits_for_connection": "Raise DB_POOL_MAX_SIZE, or look for slow queries.",
    "write_lock_held": "Wait until the backup or shell that holds it is done, or end that.",
    "database_unhealthy": "",
}


def problem(code: str) -> str:
    """What is wrong, as a sentence; empty when nothing is."""
    return PROBLEMS.get(code, "")


def advice(code: str, otherwise: str) -> str:
    """What to do about the problem, as a sentence; `otherwise` is what the component itself advises."""
    return _ADVICE.get(code, otherwise) if code else ""
