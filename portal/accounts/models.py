"""The people who sign in: to the portal, or, in HGS's own database, to HGS."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models

from portal.kernel.actor import Role
from portal.kernel.ids import new_id


class User(AbstractUser):
    """`role` decides which portal a person sees; one person with two duties has two accounts."""

    class RoleChoice(models.TextChoices):
        TENANT = Role.TENANT.value, "Tenant"
        FABRIC_ADMIN = Role.FABRIC_ADMIN.value, "Fabric administrator"
        HGS_ADMIN = Role.HGS_ADMIN.value, "HGS administrator"
        HGS_REVIEWER = Role.HGS_REVIEWER.value, "HGS reviewer"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    role = models.CharField(max_length=16, choices=RoleChoice.choices, default=RoleChoice.TENANT)

    def __str__(self) -> str:
        return self.get_username()
