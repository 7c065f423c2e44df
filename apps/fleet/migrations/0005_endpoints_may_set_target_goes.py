"""Endpoints set targets by a right of their own, no longer by their pool's switch.

The column stays for instances of the last release, which read and write it; it is off everywhere, so that they let no
endpoint set a target either. A later release drops it. SQLite, which has one instance, may lose it at once.
"""

from django.db import migrations, models
from django.db.models.functions import Now


def switch_off(apps, schema_editor):
    apps.get_model('fleet', 'Pool').objects.update(endpoints_may_set_target=False)
    # When they were revoked isn't known any more: targets that come from them are to be looked at, later ones aren't.
    apps.get_model('fleet', 'Endpoint').objects.filter(token_hash=None).update(revoked=Now())


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0004_target_files_and_rights'),
    ]

    operations = [
        migrations.AlterField(
            model_name='pool',
            name='endpoints_may_set_target',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.RunPython(switch_off, migrations.RunPython.noop),
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveField(model_name='pool', name='endpoints_may_set_target')],
        ),
    ]
