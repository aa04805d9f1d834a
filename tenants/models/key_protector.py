"""VMs' own key protectors in their owners' hands: fetched from the host, changed by the owner, put back."""

from django.db import models

from tenants.models.virtual_machine import VirtualMachine


class ProtectorState(models.TextChoices):
    """Where a VM's key protector is on its way."""

    STALE = "stale", "Not fetched"
    EXPORTING = "exporting", "Being fetched"
    EXPORTED = "exported", "Fetched"
    REPLACING = "replacing", "Being replaced"
    REPLACED = "replaced", "Replaced"
    FAILED = "failed", "Failed"


UNDER_WAY = frozenset({ProtectorState.EXPORTING, ProtectorState.REPLACING})


class VmKeyProtector(models.Model):
    """What the fabric keeps of one VM's key protector while its owner changes it; that in force lies on the VM's host.

    `document` is the protector as its host exported it, verified, and good for a replacement until the VM starts again.
    `replacement_sha256` and `replacement_guardians` are of the owner's new one while the host takes it over.
    """

    vm = models.OneToOneField(VirtualMachine, primary_key=True, on_delete=models.CASCADE, related_name="key_protector")
    state = models.CharField(max_length=16, choices=ProtectorState, default=ProtectorState.STALE)
    job_id = models.UUIDField(null=True, blank=True, help_text="The job under way, or the last one.")
    document = models.BinaryField(blank=True, default=b"")
    sha256 = models.CharField(max_length=64, blank=True, help_text="Of the document.")
    exported_at = models.DateTimeField(null=True, blank=True)
    replacement_sha256 = models.CharField(max_length=64, blank=True)
    replacement_guardians = models.JSONField(default=list, blank=True)
    replaced_at = models.DateTimeField(null=True, blank=True)
    problem = models.JSONField(default=dict, blank=True, help_text="{code, message, advice} of the last failure.")

    def __str__(self) -> str:
        return f"{self.vm_id} ({self.state})"

    @property
    def under_way(self) -> bool:
        """Whether its host is at work on it."""
        return self.state in UNDER_WAY
