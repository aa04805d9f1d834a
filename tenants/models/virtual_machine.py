"""Virtual machines as their tenant sees them."""

from typing import Self

from django.db import models

from fabric.models import Network, Placement, TemplateDisk
from portal.kernel.actor import Actor, Role
from portal.kernel.ids import new_id
from tenants.models.plan import Subscription
from tenants.models.shielding_data import ShieldingData


class VmState(models.TextChoices):
    """Where a VM is in its life; `TRANSITIONS` says what may follow what."""

    CREATING = "creating", "Creating"
    RUNNING = "running", "Running"
    STOPPING = "stopping", "Stopping"
    STOPPED = "stopped", "Stopped"
    STARTING = "starting", "Starting"
    FAILED = "failed", "Failed"
    REMOVING = "removing", "Removing"


TRANSITIONS: dict[VmState, frozenset[VmState]] = {
    VmState.CREATING: frozenset({VmState.RUNNING, VmState.FAILED}),
    VmState.RUNNING: frozenset({VmState.STOPPING, VmState.STOPPED, VmState.FAILED, VmState.REMOVING}),
    VmState.STOPPING: frozenset({VmState.STOPPED, VmState.RUNNING, VmState.FAILED}),
    VmState.STOPPED: frozenset({VmState.STARTING, VmState.RUNNING, VmState.REMOVING}),
    VmState.STARTING: frozenset({VmState.RUNNING, VmState.STOPPED, VmState.FAILED}),
    VmState.FAILED: frozenset({VmState.CREATING, VmState.STARTING, VmState.STOPPED, VmState.RUNNING, VmState.REMOVING}),
    VmState.REMOVING: frozenset({VmState.FAILED}),
}
"""Every move a VM's state may make. A removed VM's row is deleted: removing leads nowhere but to failed."""

IN_TRANSITION = frozenset({VmState.CREATING, VmState.STOPPING, VmState.STARTING, VmState.REMOVING})


class Protection(models.TextChoices):
    """The policy in the VM's shielding data; nobody on the fabric can lower it."""

    SHIELDED = "shielded", "Shielded"
    ENCRYPTION_SUPPORTED = "encryption-supported", "Encryption supported"


class VirtualMachineQuerySet(models.QuerySet["VirtualMachine"]):
    """A VM is seen through its subscription."""

    def visible_to(self, actor: Actor) -> Self:
        """What belongs to the actor's own subscriptions; all for the system."""
        if Role.SYSTEM in actor.roles:
            return self
        if Role.TENANT in actor.roles:
            return self.filter(subscription__owner_id=actor.id)
        return self.none()


class VirtualMachine(models.Model):
    """A VM and the files it is made from. `placement` holds its host, address and port while the fabric keeps any."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="virtual_machines")
    name = models.CharField(max_length=15)
    shielding_data = models.ForeignKey(ShieldingData, on_delete=models.PROTECT, related_name="virtual_machines")
    template = models.ForeignKey(TemplateDisk, on_delete=models.PROTECT, related_name="virtual_machines")
    network = models.ForeignKey(Network, on_delete=models.PROTECT, related_name="virtual_machines")
    placement = models.OneToOneField(
        Placement, null=True, blank=True, on_delete=models.SET_NULL, related_name="virtual_machine"
    )
    vcpus = models.PositiveIntegerField()
    memory_mib = models.PositiveIntegerField()
    protection = models.CharField(max_length=32, choices=Protection, default=Protection.SHIELDED)
    state = models.CharField(max_length=16, choices=VmState, default=VmState.CREATING)
    guardians = models.JSONField(default=list, help_text="As in ShieldingData, of the VM's own key protector.")
    guardian_pairs = models.TextField(blank=True, default="", help_text="The guardians' pairs, for comparing in SQL.")
    recovery_key = models.BinaryField(
        blank=True, default=b"", help_text="The escrow of its disk's recovery key, which its owner alone can open."
    )
    provisioned = models.BooleanField(default=False, help_text="Whether a host has finished its disk once.")
    job_id = models.UUIDField(null=True, blank=True, help_text="The last job about this VM.")
    problem = models.JSONField(default=dict, blank=True, help_text="{code, message, advice} of the last failure.")
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    state_changed_at = models.DateTimeField(auto_now_add=True)

    objects = VirtualMachineQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["subscription", "name"], name="tenants_vm_name_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def in_transition(self) -> bool:
        """Whether a job is changing this VM now."""
        return self.state in IN_TRANSITION

    @property
    def is_shielded(self) -> bool:
        """Whether its policy is Shielded."""
        return self.protection == Protection.SHIELDED

    @property
    def owner_fingerprint(self) -> str:
        """SHA-256 of the certificate of the owner in the VM's key protector."""
        return self.shielding_data.owner_fingerprint
