"""The people who sign in: to the portal, or, in HGS's own database, to HGS."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
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


class ApiToken(models.Model):
    """A person's token for the REST API; see `portal.accounts.tokens` for its form. The secret is not kept."""

    key_id = models.CharField(max_length=16, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=60)
    pepper = models.PositiveSmallIntegerField()
    digest = models.BinaryField(max_length=32)
    read_only = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} (gf_{self.key_id}_…)"

    def is_usable(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at) and self.user.is_active


class SignIn(models.Model):
    """A session a person has opened, so that they can see it and end it from elsewhere."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sign_ins")
    session_key = models.CharField(max_length=40, unique=True)
    address = models.GenericIPAddressField(null=True)
    browser = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.user} from {self.address} at {self.at:%Y-%m-%d %H:%M}"
