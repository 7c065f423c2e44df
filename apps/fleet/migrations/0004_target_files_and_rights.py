"""Targets with their files, unmanaged names and rights; alarms. Instances of the last release run on this schema.

Nobody gets a right by it: every endpoint and code that is there may set no target.
"""

import apps.fleet.models.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0003_upload_quota'),
    ]

    operations = [
        migrations.CreateModel(
            name='ChecksumConflict',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', apps.fleet.models.fields.BytewiseCharField(max_length=255)),
                ('version', apps.fleet.models.fields.BytewiseCharField(max_length=255)),
                ('arch', apps.fleet.models.fields.BytewiseCharField(max_length=32)),
                ('files', models.JSONField()),
                ('since', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='TargetFiles',
            fields=[
                ('digest', apps.fleet.models.fields.BytewiseCharField(max_length=64, primary_key=True, serialize=False)),
                ('file_count', models.PositiveIntegerField()),
                ('files', models.BinaryField()),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'verbose_name_plural': 'target files',
            },
        ),
        migrations.AddField(
            model_name='endpoint',
            name='may_set_targets',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='revoked',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='pool_changed',
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name='enrolmentcode',
            name='may_set_targets',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='pool',
            name='endpoint_targets_need_approval',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='pool',
            name='highest_number',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='pool',
            name='lost_through',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='pool',
            name='paused_by',
            field=models.JSONField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='pool',
            name='paused_since',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='targetrevision',
            name='approved',
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddField(
            model_name='targetrevision',
            name='digest',
            field=apps.fleet.models.fields.BytewiseCharField(editable=False, max_length=64, null=True),
        ),
        migrations.AddField(
            model_name='targetrevision',
            name='unmanaged',
            field=models.JSONField(null=True),
        ),
        migrations.AddConstraint(
            model_name='pool',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('paused_by__isnull', True), ('paused_since__isnull', True)), models.Q(('paused_by__isnull', False), ('paused_since__isnull', False)), _connector='OR'), name='pool_paused_with_its_cause'),
        ),
        migrations.AddConstraint(
            model_name='checksumconflict',
            constraint=models.UniqueConstraint(fields=('name', 'version', 'arch'), name='checksum_conflict_unique'),
        ),
        migrations.AddField(
            model_name='targetrevision',
            name='files',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='fleet.targetfiles'),
        ),
    ]
