"""Where a VM is: its host, address and port, and which files its host may fetch."""

from django.db import models

from fabric.models.host import Host
from fabric.models.library import LibraryBlob
from fabric.models.network import Network
from fabric.models.template_disk import TemplateDisk


class PowerState(models.TextChoices):
    """The last state a VM's own host reported. `planned` until a host has it."""

    PLANNED = "planned", "Planned"
    RUNNING = "running", "Running"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"


class Placement(models.Model):
    """The fabric's side of one VM. The key is the VM's own id; the tenant's side refers to this row.

    It reserves the address and the access port: deleting it gives both back.
    """

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=63)
    owner = models.CharField(max_length=150, help_text="The tenant's subscription, as the fabric may show it.")
    host = models.ForeignKey(Host, null=True, blank=True, on_delete=models.PROTECT, related_name="placements")
    template = models.ForeignKey(TemplateDisk, on_delete=models.PROTECT, related_name="placements")
    shielding_data = models.ForeignKey(LibraryBlob, on_delete=models.PROTECT, related_name="+")
    network = models.ForeignKey(Network, on_delete=models.PROTECT, related_name="placements")
    address = models.GenericIPAddressField(protocol="IPv4")
    access_port = models.PositiveIntegerField(unique=True, help_text="TCP port on the host that leads to the VM's SSH.")
    vcpus = models.PositiveIntegerField()
    memory_mib = models.PositiveIntegerField()
    specialization = models.JSONField(default=dict, help_text="Public specialization values, by placeholder.")
    power_state = models.CharField(max_length=16, choices=PowerState, default=PowerState.PLANNED)
    last_heartbeat_at = models.DateTimeField(null=True, blank=True)
    last_beat = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["network", "address"], name="fabric_address_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def blob_hashes(self) -> frozenset[str]:
        """The library files that this VM's host needs, and no others."""
        return frozenset({self.template.disk_id, self.template.catalog_id, self.shielding_data_id})


class Assignment(models.Model):
    """Which host was given a job. Only that host may report on the job."""

    job_id = models.UUIDField(primary_key=True)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="assignments")
    task = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.task} {self.job_id}"
