"""Former names of pools, from the audit: an old address leads on to the pool. It writes nothing, and knows no HTTP."""

from .models import AuditEvent, Pool

# So often renamed a pool is still found under its first name.
_MOST = 20


def present_name(name: str) -> str | None:
    """The name that the pool once called `name` has now; None when there is none.

    A name that went to another pool since belongs to that one, also when that was deleted.
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
