"""Results of a comparison say which rules they were found by. Releases before leave the number to the database."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0016_operation_newest'),
    ]

    operations = [
        migrations.AddField(
            model_name='statuscase',
            name='rules',
            field=models.PositiveSmallIntegerField(db_default=1),
        ),
    ]
