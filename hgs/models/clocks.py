"""Clocks of nodes and hosts, as far as they are known: a signature's dates mean something only where clocks agree."""

from django.db import models

from portal.kernel.ids import new_id


class ClockKind(models.TextChoices):
    """Whose clock was read."""

    NODE = "node", "HGS node"
    HOST = "host", "Host"


class ClockReading(models.Model):
    """The last reading of one clock.

    Nodes compare theirs with the database's every minute, so a row also says that the node lives. A host's is written
    only where the time that it gave with a proven attestation was off.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=8, choices=ClockKind.choices)
    subject = models.CharField(max_length=255, help_text="The node's name, or the identity of the host")
    name = models.CharField(max_length=255)
    at = models.DateTimeField(help_text="By the clock it was compared with")
    ahead_seconds = models.FloatField()

    class Meta:
        ordering = ["kind", "name"]
        constraints = [models.UniqueConstraint(fields=["kind", "subject"], name="hgs_clock_once")]

    def __str__(self) -> str:
        return f"{self.name}: {self.ahead_seconds:+.0f} s"
