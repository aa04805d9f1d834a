"""What HGS trusts: TPM makers, hosts, baselines, code integrity policies, and which built-in policies are on."""

from django.db import models
from django.db.models.functions import Lower

from portal.kernel.ids import new_id


class TrustedTpmRoot(models.Model):
    """A certificate that an endorsement key certificate may chain to (a root) or through (an intermediate)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=200)
    certificate = models.BinaryField()
    fingerprint = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the certificate (DER), hex")
    is_root = models.BooleanField()
    added_at = models.DateTimeField()
    added_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class TpmHost(models.Model):
    """A host that may attest: the public endorsement key of its TPM is known here."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=64)
    ek_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the endorsement public key, hex")
    ek_public = models.BinaryField()
    ek_certificate = models.BinaryField()
    approved_at = models.DateTimeField()
    approved_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="hgs_host_name_once")]

    def __str__(self) -> str:
        return self.name


class ApprovedArtefact(models.Model):
    """What baselines and code integrity policies share."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256, hex")
    content = models.BinaryField()
    facts = models.JSONField(default=dict)
    is_enabled = models.BooleanField(default=True)
    approved_at = models.DateTimeField()
    approved_by = models.CharField(max_length=150)

    class Meta:
        abstract = True
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Baseline(ApprovedArtefact):
    """The measured boot of one class of hardware: ``content`` is the TCG log it was taken from."""

    class Meta(ApprovedArtefact.Meta):
        constraints = [models.UniqueConstraint(Lower("name"), name="hgs_baseline_name_once")]


class CiPolicy(ApprovedArtefact):
    """A code integrity policy that hosts may run: ``digest`` is what a host measures."""

    class Meta(ApprovedArtefact.Meta):
        verbose_name = "CI policy"
        verbose_name_plural = "CI policies"
        constraints = [models.UniqueConstraint(Lower("name"), name="hgs_ci_policy_name_once")]


class PolicyState(models.Model):
    """An administrator's decision about a built-in policy; without a row the policy has its own default."""

    name = models.CharField(primary_key=True, max_length=64)
    is_enabled = models.BooleanField()
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name}: {'enabled' if self.is_enabled else 'disabled'}"
