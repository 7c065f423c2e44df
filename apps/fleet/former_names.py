"""Finds a pool by a former name, from the audit. It writes nothing, and knows no HTTP."""

from .models import AuditEvent, Pool

# A pool that was renamed more often isn't found under its first name.
_MOST = 20


def current_name(name: str) -> str | None:
    """The name that the pool once called `name` has now; None if there is no such pool.

    A name that another pool got later belongs to that pool, even if that pool was deleted.
    """
    seen = {name}
    for _ in range(_MOST):
        about = AuditEvent.objects.filter(object=f"pool:{name}", verb__in=("change", "create", "delete"))
        renamed_to = None
        for verb, after in about.order_by("-id").values_list("verb", "after")[:_MOST]:
            renamed_to = (after or {}).get("name") if verb == "change" else None
            if verb != "change" or renamed_to:
                break  # the newest that says whose the name is
        if renamed_to is None or renamed_to in seen:
            return None
        if Pool.objects.filter(name=renamed_to).exists():
            return str(renamed_to)
        name = renamed_to
        seen.add(name)
    return None
