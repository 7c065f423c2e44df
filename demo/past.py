"""Makes time pass: it moves all times in the fleet's tables into the past by the same span.

So the fleet's own functions, which use the database's clock, can write a history of weeks. Spans between two times
don't change, nor do the lengths of leases and deadlines. It must not know what the times mean.
"""

from datetime import timedelta

from django.apps import apps
from django.db import models, transaction
from django.db.models import DurationField, ExpressionWrapper, F, Value


def move(span: timedelta) -> None:
    """Let `span` pass for the fleet. One UPDATE for each table with times."""
    shift = Value(span, output_field=DurationField())
    with transaction.atomic():
        for model in apps.get_app_config("fleet").get_models():
            names = [field.name for field in model._meta.concrete_fields if isinstance(field, models.DateTimeField)]
            if names:
                moved = {name: ExpressionWrapper(F(name) - shift, models.DateTimeField()) for name in names}
                model._default_manager.update(**moved)
