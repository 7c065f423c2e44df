"""Makes time pass: everything that the fleet's tables know moves into the past by the same span.

So a story can be written by the fleet's own functions, which go by the database's clock, and still take weeks. Spans
between two moments, leases and deadlines stay what they are. It must not know what the times are for.
"""

from datetime import timedelta

from django.apps import apps
from django.db import models, transaction
from django.db.models import DurationField, ExpressionWrapper, F, Value


def move(span: timedelta) -> None:
    """Let `span` pass for the fleet. One UPDATE for each table that has times."""
    shift = Value(span, output_field=DurationField())
    with transaction.atomic():
        for model in apps.get_app_config("fleet").get_models():
            names = [field.name for field in model._meta.concrete_fields if isinstance(field, models.DateTimeField)]
            if names:
                moved = {name: ExpressionWrapper(F(name) - shift, models.DateTimeField()) for name in names}
                model._default_manager.update(**moved)
