"""What endpoints uploaded lately, for their quotas. It knows no content: that is interned and belongs to nobody."""

from django.db import models
from django.db.models.functions import Now

from .endpoints import Endpoint


class Upload(models.Model):
    """One upload of a text, counted when it began. `size` is bytes after decompression; `kept` when it was new."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="uploads")
    digest = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField(default=0)
    kept = models.BooleanField(default=False)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["endpoint", "at"], name="upload_endpoint_at"),
            models.Index(fields=["at"], name="upload_at"),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint_id}/{self.digest[:12]}"
