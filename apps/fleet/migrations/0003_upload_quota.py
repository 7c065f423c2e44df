import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0002_names_bytewise'),
    ]

    operations = [
        migrations.CreateModel(
            name='Upload',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64)),
                ('size', models.PositiveBigIntegerField(default=0)),
                ('kept', models.BooleanField(default=False)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='uploads', to='fleet.endpoint')),
            ],
            options={
                'indexes': [models.Index(fields=['endpoint', 'at'], name='upload_endpoint_at'), models.Index(fields=['at'], name='upload_at')],
            },
        ),
    ]
