"""The keys of HGS. Private halves are sealed under the master key and are never stored in clear."""

from django.db import models

from hgs.models.stamped import Stamped
from portal.kernel.ids import new_id


class KeyPurpose(models.TextChoices):
    """What a key of HGS is for. The value is part of what a sealed key is bound to, so it never changes."""

    GUARDIAN_SIGNING = "guardian-signing", "Guardian signing"
    GUARDIAN_ENCRYPTION = "guardian-encryption", "Guardian encryption"
    COMMUNICATIONS = "communications", "Communications"
    ATTESTATION_SIGNER = "attestation-signer", "Attestation signer"
    EXCHANGE_STATE = "exchange-state", "Attestation exchange state"
    KEY_LOG = "key-log", "Key log"


class ServiceKey(Stamped):
    """A key of HGS: the certificate in clear, the private key (or secret key) sealed.

    ``sealed_key`` opens to PKCS#8 DER, or to 32 bytes that have no certificate: the exchange state key, and the seed of
    the Ed25519 key that signs the key log. It is empty where the private key stays in a token, which ``pkcs11_uri``
    (RFC 7512) names.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    purpose = models.CharField(max_length=32, choices=KeyPurpose.choices)
    certificate = models.BinaryField(blank=True, default=b"")
    fingerprint = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the certificate (DER), hex")
    sealed_key = models.BinaryField(blank=True, default=b"")
    pkcs11_uri = models.CharField(max_length=500, blank=True, help_text="Where a private key is that never leaves")
    is_primary = models.BooleanField(default=False)
    is_enabled = models.BooleanField(default=True)
    deny_issued_before = models.DateTimeField(
        null=True, blank=True, help_text="Attestation signer only: health certificates issued earlier open nothing"
    )
    superseded_at = models.DateTimeField(
        null=True, blank=True, help_text="Attestation signer only: when another became the primary one"
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["purpose", "-is_primary", "-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["purpose"], condition=models.Q(is_primary=True), name="hgs_one_primary_key_per_purpose"
            ),
            models.CheckConstraint(
                condition=models.Q(is_primary=False) | models.Q(is_enabled=True), name="hgs_primary_key_is_enabled"
            ),
            models.UniqueConstraint(
                fields=["purpose", "fingerprint"],
                condition=~models.Q(fingerprint=""),
                name="hgs_certificate_once_per_purpose",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()} {self.fingerprint[:16]}".strip()
