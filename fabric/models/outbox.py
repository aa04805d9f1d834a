"""Messages that must leave although the broker may be away."""

from django.db import models


class OutgoingMessage(models.Model):
    """A message written in the transaction that causes it, and deleted when the broker has taken it."""

    task = models.CharField(max_length=64)
    arguments = models.JSONField(default=dict)
    queue = models.CharField(max_length=80)
    not_before = models.DateTimeField()
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["not_before"], name="fabric_outbox_not_before")]

    def __str__(self) -> str:
        return f"{self.task} to {self.queue}"
