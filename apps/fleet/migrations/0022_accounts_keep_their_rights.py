"""Every account gets the role that its rights amount to: staff were operators, all others could read.

A superuser is an administrator without a group. The groups get their permissions after the migrations
(apps.fleet.roles.set_up_groups). Instances of the release before don't look at groups.
"""

from typing import Any

from django.conf import settings
from django.db import migrations


def give_roles(apps: Any, schema_editor: Any) -> None:
    using = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group").objects.using(using)
    accounts = apps.get_model("auth", "User").objects.using(using).filter(is_superuser=False)
    for name, staff in (("PacSync viewer", False), ("PacSync operator", True)):
        group, _ = groups.get_or_create(name=name)
        group.user_set.add(*accounts.filter(is_staff=staff).values_list("pk", flat=True))


class Migration(migrations.Migration):
    dependencies = [
        ("fleet", "0021_roles_and_token_owners"),
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunPython(give_roles, migrations.RunPython.noop)]
