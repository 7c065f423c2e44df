"""The newest operations of all endpoints come first in the list. Safe beside the release before."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("fleet", "0015_status_cases")]

    operations = [
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(fields=["-created", "-id"], name="operation_newest"),
        ),
    ]
