"""The log of keys: every release and every refusal."""

from django.db import models

from portal.kernel.ids import new_id


class KeyRelease(models.Model):
    """One answer of the key protection service. Written, with its audit event, before the answer leaves HGS."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    at = models.DateTimeField()
    released = models.BooleanField()
    reason = models.CharField(max_length=64, blank=True, help_text="The code of the refusal")
    message = models.CharField(max_length=500, blank=True)
    protector_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the protector received, hex")
    egress_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the protector returned, hex")
    owner_fingerprint = models.CharField(max_length=64, blank=True)
    host_identity = models.CharField(max_length=64, blank=True, help_text="Subject of the health certificate")
    host_name = models.CharField(max_length=64, blank=True)
    certificate_serial = models.CharField(max_length=40, blank=True, help_text="hex")

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["-at"], name="hgs_release_at"),
            models.Index(fields=["protector_hash"], name="hgs_release_protector"),
        ]

    def __str__(self) -> str:
        return f"{'Released' if self.released else 'Refused'} {self.protector_hash[:16]}"
