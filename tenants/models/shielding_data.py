"""Shielding data files a tenant uploaded. The portal keeps ciphertext and the parts its owner made readable."""

from typing import Self

from django.db import models

from fabric.models import LibraryBlob
from portal.kernel.actor import Actor, Role
from portal.kernel.ids import new_id
from tenants.models.plan import Subscription


class ShieldingDataKind(models.TextChoices):
    """What a file is for, as it says itself (`fabric.shielding.pdk.PdkType`)."""

    FOR_SHIELDED_TEMPLATES = "ForShieldedTemplates", "For shielded templates"
    FOR_EXISTING_VMS = "ForExistingVirtualMachines", "For existing VMs"


class ShieldingDataQuerySet(models.QuerySet["ShieldingData"]):
    """Shielding data is seen through its subscription."""

    def visible_to(self, actor: Actor) -> Self:
        """What belongs to the actor's own subscriptions; all for the system."""
        if Role.SYSTEM in actor.roles:
            return self
        if Role.TENANT in actor.roles:
            return self.filter(subscription__owner_id=actor.id)
        return self.none()


class ShieldingData(models.Model):
    """One uploaded PDK. All fields but name and description come from the file's own authenticated part."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="shielding_data")
    name = models.CharField(max_length=63)
    description = models.CharField(max_length=500, blank=True)
    blob = models.ForeignKey(LibraryBlob, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(
        max_length=32, choices=ShieldingDataKind.choices, default=ShieldingDataKind.FOR_SHIELDED_TEMPLATES
    )
    policy = models.CharField(max_length=32)
    owner_name = models.CharField(max_length=200, blank=True)
    owner_fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the owner's signing certificate.")
    guardians = models.JSONField(help_text="The guardians that may release its key: tenants.pdk_file.NamedGuardian.")
    guardian_pairs = models.TextField(blank=True, default="", help_text="The guardians' pairs, for comparing in SQL.")
    qualifiers = models.JSONField(help_text="[{disk_name, version, rule, signer_fingerprint}].")
    substitution_strings = models.JSONField(
        null=True, default=None, help_text="Values its answer file asks for; null: the file does not say."
    )
    escrows_recovery_key = models.BooleanField(default=False, help_text="Whether its owner wants a key of each disk.")
    uploaded_by = models.CharField(max_length=150)
    uploaded_at = models.DateTimeField(auto_now_add=True)

    objects = ShieldingDataQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "shielding data"
        constraints = [
            models.UniqueConstraint(fields=["subscription", "name"], name="tenants_shielding_data_name_unique")
        ]

    def __str__(self) -> str:
        return self.name
