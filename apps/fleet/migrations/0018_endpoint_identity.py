"""Tokens that agents rotate, codes to enrol again, shared tokens, approvals. Safe beside the release before."""

import apps.fleet.models.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("fleet", "0017_status_case_rules"),
    ]

    operations = [
        migrations.AddField(
            model_name="endpoint",
            name="awaits_approval",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="next_token_hash",
            field=apps.fleet.models.fields.BytewiseCharField(editable=False, max_length=64, null=True, unique=True),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="report_chains",
            field=models.JSONField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="rotation_requested",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="token_shared",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.CreateModel(
            name="ReenrolmentCode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code_hash", apps.fleet.models.fields.BytewiseCharField(editable=False, max_length=64, unique=True)),
                ("expires", models.DateTimeField()),
                ("author", models.CharField(max_length=200)),
                ("created", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "endpoint",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reenrolment_code",
                        to="fleet.endpoint",
                    ),
                ),
            ],
        ),
    ]
