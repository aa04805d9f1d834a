"""What this Host Guardian Service is: its mode and level, one row."""

from django.db import models

from portal.kernel.ids import new_id


class OperationMode(models.IntegerChoices):
    """AttestationOperationMode, [MS-HGSA] 2.2.1."""

    TPM = 1, "TPM"
    ACTIVE_DIRECTORY = 2, "Active Directory"
    HOST_KEY = 3, "Host key"


class ServiceConfiguration(models.Model):
    """The one configuration of this service; it exists once HGS is initialised."""

    SINGLETON = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=SINGLETON, editable=False)
    mode = models.PositiveSmallIntegerField(choices=OperationMode.choices)
    mode_changed_at = models.DateTimeField(
        null=True, blank=True, help_text="Health certificates from before open nothing; empty while it never changed"
    )
    functional_level = models.PositiveSmallIntegerField(default=2)
    name = models.CharField(max_length=64)
    initialised_at = models.DateTimeField()
    deny_issued_before = models.DateTimeField(
        null=True, blank=True, help_text="Health certificates of any signer that were issued earlier open nothing"
    )
    max_offline_unwraps = models.PositiveIntegerField(
        default=0, help_text="How often a host may start a VM without HGS after each release; 0 forbids it"
    )
    log_origin = models.CharField(max_length=128, blank=True, help_text="The name of the key log in its checkpoints")
    trust_stamp = models.UUIDField(
        default=new_id, editable=False, help_text="Renewed by every change of what attestation goes by"
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="hgs_one_configuration")]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_mode_display()} mode)"
