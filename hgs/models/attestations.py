"""What hosts proved, or failed to prove, and the exchanges that are used up."""

from django.db import models

from portal.kernel.ids import new_id


class Attestation(models.Model):
    """One finished attestation with its verdict, check by check. Old rows are removed.

    ``proven`` is false for attempts in which no TPM proved itself: anybody on the network can send those.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    at = models.DateTimeField()
    host = models.ForeignKey(
        "hgs.TpmHost", null=True, blank=True, on_delete=models.SET_NULL, related_name="attestations"
    )
    host_name = models.CharField(max_length=64, blank=True)
    ek_hash = models.CharField(max_length=64, blank=True)
    passed = models.BooleanField()
    proven = models.BooleanField()
    status = models.CharField(max_length=32)
    verdict = models.JSONField()
    certificate_serial = models.CharField(max_length=40, blank=True, help_text="hex")
    certificate_not_after = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["-at"], name="hgs_attestation_at"),
            models.Index(fields=["host_name", "-at"], name="hgs_attestation_host"),
            models.Index(fields=["ek_hash", "-at"], name="hgs_attestation_ek"),
        ]

    def __str__(self) -> str:
        return f"{self.host_name or self.ek_hash[:16]}: {self.status}"


class UsedContext(models.Model):
    """An exchange context that was answered. A second answer to the same context is a replay.

    Rows are swept once the context has expired anyway.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.id)
