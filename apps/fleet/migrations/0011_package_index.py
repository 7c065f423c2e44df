"""The index of packages (apps/fleet/package_index.py) and the times when endpoints were offline.

Two empty columns and three empty tables: the index is filled by its chore, and until then questions read the states.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0010_operation_retries'),
    ]

    operations = [
        migrations.CreateModel(
            name='IndexSegment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('states', models.PositiveSmallIntegerField()),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='OfflinePeriod',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Posting',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.IntegerField()),
                ('segment', models.IntegerField()),
                ('bits', models.BinaryField()),
            ],
        ),
        migrations.AddField(
            model_name='state',
            name='segment',
            field=models.IntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='state',
            name='slot',
            field=models.SmallIntegerField(editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name='state',
            index=models.Index(condition=models.Q(('segment__isnull', False)), fields=['segment'], name='state_segment'),
        ),
        migrations.AddField(
            model_name='offlineperiod',
            name='endpoint',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='offline_periods', to='fleet.endpoint'),
        ),
        migrations.AddIndex(
            model_name='posting',
            index=models.Index(fields=['segment'], name='posting_segment'),
        ),
        migrations.AddConstraint(
            model_name='posting',
            constraint=models.UniqueConstraint(fields=('version', 'segment'), name='posting_unique'),
        ),
        migrations.AddIndex(
            model_name='offlineperiod',
            index=models.Index(fields=['endpoint', 'until'], name='offline_period_by_endpoint'),
        ),
    ]
