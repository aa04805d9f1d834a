"""Which account has proven that it holds which owner's key."""

from typing import Self

from django.conf import settings
from django.db import models

from portal.kernel.actor import Actor, Role
from portal.kernel.ids import new_id


class ProvenOwnerQuerySet(models.QuerySet["ProvenOwner"]):
    """A proof counts for the account that gave it, and for nobody else."""

    def visible_to(self, actor: Actor) -> Self:
        """The actor's own proofs; none for the system: nothing it does needs them."""
        return self.filter(user_id=actor.id) if actor.has(Role.TENANT) else self.none()


class ProvenOwner(models.Model):
    """An owner whose key the account has shown to hold: it may read the owner's whole account of keys."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    owner_fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the owner's signing certificate.")
    owner_name = models.CharField(max_length=200, blank=True, help_text="Subject of that certificate.")
    proven_at = models.DateTimeField()
    proven_via = models.CharField(max_length=64, blank=True, help_text="The API token, where one was used.")

    objects = ProvenOwnerQuerySet.as_manager()

    class Meta:
        ordering = ["owner_name", "owner_fingerprint"]
        constraints = [models.UniqueConstraint(fields=["user", "owner_fingerprint"], name="tenants_owner_proven_once")]

    def __str__(self) -> str:
        return f"{self.owner_name} {self.owner_fingerprint[:16]}".strip()
