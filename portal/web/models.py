"""What the shell keeps for a person: the notifications they have not dismissed."""

from django.conf import settings
from django.db import models

from portal.kernel.models import Job


class Notification(models.Model):
    """One line of the notification bar.

    With a job, the bar says `started`, `done` or `failed` as the job stands; without one, `outcome` says which.
    """

    class Outcome(models.TextChoices):
        JOB = "job", "As its job stands"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, null=True, related_name="+")
    started = models.CharField(max_length=300, blank=True)
    done = models.CharField(max_length=300, blank=True)
    failed = models.CharField(max_length=300, blank=True)
    message = models.TextField(blank=True)
    advice = models.TextField(blank=True)
    code = models.CharField(max_length=64, blank=True)
    error_id = models.CharField(max_length=32, blank=True)  # the request in the logs
    url = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    shown_at = models.DateTimeField(null=True)  # when "done" was first shown; it goes by itself a little later
    dismissed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["user", "dismissed_at"], name="notification_open")]

    def __str__(self) -> str:
        return self.failed or self.done or self.started
