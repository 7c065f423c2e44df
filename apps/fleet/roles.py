"""Which role a person has, and giving another. A role is a Django group with that role's permissions.

The one place that says what the role of an account is; pages, API, health and admin ask here. It must not know HTTP.
"""

from collections.abc import Collection
from typing import Any

from django.apps import apps
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.db import transaction

from . import audit
from .exceptions import Conflict
from .models.roles import CODENAMES, Role, allows
from .models.roles import role_of as role_expression

# The names of the groups. Migration 0022 put the accounts that there were into them.
GROUPS = {role: f"PacSync {role.value}" for role in Role}


def may(user: AbstractBaseUser | AnonymousUser, needed: Role) -> bool:
    """Whether the account's role is enough for what needs `needed`."""
    return allows(role_of(user), needed)


def role_of(user: AbstractBaseUser | AnonymousUser) -> Role | None:
    """The account's role now; None for nobody, an inactive account, and one without a role.

    At most one query, whose result `user` keeps.
    """
    if not isinstance(user, User) or not user.is_active:
        return None
    if user.is_superuser:
        return Role.ADMINISTRATOR
    if not hasattr(user, "_fleet_role"):
        user._fleet_role = of_accounts([user.pk]).get(user.pk)  # type: ignore[attr-defined]  # ours
    held: Role | None = user._fleet_role  # type: ignore[attr-defined]  # as above
    return held


def of_accounts(keys: Collection[int]) -> dict[int, Role | None]:
    """The roles of the accounts with these keys. One query."""
    found = User.objects.filter(pk__in=keys).annotate(role=role_expression("")).values_list("pk", "role")
    return {pk: Role(role) if role else None for pk, role in found}


def give(*, user: User, role: Role | None, actor: str) -> None:
    """Give the account this role instead of the one it has; None takes it. A repeat changes nothing.

    Raises Conflict if the account would keep more, because it is a superuser or has permissions of another origin.
    """
    with transaction.atomic():
        before = _now(user)
        user.groups.remove(*Group.objects.filter(name__in=GROUPS.values()))
        if role is not None:
            user.groups.add(Group.objects.get_or_create(name=GROUPS[role])[0])
        after = _now(user)
        vars(user).pop("_fleet_role", None)
        if after != role:
            raise Conflict(_why_not(user, role, after))
        record_change(user=user, before=before, after=after, actor=actor)


def _now(user: User) -> Role | None:
    return of_accounts([user.pk]).get(user.pk)


def _why_not(user: User, role: Role | None, after: Role | None) -> str:
    name = user.get_username()
    if not user.is_active:
        return f"The account {name} is deactivated. Activate it in /admin/ first."
    if user.is_superuser:
        return f"{name} is a superuser, who is always an administrator. Take that status away in /admin/ first."
    return (
        f"{name} would be {after or 'without a role'}, not {role or 'without a role'}, because of other permissions. "
        "Look at the account's groups and permissions in /admin/, and run `migrate` if this server was never migrated."
    )


def record_change(*, user: User, before: Role | None, after: Role | None, actor: str) -> None:
    """Write to the audit that the account's role changed; nothing if it didn't."""
    if before != after:
        audit.record(
            actor=actor,
            verb="change_role",
            object=f"user:{user.get_username()}",
            before={"role": before},
            after={"role": after},
        )


def set_up_groups(sender: Any, using: str, apps: Any = apps, **signal: object) -> None:
    """A receiver of `post_migrate`, which comes once for each app: the roles' groups exist and have their permissions.

    Viewers and operators have exactly those of their role; administrators have every permission, of all apps. `flush`
    sends the signal without `apps`.
    """
    try:
        groups, permissions = (apps.get_model("auth", name).objects.using(using) for name in ("Group", "Permission"))
    except LookupError:  # migrated back to where there are none
        return
    administrators, _ = groups.get_or_create(name=GROUPS[Role.ADMINISTRATOR])
    administrators.permissions.add(*permissions.filter(content_type__app_label=sender.label))
    if sender.label == "fleet":
        for role in (Role.VIEWER, Role.OPERATOR):
            included = [CODENAMES[one] for one in Role if role.includes(one)]
            group, _ = groups.get_or_create(name=GROUPS[role])
            group.permissions.set(permissions.filter(content_type__app_label="fleet", codename__in=included))
