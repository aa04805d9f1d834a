"""The account of keys: every release and every refusal, and the append-only log that commits to each of them.

The details are rows of `KeyRelease`; what the world may see of them are the leaves of a Merkle tree (RFC 6962), which
commit to the details and disclose nothing. Leaves are only ever appended. Rows of both kinds, the head of the tree and
its signed checkpoint are written in one transaction, before the answer leaves HGS.
"""

from django.db import models

from portal.kernel.ids import new_id


class KeyRelease(models.Model):
    """One answer of the key protection service.

    ``vm_id`` is what the host said; nothing proves it. ``log_index`` is empty in rows from before there was a log.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    at = models.DateTimeField()
    released = models.BooleanField()
    reason = models.CharField(max_length=64, blank=True, help_text="The code of the refusal")
    message = models.CharField(max_length=500, blank=True)
    protector_hash = models.CharField(
        max_length=64,
        blank=True,
        help_text="Id of the protector received: SHA-256 of its wrappings, hex; of the document where it is none",
    )
    egress_hash = models.CharField(max_length=64, blank=True, help_text="Id of the protector returned")
    chain = models.CharField(
        max_length=64, blank=True, help_text="The first protector that HGS returned of those rolled from one another"
    )
    owner_fingerprint = models.CharField(max_length=64, blank=True)
    guardian_fingerprint = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the encryption certificate of HGS that opened the protector"
    )
    vm_id = models.UUIDField(null=True, blank=True, help_text="The virtual machine, as the host says")
    host_identity = models.CharField(max_length=64, blank=True, help_text="Subject of the health certificate")
    host_name = models.CharField(max_length=64, blank=True)
    certificate_serial = models.CharField(max_length=40, blank=True, help_text="hex")
    attestation_id = models.UUIDField(null=True, blank=True, help_text="The verdict that earned the certificate")
    offline_unwraps = models.PositiveIntegerField(default=0, help_text="Starts without HGS that were granted with it")
    log_index = models.BigIntegerField(null=True, blank=True, unique=True)
    blinding = models.BinaryField(max_length=32, blank=True, default=b"", help_text="Opens the leaf's commitment")

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["-at"], name="hgs_release_at"),
            models.Index(fields=["egress_hash"], name="hgs_release_egress"),
            models.Index(fields=["owner_fingerprint", "log_index"], name="hgs_release_owner"),
            models.Index(fields=["vm_id", "-at"], name="hgs_release_vm"),
        ]

    def __str__(self) -> str:
        return f"{'Released' if self.released else 'Refused'} {self.protector_hash[:16]}"


class LogLeaf(models.Model):
    """One leaf of the key log, as anybody may read it."""

    index = models.BigIntegerField(primary_key=True)
    leaf = models.BinaryField()

    def __str__(self) -> str:
        return f"Leaf {self.index}"


class LogTile(models.Model):
    """A full tile of the tree: 256 hashes of 32 bytes (C2SP tlog-tiles), at ``index`` of ``level``, and their root."""

    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    hashes = models.BinaryField()
    root = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["level", "index"], name="hgs_log_tile_once")]

    def __str__(self) -> str:
        return f"Tile {self.level}/{self.index}"


class LogHead(models.Model):
    """The head of the tree, one row. ``frontier``: the hashes from which the tree goes on; ``checkpoint``: signed."""

    SINGLETON = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=SINGLETON, editable=False)
    size = models.BigIntegerField(default=0)
    frontier = models.BinaryField(blank=True, default=b"")
    checkpoint = models.BinaryField(blank=True, default=b"")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="hgs_one_log_head")]

    def __str__(self) -> str:
        return f"Log of {self.size} entries"


class RevokedProtector(models.Model):
    """A key protector that an owner revoked, or a chain of them. It counts only where they are that owner's.

    Anybody can sign a notice about anybody's protector, so the owner is part of what makes a row the only one.
    """

    protector_hash = models.CharField(max_length=64, help_text="Id of the protector, or of the first of its chain")
    owner_fingerprint = models.CharField(max_length=64)
    notice_hash = models.CharField(max_length=64, help_text="SHA-256 of the owner's notice, hex")
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["protector_hash", "owner_fingerprint"], name="hgs_revoked_protector_once")
        ]

    def __str__(self) -> str:
        return self.protector_hash


class DependentsReport(models.Model):
    """What the fabric says still names which guardian, one row: virtual machines and shielding data files.

    ``dependents``: [{kind, id, name, owner_fingerprint, guardians: [fingerprint of an encryption certificate]}].
    """

    SINGLETON = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=SINGLETON, editable=False)
    at = models.DateTimeField()
    dependents = models.JSONField(default=list)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="hgs_one_dependents_report")]

    def __str__(self) -> str:
        return f"{len(self.dependents)} dependents"
