"""What hosts proved, or failed to prove, and the exchanges that are used up."""

from django.db import models

from hgs.models.configuration import OperationMode
from hgs.models.trust import PolicyVersion
from portal.kernel.ids import new_id


class EvidenceLog(models.Model):
    """A boot log that a quote confirmed, kept once however many attestations showed it."""

    sha256 = models.CharField(primary_key=True, max_length=64, editable=False)
    content = models.BinaryField()

    def __str__(self) -> str:
        return self.sha256


class Attestation(models.Model):
    """One finished attestation with its verdict, check by check. Old rows are removed.

    ``proven`` is false for attempts in which nothing proved who sent them: anybody on the network can send those.
    A rehearsal is judged like an attestation and gives no certificate.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    at = models.DateTimeField()
    host = models.ForeignKey(
        "hgs.TpmHost", null=True, blank=True, on_delete=models.SET_NULL, related_name="attestations"
    )
    host_name = models.CharField(max_length=64, blank=True)
    mode = models.PositiveSmallIntegerField(choices=OperationMode.choices, default=OperationMode.TPM)
    policy_version = models.PositiveSmallIntegerField(choices=PolicyVersion.choices, default=PolicyVersion.V2)
    is_rehearsal = models.BooleanField(default=False)
    identity = models.CharField(
        max_length=64,
        blank=True,
        help_text="SHA-256, hex, of the endorsement key, host key or SID; the subject of health certificates",
    )
    ek_hash = models.CharField(max_length=64, blank=True, help_text="TPM mode: the identity")
    passed = models.BooleanField()
    proven = models.BooleanField()
    status = models.CharField(max_length=32)
    verdict = models.JSONField()
    certificate_serial = models.CharField(max_length=40, blank=True, help_text="hex")
    certificate_not_after = models.DateTimeField(null=True, blank=True)
    log = models.ForeignKey(EvidenceLog, null=True, blank=True, on_delete=models.SET_NULL, related_name="attestations")

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["identity", "-at"], name="hgs_attestation_identity"),
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
