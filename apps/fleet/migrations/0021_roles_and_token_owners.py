"""Permissions of the roles; owner and expiry of API tokens. Instances of the release before run on this schema.

`owner` is the column `user_id` that was there. Those instances let an expired token in, and take a token of an
administrator for one of a viewer. Tokens that are there have no owner and never expire, as before.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("fleet", "0020_signed_revisions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="pool",
            options={
                "permissions": (
                    ("read_fleet", "May read the fleet (role viewer)"),
                    ("operate_fleet", "May change the fleet (role operator)"),
                    ("administer_fleet", "May manage accounts and all API tokens (role administrator)"),
                )
            },
        ),
        migrations.RemoveConstraint(model_name="apitoken", name="api_token_role_known"),
        migrations.AlterField(
            model_name="apitoken",
            name="role",
            field=models.CharField(
                choices=[
                    ("viewer", "viewer: may read"),
                    ("operator", "operator: may change"),
                    ("administrator", "administrator: may manage accounts, too"),
                ],
                max_length=13,
            ),
        ),
        migrations.AddConstraint(
            model_name="apitoken",
            constraint=models.CheckConstraint(
                condition=models.Q(role__in=["viewer", "operator", "administrator"]), name="api_token_role_known"
            ),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="expires",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="apitoken",
                    name="user",
                    field=models.ForeignKey(
                        blank=True,
                        db_column="user_id",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                migrations.RenameField(model_name="apitoken", old_name="user", new_name="owner"),
            ]
        ),
    ]
