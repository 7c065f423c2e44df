"""Signed revisions: identities of pools, signatures, the keys that machines trust. Safe beside the release before.

A pool that the release before makes has no identity; it gets one when it is first needed.
"""

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


def give_identities(apps, schema_editor):
    pools = apps.get_model("fleet", "Pool")
    for key in pools.objects.filter(identity__isnull=True).values_list("pk", flat=True):
        pools.objects.filter(pk=key).update(identity=uuid.uuid4())


class Migration(migrations.Migration):
    dependencies = [("fleet", "0019_report_numbers")]

    operations = [
        migrations.AddField(
            model_name="pool",
            name="identity",
            field=models.UUIDField(null=True, editable=False),
        ),
        migrations.RunPython(give_identities, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="pool",
            name="identity",
            field=models.UUIDField(default=uuid.uuid4, null=True, unique=True, editable=False),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="signing",
            field=models.JSONField(null=True, editable=False),
        ),
        migrations.AddField(
            model_name="targetrevision",
            name="signed_until",
            field=models.DateTimeField(null=True, editable=False),
        ),
        migrations.CreateModel(
            name="RevisionSignature",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("document", models.BinaryField()),
                ("signature", models.BinaryField()),
                ("issuer", models.CharField(blank=True, max_length=64)),
                ("signed", models.DateTimeField()),
                ("author", models.CharField(max_length=200)),
                ("created", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "revision",
                    models.OneToOneField(
                        # Without a constraint of the database: the release before deletes revisions and not these.
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="signature",
                        to="fleet.targetrevision",
                    ),
                ),
            ],
        ),
    ]
