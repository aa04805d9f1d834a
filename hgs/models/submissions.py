"""What the fabric asks HGS to trust. Nothing here has any effect until an HGS administrator approves it."""

from django.db import models
from django.db.models.functions import Lower

from hgs.models.trust import PolicyVersion
from portal.kernel.ids import new_id


class SubmissionKind(models.TextChoices):
    """What a fabric submits."""

    HOST = "host", "Host identity"
    HOST_KEY = "host-key", "Host key"
    HOST_GROUP = "host-group", "Host group"
    BASELINE = "baseline", "Baseline"
    CI_POLICY = "ci-policy", "CI policy"


class SubmissionState(models.TextChoices):
    """pending -> approved | rejected; both are final."""

    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"


class Submission(models.Model):
    """One request of the fabric, kept with its content and the decision for ever."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=16, choices=SubmissionKind.choices)
    name = models.CharField(max_length=64)
    content = models.BinaryField()
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the content, hex")
    policy_version = models.PositiveSmallIntegerField(choices=PolicyVersion.choices, default=PolicyVersion.V2)
    captured_from = models.ForeignKey(
        "hgs.Attestation",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="captures",
        help_text="The attestation whose boot log was captured as this baseline",
    )
    state = models.CharField(max_length=16, choices=SubmissionState.choices, default=SubmissionState.PENDING)
    submitted_at = models.DateTimeField()
    submitted_by = models.CharField(max_length=150)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=150, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-submitted_at"]
        constraints = [
            # The same thing waits once. What was rejected, or approved and removed since, may be asked for again.
            models.UniqueConstraint(
                "kind",
                Lower("name"),
                "content_hash",
                "policy_version",
                condition=models.Q(state="pending"),
                name="hgs_submission_once",
            ),
        ]
        indexes = [models.Index(fields=["state", "-submitted_at"], name="hgs_submission_state")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}"
