"""What the fabric submitted to HGS. HGS alone decides; the portal only remembers and asks."""

from typing import Self

from django.db import models

from fabric.models.host import Host
from portal.kernel.actor import Actor, Role
from portal.kernel.ids import new_id


class SubmissionKind(models.TextChoices):
    """What an HGS administrator is asked to trust."""

    HOST = "host", "Host identity"
    HOST_KEY = "host-key", "Host key"
    HOST_GROUP = "host-group", "Host group"
    BASELINE = "baseline", "Hardware baseline"
    CI_POLICY = "ci-policy", "Code integrity policy"


class SubmissionState(models.TextChoices):
    """HGS's answer as last heard."""

    PENDING = "pending", "Waiting for approval"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"


class SubmissionQuerySet(models.QuerySet["Submission"]):
    """Submissions are the fabric administrator's business only."""

    def visible_to(self, actor: Actor) -> Self:
        """All for fabric administrators and the system, none for anybody else."""
        if actor.roles & {Role.FABRIC_ADMIN, Role.SYSTEM}:
            return self
        return self.none()


class Submission(models.Model):
    """One artefact sent to HGS for approval."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=16, choices=SubmissionKind)
    name = models.CharField(max_length=128)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="submissions")
    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    hgs_id = models.UUIDField(unique=True)
    state = models.CharField(max_length=16, choices=SubmissionState, default=SubmissionState.PENDING)
    submitted_by = models.CharField(max_length=150)
    submitted_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField(null=True, blank=True)

    objects = SubmissionQuerySet.as_manager()

    class Meta:
        ordering = ["-submitted_at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
