"""What people and tokens may do: the roles, and the Django permissions that they stand for (docs/security.md#roles).

A person's role follows from Django's permissions, through a group or their own. It must not know what needs which role.
"""

from django.contrib.auth.models import Permission
from django.db.models import Case, CharField, Exists, OuterRef, Q, TextChoices, Value, When


class Role(TextChoices):
    """Least first: each role includes those before it."""

    VIEWER = "viewer", "viewer: may read"
    OPERATOR = "operator", "operator: may change"
    ADMINISTRATOR = "administrator", "administrator: may manage accounts, too"

    def includes(self, other: "Role") -> bool:
        """Whether whoever has this role may do what `other` may."""
        return _ORDER.index(self) >= _ORDER.index(other)


_ORDER = list(Role)
# The codenames of the permissions (of the app `fleet`, declared by the model Pool) that the roles stand for.
CODENAMES = {Role.VIEWER: "read_fleet", Role.OPERATOR: "operate_fleet", Role.ADMINISTRATOR: "administer_fleet"}
PERMISSIONS = (
    (CODENAMES[Role.VIEWER], "May read the fleet (role viewer)"),
    (CODENAMES[Role.OPERATOR], "May change the fleet (role operator)"),
    (CODENAMES[Role.ADMINISTRATOR], "May manage accounts and all API tokens (role administrator)"),
)


def allows(held: Role | None, needed: Role) -> bool:
    """Whether `held`, the role of a person or token (None: they have none), is enough for what needs `needed`."""
    return held is not None and held.includes(needed)


def lower(one: Role, other: Role | None) -> Role | None:
    """The one of two roles that may do less; None (no role) may do nothing."""
    return one if allows(other, one) else other


def role_of(user: str) -> Case:
    """The role of a user as an expression: text, NULL without a role. An inactive account has none.

    `user` is the path to the user from the model of the query, with `__` at its end: `owner__`, or `""` for users.
    """
    key = OuterRef(f"{user}pk")
    through = Q(user=key) | Q(group__user=key)
    held = Permission.objects.filter(through, content_type__app_label="fleet")
    by_permission = [
        When(Exists(held.filter(codename=CODENAMES[role])), then=Value(role.value)) for role in reversed(_ORDER)
    ]
    return Case(
        When(**{f"{user}is_active": False}, then=Value(None)),
        When(**{f"{user}is_superuser": True}, then=Value(Role.ADMINISTRATOR.value)),
        *by_permission,
        default=Value(None),
        output_field=CharField(),
    )
