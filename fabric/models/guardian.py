"""HGS's guardian as the control plane saw it last, so that pages can compare with it while HGS is away."""

from django.db import models


class GuardianInForce(models.Model):
    """The guardian of this fabric's HGS: what new shielding data should name. One row.

    Fingerprints are SHA-256, hex: of the certificate that signs the metadata, of the guardian's signing and of its
    encryption certificate. `pair` stands for the keys of the latter two: it changes when HGS gets other primary keys,
    not when a certificate is renewed with its key.
    """

    SINGLETON = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=SINGLETON, editable=False)
    fingerprint = models.CharField(max_length=64)
    guardian_fingerprint = models.CharField(max_length=64)
    encryption_fingerprint = models.CharField(max_length=64)
    pair = models.CharField(max_length=64)
    since = models.DateTimeField(help_text="When this pair of keys was seen first.")
    seen_at = models.DateTimeField(help_text="When HGS showed it last.")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="fabric_one_guardian")]

    def __str__(self) -> str:
        return self.guardian_fingerprint
