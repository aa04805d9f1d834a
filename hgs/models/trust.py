"""What HGS trusts: hosts of each mode, TPM makers, baselines, CI policies, dump keys, and which policies are on."""

from django.db import models
from django.db.models.functions import Lower

from hgs.models.stamped import Stamped
from portal.kernel.ids import new_id


class PolicyVersion(models.IntegerChoices):
    """The protocol version that an artefact counts for: a host passes by artefacts of one version only."""

    V1 = 1, "v1"
    V2 = 2, "v2"


class TrustedTpmRoot(Stamped):
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
    """TPM mode: a host whose public endorsement key is known here.

    Without a certificate of that key (``ek_certificate`` empty) a host is admitted in version 1 only.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=64)
    ek_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the endorsement public key, hex")
    ek_public = models.BinaryField()
    ek_certificate = models.BinaryField(blank=True, default=b"")
    policy_version = models.PositiveSmallIntegerField(choices=PolicyVersion.choices, default=PolicyVersion.V2)
    approved_at = models.DateTimeField()
    approved_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(Lower("name"), name="hgs_host_name_once"),
            models.CheckConstraint(
                condition=~models.Q(ek_certificate=b"") | models.Q(policy_version=1), name="hgs_host_bare_key_is_v1"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class HostKey(models.Model):
    """Host key mode: the public key of a host; several hosts may share one."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=64)
    public_key = models.BinaryField(help_text="SubjectPublicKeyInfo, DER")
    fingerprint = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the public key, hex")
    approved_at = models.DateTimeField()
    approved_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="hgs_host_key_name_once")]

    def __str__(self) -> str:
        return self.name


class HostGroup(models.Model):
    """Active Directory mode: a group whose members may attest."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=64)
    sid = models.CharField(max_length=184, unique=True, help_text="Security identifier, S-1-5-21-…")
    approved_at = models.DateTimeField()
    approved_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="hgs_host_group_name_once")]

    def __str__(self) -> str:
        return self.name


class DomainHost(models.Model):
    """Active Directory mode: a host that attested as a member of ``group``; it is forgotten with its group."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    identity = models.CharField(
        max_length=64, unique=True, help_text="SHA-256 of the SID, hex; names it in certificates"
    )
    sid = models.CharField(max_length=184, unique=True)
    name = models.CharField(max_length=64)
    group = models.ForeignKey(HostGroup, on_delete=models.CASCADE, related_name="hosts")
    known_since = models.DateTimeField(help_text="When it first attested by this group, without a break since")
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ApprovedArtefact(Stamped):
    """What baselines, code integrity policies and dump keys share."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, help_text="SHA-256, hex")
    policy_version = models.PositiveSmallIntegerField(choices=PolicyVersion.choices, default=PolicyVersion.V2)
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
        constraints = [
            models.UniqueConstraint(Lower("name"), name="hgs_baseline_name_once"),
            models.UniqueConstraint("digest", "policy_version", name="hgs_baseline_once"),
        ]


class CiPolicy(ApprovedArtefact):
    """A code integrity policy that hosts may run: ``digest`` is what a host measures."""

    class Meta(ApprovedArtefact.Meta):
        verbose_name = "CI policy"
        verbose_name_plural = "CI policies"
        constraints = [
            models.UniqueConstraint(Lower("name"), name="hgs_ci_policy_name_once"),
            models.UniqueConstraint("digest", "policy_version", name="hgs_ci_policy_once"),
        ]


class DumpKey(ApprovedArtefact):
    """A key that memory dumps may be encrypted to: ``digest`` is what a host measures; ``content`` may be empty."""

    class Meta(ApprovedArtefact.Meta):
        constraints = [
            models.UniqueConstraint(Lower("name"), name="hgs_dump_key_name_once"),
            models.UniqueConstraint("digest", "policy_version", name="hgs_dump_key_once"),
        ]


class PolicyState(Stamped):
    """An administrator's decision about a built-in policy; without a row the policy has its own default."""

    name = models.CharField(primary_key=True, max_length=64)
    is_enabled = models.BooleanField()
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name}: {'enabled' if self.is_enabled else 'disabled'}"
