"""State files for tests: written, opened, put together wrongly; an HGS with a log, and one that lost everything."""

import os
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db.models import AutoField

from hgs.models import (
    Attestation,
    ClockReading,
    EvidenceLog,
    KeyPurpose,
    KeyRelease,
    LogHead,
    LogLeaf,
    LogTile,
    ServiceConfiguration,
    ServiceKey,
    Submission,
    UsedContext,
)
from hgs.sealing import unseal
from hgs.selectors import keys
from hgs.state_tables import TABLES, Table
from hgs.statefile.container import Writer, checked_passphrase, chunks, open_envelope
from hgs.statefile.form import Reading, Record, lines
from hgs.transparency.checkpoint import Checkpoint, sign_checkpoint, signing_key
from hgs.transparency.merkle import Frontier, leaf_hash
from hgs.transparency.note import VerifierKey
from hgs.transparency.tiles import completed_tiles, tile_root
from portal.kernel.models import AuditEvent, AuditHead
from tests.hgs.attestation.tpm_hosts import NOW

PASSPHRASE = "eight words that nobody else would think of"
WORK = 14  # quick to guess, and to test
OTHERS = (Attestation, EvidenceLog, Submission, UsedContext, ClockReading, AuditEvent, AuditHead)


def lose_everything(settings: Any) -> None:
    """The database is gone, and the master key with it: what there is now is as good as new."""
    for table in reversed(TABLES):
        table.model._default_manager.all().delete()
    for model in OTHERS:
        model._default_manager.all().delete()
    settings.HGS_MASTER_KEY = os.urandom(32)
    settings.HGS_MASTER_KEY_OLD = ()
    keys._open_pair.cache_clear()


def rows(left_out: Iterable[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Every row that a file stands for, by table, without what differs wherever it is sealed or read anew."""
    omitted = {"sealed_key", "trust_stamp", *left_out}
    return {table.kind.name: _rows(table, omitted) for table in TABLES}


def _rows(table: Table, omitted: set[str]) -> list[dict[str, Any]]:
    key = table.model._meta.pk
    left_out = omitted | ({key.name} if isinstance(key, AutoField) else set())
    found = table.model._default_manager.order_by(*table.order).values()
    return [{name: _plain(value) for name, value in row.items() if name not in left_out} for row in found]


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def log_seed() -> bytes:
    row = ServiceKey.objects.get(purpose=KeyPurpose.KEY_LOG, is_primary=True)
    return unseal(bytes(row.sealed_key), purpose=row.purpose, record_id=row.id).reveal()


def log_key() -> VerifierKey:
    """What tenants know the log by."""
    public = signing_key(log_seed()).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return VerifierKey(ServiceConfiguration.objects.get().log_origin, public)


def make_log(size: int) -> None:
    """A key log of so many entries, each a release."""
    leaves = [os.urandom(97) for _ in range(size)]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    frontier = Frontier()
    frontier.extend(hashes)
    LogLeaf.objects.bulk_create([LogLeaf(index=index, leaf=leaf) for index, leaf in enumerate(leaves)])
    KeyRelease.objects.bulk_create(
        [
            KeyRelease(
                at=NOW,
                released=True,
                log_index=index,
                blinding=bytes(32),
                owner_fingerprint="ab" * 32,
                host_name="hv01",
            )
            for index in range(size)
        ]
    )
    for level, index, tile in completed_tiles(0, size, lambda begin, end: hashes[begin:end], lambda *_: b""):
        LogTile.objects.create(level=level, index=index, hashes=tile, root=tile_root(tile))
    checkpoint = Checkpoint(ServiceConfiguration.objects.get().log_origin, size, frontier.root())
    note = sign_checkpoint(checkpoint, signing_key(log_seed()))
    LogHead.objects.create(size=size, frontier=frontier.serialise(), checkpoint=note)


def opened(path: Path) -> bytes:
    """The lines in a file."""
    with path.open("rb") as source:
        envelope = open_envelope(source, checked_passphrase(PASSPHRASE))
        return b"".join(chunks(source, envelope))


def sealed(content: bytes, path: Path) -> Path:
    """A file with any lines."""
    out = BytesIO()
    writer = Writer(out, checked_passphrase(PASSPHRASE), os.urandom, WORK)
    writer.write(content)
    writer.finish()
    path.write_bytes(out.getvalue())
    return path


Change = Callable[[list[Record]], Iterable[Record]]


def rewritten(path: Path, change: Change) -> Path:
    """A file of the same head with other records, counted and hashed as they should be."""
    reading = Reading([opened(path)])
    records = list(reading.records())
    return sealed(b"".join(lines(reading.head, change(records))), path.with_suffix(".changed"))
