"""Hosts and what HGS said about them."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models

from portal.kernel.actor import Actor, Role
from portal.kernel.ids import new_id

REPORT_LIFETIME = timedelta(seconds=60)
"""A host that has not reported for this long is shown as unknown and gets no new VMs."""

EXPIRY_WARNING = timedelta(minutes=30)
"""A health certificate that ends within this time is shown as expiring, and the host is asked to attest again."""


class HostState(models.TextChoices):
    """What the portal hears from the host's agent."""

    REGISTERED = "registered", "Registered"
    ONLINE = "online", "Online"
    UNKNOWN = "unknown", "Unknown"


class AttestationState(models.TextChoices):
    """What HGS said last; only HGS's own answer changes it, never a claim by the host."""

    NEVER = "never", "Not attested"
    ATTESTED = "attested", "Attested"
    EXPIRING = "expiring", "Expiring"
    EXPIRED = "expired", "Expired"
    REFUSED = "refused", "Refused"


class HostQuerySet(models.QuerySet["Host"]):
    """Hosts are the fabric administrator's business only."""

    def visible_to(self, actor: Actor) -> Self:
        """Every host for fabric administrators and the system, none for anybody else."""
        if actor.roles & {Role.FABRIC_ADMIN, Role.SYSTEM}:
            return self
        return self.none()


class Host(models.Model):
    """A Hyper-V host of the fabric. `attested_by` HGS's verdict; its own claims are kept apart in `last_report`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=63, unique=True)
    address = models.CharField(max_length=255, default="127.0.0.1", help_text="Where tenants reach its VMs.")
    token_key_id = models.CharField(max_length=16, unique=True)
    token_hash = models.CharField(max_length=80)
    token_issued_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=HostState, default=HostState.REGISTERED)
    version = models.CharField(max_length=64, blank=True)
    last_report_at = models.DateTimeField(null=True, blank=True)
    last_report = models.JSONField(default=dict, blank=True)
    vcpus = models.PositiveIntegerField(default=0)
    memory_mib = models.PositiveIntegerField(default=0)
    max_vms = models.PositiveIntegerField(default=0)
    passed = models.BooleanField(null=True, help_text="HGS's last verdict; null before the first.")
    certificate_not_after = models.DateTimeField(null=True, blank=True)
    last_attestation = models.ForeignKey(
        "fabric.HostAttestation", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    attestation_requested_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = HostQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def queue(self) -> str:
        """The Celery queue only this host's worker reads."""
        return f"host.{self.name}"

    def attestation_state(self, now: datetime) -> AttestationState:
        """HGS's verdict seen at `now`: a certificate that has ended is no verdict any more."""
        if self.passed is None:
            return AttestationState.NEVER
        if not self.passed or self.certificate_not_after is None:
            return AttestationState.REFUSED
        if self.certificate_not_after <= now:
            return AttestationState.EXPIRED
        if self.certificate_not_after - now <= EXPIRY_WARNING:
            return AttestationState.EXPIRING
        return AttestationState.ATTESTED

    def reported_within(self, now: datetime, lifetime: timedelta = REPORT_LIFETIME) -> bool:
        """Whether the host has been heard of lately."""
        return self.last_report_at is not None and now - self.last_report_at <= lifetime

    @property
    def in_local_mode(self) -> bool:
        """Whether the host says that it asks no HGS."""
        return bool(self.last_report.get("status") == "NotConfigured")


class AttestationMode(models.TextChoices):
    """How HGS judged; its names in HGS's own interface."""

    TPM = "tpm", "TPM"
    ACTIVE_DIRECTORY = "active-directory", "Active Directory"
    HOST_KEY = "host-key", "Host key"


class HostAttestation(models.Model):
    """One verdict as HGS recorded it, fetched from HGS by its id. Rows are only added."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="attestations")
    hgs_id = models.UUIDField(unique=True)
    at = models.DateTimeField()
    passed = models.BooleanField()
    status = models.CharField(max_length=64)
    sub_statuses = models.JSONField(default=list)
    checks = models.JSONField(default=list)
    warnings = models.JSONField(default=list)
    mode = models.CharField(max_length=32, choices=AttestationMode, default=AttestationMode.TPM)
    policy_version = models.PositiveSmallIntegerField(default=2)
    log_sha256 = models.CharField(max_length=64, blank=True, help_text="The boot log that HGS keeps, if it keeps one.")
    ek_hash = models.CharField(max_length=128, blank=True)
    certificate_not_after = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["host", "-at"], name="fabric_attest_host_at")]

    def __str__(self) -> str:
        return f"{self.host_id} {self.status}"

    @property
    def why(self) -> str:
        """The first failed check's sentence and how many more failed; empty for one that passed."""
        failed = [str(one.get("sentence", "")) for one in self.checks if one.get("outcome") == "failed"]
        if not failed:
            return "" if self.passed else self.status
        return f"{failed[0]}{f' ({len(failed) - 1} more)' if len(failed) > 1 else ''}"
