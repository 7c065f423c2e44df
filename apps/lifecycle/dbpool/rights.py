"""Whether the database refused a statement because the server's role lacks a right, and what to do about it.

It must not know who asked for the statement.
"""

import re

from django.db.backends.base.base import BaseDatabaseWrapper

# PostgreSQL's insufficient_privilege and invalid_schema_name: without USAGE, a schema is as if it weren't there.
REFUSED, NO_SCHEMA = "42501", "3F000"
# The beginnings are PostgreSQL's own English texts. With other lc_messages, only PostgreSQL's text is told.
OWNER = re.compile(r"must be owner of (?:table|relation|view|sequence) (?P<name>\S+)")
SCHEMA = re.compile(r"permission denied for schema (?P<name>\S+)")
TABLE = re.compile(r"permission denied for (?:table|relation|view)")
SEQUENCE = re.compile(r"permission denied for sequence")


def missing_right(error: BaseException, connection: BaseDatabaseWrapper) -> str:
    """What PostgreSQL refused, and the statement that gives the role the right; empty if the error is another one."""
    cause = next((one for one in _chain(error) if getattr(one, "sqlstate", None) in (REFUSED, NO_SCHEMA)), None)
    if cause is None:
        return ""
    said, role = str(cause).partition("\n")[0].strip(), role_of(connection)
    return _text(said, _remedy(said, cause, role), role)


def no_schema(connection: BaseDatabaseWrapper) -> str:
    """The same for a session in which no schema of the search path can be used."""
    role = role_of(connection)
    return _text("it may use no schema of its search path", _use("public", role), role)


def role_of(connection: BaseDatabaseWrapper) -> str:
    """The role whose rights count: the one that the session takes on, or else the one that logs in."""
    return str(connection.settings_dict["OPTIONS"].get("assume_role") or connection.settings_dict["USER"])


def _text(said: str, remedy: str, role: str) -> str:
    return f"the role {role} lacks a right ({said})" + (f". As the owner or a superuser: {remedy};" if remedy else ".")


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _remedy(said: str, cause: BaseException, role: str) -> str:
    if owner := OWNER.search(said):
        return f"ALTER TABLE {owner['name']} OWNER TO {_quoted(role)}"
    if getattr(cause, "sqlstate", None) == NO_SCHEMA:
        return _use("public", role)
    if schema := SCHEMA.search(said):
        return _use(schema["name"], role)
    if TABLE.search(said):
        return f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {_quoted(role)}"
    if SEQUENCE.search(said):
        return f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {_quoted(role)}"
    return ""


def _use(schema: str, role: str) -> str:
    return f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {_quoted(role)}"


def _quoted(role: str) -> str:
    """The role as SQL takes it: only a name in small letters needs no quotes."""
    return role if re.fullmatch(r"[a-z_][a-z0-9_]*", role) else '"' + role.replace('"', '""') + '"'
