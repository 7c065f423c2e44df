"""What was changed, by whom. Rows are only ever added."""

from django.db import models
from django.db.models.functions import Now


class AuditEvent(models.Model):
    """`actor` did `verb` to `object`; `before` and `after` are its changed fields."""

    actor = models.CharField(max_length=200)
    verb = models.CharField(max_length=50)
    object = models.CharField(max_length=200)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["-at"], name="audit_event_at"),
            models.Index(fields=["object", "-id"], name="audit_event_object"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.object}"
