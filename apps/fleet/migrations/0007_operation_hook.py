from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0006_endpoint_examination'),
    ]

    operations = [
        migrations.AddField(
            model_name='operation',
            name='hook',
            field=models.JSONField(null=True),
        ),
    ]
