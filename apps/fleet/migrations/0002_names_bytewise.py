"""Names and digests are compared byte by byte (collation "C"), whatever the C library of PostgreSQL's host sorts by.

PostgreSQL rebuilds the indexes of these columns, not the tables; meanwhile it locks the tables. Instances of the last
release run on the new schema as on the old one. SQLite compares so already: nothing is done there.
"""

import apps.fleet.models.fields
import django.core.validators
from django.db import migrations

# What must be unique in Django's own tables, where a field can't say it: (table, column, type).
DJANGO = [
    ("auth_user", "username", "varchar(150)"),
    ("auth_group", "name", "varchar(150)"),
    ("auth_permission", "codename", "varchar(100)"),
    ("django_content_type", "app_label", "varchar(100)"),
    ("django_content_type", "model", "varchar(100)"),
    ("django_session", "session_key", "varchar(40)"),
]


class AlterOnPostgreSQL(migrations.AlterField):
    """AlterField, where the column changes by it: SQLite would copy the table to get the same table."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)


def collate(schema_editor, collation):
    if schema_editor.connection.vendor != "postgresql":
        return
    for table, column, kind in DJANGO:
        schema_editor.execute(f'ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind} COLLATE "{collation}"')


def bytewise(apps, schema_editor):
    collate(schema_editor, "C")


def default(apps, schema_editor):
    collate(schema_editor, "default")


class Migration(migrations.Migration):

    dependencies = [
        ('fleet', '0001_initial'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
        ('sessions', '0001_initial'),
    ]

    operations = [
        AlterOnPostgreSQL(
            model_name='apitoken',
            name='name',
            field=apps.fleet.models.fields.BytewiseCharField(max_length=100, unique=True),
        ),
        AlterOnPostgreSQL(
            model_name='apitoken',
            name='token_hash',
            field=apps.fleet.models.fields.BytewiseCharField(editable=False, max_length=64, unique=True),
        ),
        AlterOnPostgreSQL(
            model_name='endpoint',
            name='name',
            field=apps.fleet.models.fields.BytewiseCharField(max_length=63, unique=True, validators=[django.core.validators.RegexValidator('^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\\Z', 'A name has 1 to 63 letters, digits, dots, hyphens and underscores, and starts and ends with a letter or digit.', code='invalid_name')]),
        ),
        AlterOnPostgreSQL(
            model_name='endpoint',
            name='token_hash',
            field=apps.fleet.models.fields.BytewiseCharField(editable=False, max_length=64, null=True, unique=True),
        ),
        AlterOnPostgreSQL(
            model_name='endpointrepository',
            name='name',
            field=apps.fleet.models.fields.BytewiseCharField(max_length=255),
        ),
        AlterOnPostgreSQL(
            model_name='enrolmentcode',
            name='code_hash',
            field=apps.fleet.models.fields.BytewiseCharField(editable=False, max_length=64, unique=True),
        ),
        AlterOnPostgreSQL(
            model_name='operation',
            name='idempotency_key',
            field=apps.fleet.models.fields.BytewiseCharField(max_length=200, null=True, unique=True),
        ),
        AlterOnPostgreSQL(
            model_name='packageversion',
            name='arch',
            field=apps.fleet.models.fields.BytewiseCharField(max_length=32),
        ),
        AlterOnPostgreSQL(
            model_name='packageversion',
            name='name',
            field=apps.fleet.models.fields.BytewiseCharField(max_length=255),
        ),
        AlterOnPostgreSQL(
            model_name='packageversion',
            name='version',
            field=apps.fleet.models.fields.BytewiseCharField(max_length=255),
        ),
        AlterOnPostgreSQL(
            model_name='pool',
            name='name',
            field=apps.fleet.models.fields.BytewiseCharField(max_length=63, unique=True, validators=[django.core.validators.RegexValidator('^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\\Z', 'A name has 1 to 63 letters, digits, dots, hyphens and underscores, and starts and ends with a letter or digit.', code='invalid_name')]),
        ),
        AlterOnPostgreSQL(
            model_name='repositorycontent',
            name='digest',
            field=apps.fleet.models.fields.BytewiseCharField(max_length=64, primary_key=True, serialize=False),
        ),
        AlterOnPostgreSQL(
            model_name='state',
            name='digest',
            field=apps.fleet.models.fields.BytewiseCharField(max_length=64, primary_key=True, serialize=False),
        ),
        migrations.RunPython(bytewise, default),
    ]
