from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0008_endpoint_protected'),
    ]

    operations = [
        migrations.AddField(
            model_name='operation',
            name='hook',
            field=models.JSONField(null=True),
        ),
    ]
