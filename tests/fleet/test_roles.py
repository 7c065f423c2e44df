"""Roles of accounts: by Django's groups and permissions, given and taken."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.management import call_command

from apps.fleet import roles
from apps.fleet.exceptions import Conflict
from apps.fleet.models import AuditEvent, Role
from apps.fleet.models.roles import CODENAMES
from tests import factories

pytestmark = pytest.mark.django_db


def permission(role: Role) -> Permission:
    return Permission.objects.get(content_type__app_label="fleet", codename=CODENAMES[role])


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize("role", Role)
def test_account_has_the_role_of_its_group(role: Role, django_assert_num_queries: Any) -> None:
    user = fresh(factories.account("ann", role))
    with django_assert_num_queries(1):
        assert [roles.role_of(user) for _ in range(2)] == [role, role]
    assert [roles.may(user, needed) for needed in Role] == [role.includes(needed) for needed in Role]


def test_account_has_the_highest_role_of_its_own_permissions_and_of_any_group() -> None:
    user = User.objects.create_user("ann")
    assert roles.role_of(fresh(user)) is None
    user.user_permissions.add(permission(Role.VIEWER))
    assert roles.role_of(fresh(user)) == Role.VIEWER
    group = Group.objects.create(name="night shift")
    group.permissions.add(permission(Role.OPERATOR))
    user.groups.add(group)
    assert roles.role_of(fresh(user)) == Role.OPERATOR


def test_superuser_is_an_administrator_nobody_and_the_inactive_have_no_role() -> None:
    assert roles.role_of(User.objects.create_superuser("ada")) == Role.ADMINISTRATOR
    assert roles.role_of(User.objects.create_superuser("eve", is_active=False)) is None
    assert roles.role_of(AnonymousUser()) is None
    ann = factories.account("ann", Role.OPERATOR)
    User.objects.update(is_active=False)
    assert roles.role_of(fresh(ann)) is None
    assert set(roles.of_accounts(User.objects.values_list("pk", flat=True)).values()) == {None}


def test_groups_have_exactly_their_permissions_after_each_migrate() -> None:
    viewer, operator, administrator = (Group.objects.get(name=name) for name in roles.GROUPS.values())
    viewer.permissions.clear()
    operator.permissions.add(permission(Role.ADMINISTRATOR))
    call_command("migrate", verbosity=0)
    held = [set(group.permissions.values_list("codename", flat=True)) for group in (viewer, operator, administrator)]
    assert held[:2] == [{"read_fleet"}, {"read_fleet", "operate_fleet"}]
    assert held[2] >= {"administer_fleet", "add_user", "change_pool", "view_advisory", "view_instance"}


def test_role_given_replaces_the_one_before_and_is_in_the_audit() -> None:
    user = factories.account("ann", Role.VIEWER)
    other = Group.objects.create(name="night shift")
    user.groups.add(other)
    for role in (Role.ADMINISTRATOR, Role.ADMINISTRATOR, None):
        roles.give(user=user, role=role, actor="user:ada")
        assert roles.role_of(user) == role
    assert list(user.groups.all()) == [other]
    events = AuditEvent.objects.filter(actor="user:ada").order_by("pk")
    assert [(event.verb, event.object, event.before, event.after) for event in events] == [
        ("change_role", "user:ann", {"role": "viewer"}, {"role": "administrator"}),
        ("change_role", "user:ann", {"role": "administrator"}, {"role": None}),
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"is_superuser": True}, "ann is a superuser"), ({"is_active": False}, "The account ann is deactivated")],
)
def test_role_of_a_superuser_or_an_inactive_account_is_not_given(fields: dict[str, bool], said: str) -> None:
    user = User.objects.create_user("ann", **fields)
    with pytest.raises(Conflict, match=said):
        roles.give(user=user, role=Role.VIEWER, actor="user:ada")
    assert not user.groups.exists() and not AuditEvent.objects.exists()


def test_role_that_other_permissions_give_anyway_is_not_taken() -> None:
    user = factories.account("ann", Role.OPERATOR)
    user.user_permissions.add(permission(Role.OPERATOR))
    with pytest.raises(Conflict, match="ann would be operator, not viewer, because of other permissions"):
        roles.give(user=user, role=Role.VIEWER, actor="user:ada")
    assert user.groups.get().name == "PacSync operator"
