"""Rows that every application shares: audit events, jobs, their steps and their events."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.kernel.ids import new_id


class AuditEvent(models.Model):
    """Append-only; written by `portal.kernel.audit.record` alone."""

    sequence = models.PositiveBigIntegerField(unique=True)
    at = models.DateTimeField(db_index=True)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64)
    actor_name = models.CharField(max_length=150)
    actor_via = models.CharField(max_length=64, blank=True)
    event = models.CharField(max_length=64, db_index=True)
    target_type = models.CharField(max_length=32)
    target_id = models.CharField(max_length=64, db_index=True)
    scope = models.CharField(max_length=64, blank=True, db_index=True)
    summary = models.TextField()
    data = models.JSONField(default=dict)
    digest = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["-sequence"]

    def __str__(self) -> str:
        return f"{self.sequence} {self.event} {self.target_type} {self.target_id}"


class AuditHead(models.Model):
    """The end of the chain; its row lock orders writers."""

    sequence = models.PositiveBigIntegerField(default=0)
    digest = models.BinaryField(max_length=32, default=b"")

    def __str__(self) -> str:
        return f"audit head at {self.sequence}"


class JobState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"  # an expected failure, with its reason
    ERRORED = "errored", "Errored"  # a fault of ours, with an error id
    LOST = "lost", "Lost"  # its worker went silent
    CANCELLED = "cancelled", "Cancelled"


OPEN_STATES = (JobState.QUEUED, JobState.RUNNING)


class Job(models.Model):
    """One piece of work in steps. `scope` says whose it is: "subscription:<id>" or "fabric"."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=32)
    title = models.CharField(max_length=200)
    scope = models.CharField(max_length=64, db_index=True)
    target_type = models.CharField(max_length=32)
    target_id = models.CharField(max_length=64, db_index=True)
    target_name = models.CharField(max_length=100)
    state = models.CharField(max_length=16, choices=JobState.choices, default=JobState.QUEUED, db_index=True)
    percent = models.PositiveSmallIntegerField(default=0)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True, db_index=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    error_advice = models.TextField(blank=True)
    error_details = models.JSONField(default=dict)
    result = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.title} ({self.state})"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def is_failure(self) -> bool:
        return self.state in (JobState.FAILED, JobState.ERRORED, JobState.LOST)


class StepState(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"


class JobStep(models.Model):
    """`weight` is the step's share of the job's percent; `percent` is its own progress, 0 to 100."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=32)
    title = models.CharField(max_length=100)
    weight = models.PositiveSmallIntegerField(default=1)
    state = models.CharField(max_length=16, choices=StepState.choices, default=StepState.PENDING)
    percent = models.PositiveSmallIntegerField(default=0)
    message = models.CharField(max_length=300, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["job", "key"], name="job_step_key_once"),
            models.CheckConstraint(condition=Q(percent__lte=100), name="job_step_percent"),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.state})"


class JobEvent(models.Model):
    """What happened to a job, in order; never changed."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=32)
    step_key = models.CharField(max_length=32, blank=True)
    message = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.step_key} {self.message}".strip()
