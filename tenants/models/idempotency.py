"""Requests that must not be carried out twice."""

from django.conf import settings
from django.db import models

from portal.kernel.ids import new_id


class IdempotencyKey(models.Model):
    """An API client's key for one create request, and the VM and job it led to."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=128)
    request_sha256 = models.CharField(max_length=64)
    vm_id = models.UUIDField()
    job_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="tenants_idempotency_key_unique")]

    def __str__(self) -> str:
        return self.key
