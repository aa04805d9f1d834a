"""An HGS out of a state file: everything is verified before anything is written, and written in one transaction."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from hgs.artefacts import measured_baseline
from hgs.attestation.ci_policy import parse_ci_policy
from hgs.attestation.ekcert import parse_ek_certificate
from hgs.attestation.endorsement import endorsement_from_certificate, endorsement_from_spki
from hgs.attestation.errors import AttestationError
from hgs.attestation.host_key import read_host_key
from hgs.attestation.sid import Sid
from hgs.commands.clocks import BEAT_SECONDS, database_time
from hgs.commands.service_keys import LOG_SEED_LENGTH, new_log_origin, sealed_record
from hgs.commands.signers import renew_signer
from hgs.keyprotection.secret import Secret
from hgs.models import ClockKind, ClockReading, KeyPurpose, KeyRelease, RevokedProtector, ServiceConfiguration
from hgs.policy import Action, may
from hgs.sealing import MASTER_KEY_LENGTH, master_key
from hgs.state_tables import BY_KIND, TABLES, Fields, Table
from hgs.statefile import kinds
from hgs.statefile.container import Envelope, checked_passphrase, chunks, open_envelope
from hgs.statefile.errors import unsound
from hgs.statefile.form import WHOLE, Reading, Record, Summary
from hgs.statefile.soundness import KeyFound, Soundness
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require

STILL_SERVES: Final = timedelta(seconds=BEAT_SECONDS * 1.5)
"""A node notes that it lives each :data:`BEAT_SECONDS`."""
_BATCH: Final = 500


@dataclass(frozen=True)
class Inspected:
    """What a file holds, without its secrets. ``log_size``: entries of its key log."""

    summary: Summary
    keys: tuple[KeyFound, ...]
    log_origin: str
    log_size: int
    log_checkpoint: str

    @property
    def in_tokens(self) -> tuple[KeyFound, ...]:
        """Keys that are in it by reference alone: the token must be there."""
        return tuple(key for key in self.keys if key.pkcs11_uri)

    @property
    def has_log(self) -> bool:
        """Whether somebody can go on with its key log, be it empty: its name, its key and all its entries are there."""
        is_whole = self.summary.head.log == WHOLE and bool(self.log_origin)
        return is_whole and any(key.purpose == KeyPurpose.KEY_LOG and key.is_primary for key in self.keys)


@dataclass(frozen=True)
class Choices:
    """How to import. ``continue_log``: go on with the key log of the file instead of beginning a new one."""

    replace: bool = False
    continue_log: bool = False
    keep_signer: bool = False


@dataclass(frozen=True)
class Imported:
    """What an import did. ``signer``: the fingerprint of the new attestation signer; empty where it was kept."""

    found: Inspected
    log_origin: str
    signer: str


def inspect_state(actor: Actor, path: Path, passphrase: str) -> Inspected:
    """Read a file to its end and verify all of it; changes nothing. Raises StateFileError with what is wrong."""
    require(may(actor, Action.MANAGE_KEYS))
    with path.open("rb") as source:
        return _inspected(source, open_envelope(source, checked_passphrase(passphrase)))


def import_state(actor: Actor, path: Path, passphrase: str, choices: Choices = Choices()) -> Imported:
    """Make this HGS the one of the file, in one transaction: everything or nothing.

    Only an HGS without any state of its own is changed, unless ``choices.replace``. Private keys are sealed under the
    master key of this node. The attestation signer is renewed, and the key log begins anew under a name and key of its
    own, unless the choices say otherwise. Raises StateFileError, Conflict and Invalid.
    """
    require(may(actor, Action.MANAGE_KEYS))
    master_key()
    with path.open("rb") as source:
        envelope = open_envelope(source, checked_passphrase(passphrase))
        begin = source.tell()
        found = _inspected(source, envelope)
        if choices.continue_log and not found.has_log:
            raise Invalid("log-left-out", "The key log is not in this file, so nothing can go on with it.")
        source.seek(begin)
        try:
            with transaction.atomic():
                return _import(actor, found, chunks(source, envelope), choices)
        except IntegrityError as error:
            raise Conflict(
                "state-does-not-fit",
                "The database does not take these records side by side, or another import ran at the same moment; "
                "nothing was changed.",
            ) from error


def _inspected(source: BinaryIO, envelope: Envelope) -> Inspected:
    reading, soundness = Reading(chunks(source, envelope)), Soundness()
    for record in reading.records():
        soundness.see(record)
        _check_content(record)
    soundness.finish(reading.summary)
    return Inspected(
        summary=reading.summary,
        keys=tuple(soundness.keys),
        log_origin=soundness.configuration["log_origin"],
        log_size=soundness.log.size,
        log_checkpoint=soundness.log.checkpoint,
    )


def _import(actor: Actor, found: Inspected, pieces: Iterator[bytes], choices: Choices) -> Imported:
    _make_room(replace=choices.replace)
    origin = found.log_origin if choices.continue_log else new_log_origin()
    reading = Reading(pieces)
    for kind, records in groupby(reading.records(), key=lambda record: record.kind):
        _write(BY_KIND[kind.name], _taken(records, origin, choices))
    if reading.summary != found.summary:
        raise unsound("it changed while it was read.")
    _fresh_keys(continue_log=choices.continue_log)
    _audit(actor, found, origin, choices)
    signer = "" if choices.keep_signer else renew_signer(actor, timezone.now()).fingerprint
    return Imported(found, origin, signer)


def _make_room(*, replace: bool) -> None:
    """Nothing is there, or it goes. Releases stay, without the place in a log that ends; so do revocations."""
    if not replace:
        if any(table.model._default_manager.exists() for table in TABLES):
            raise Conflict(
                "already-initialised",
                "This HGS has a state already; nothing was changed.",
                "Import into an empty database. To replace what is there: --replace",
            )
        return
    _check_nobody_serves()
    for table in reversed(TABLES):
        if table.model is KeyRelease:
            KeyRelease.objects.update(log_index=None)
        elif table.model is not RevokedProtector:
            table.model._default_manager.all().delete()


def _check_nobody_serves() -> None:
    """A node that is answering right now would go on with the log that ends, under the name and key it knows."""
    lately = ClockReading.objects.filter(kind=ClockKind.NODE, at__gt=database_time() - STILL_SERVES)
    if names := ", ".join(sorted(lately.values_list("name", flat=True))):
        raise Conflict(
            "still-serving",
            f"HGS served on {names} less than {STILL_SERVES.seconds} seconds ago; nothing was changed.",
            "Stop HGS on every node, and wait that long.",
        )


def _taken(records: Iterable[Record], origin: str, choices: Choices) -> Iterator[Fields]:
    """The records that become rows here; a log that is not continued leaves its releases as mere history."""
    for record in records:
        kind, fields = record.kind, record.fields
        if choices.continue_log:
            yield fields
        elif kind is kinds.CONFIGURATION:
            yield fields | {"log_origin": origin}
        elif kind is kinds.RELEASE:
            yield fields | {"log_index": None}
        elif kind not in kinds.LOG and fields.get("purpose") != KeyPurpose.KEY_LOG:
            yield fields


def _write(table: Table, records: Iterator[Fields]) -> None:
    manager = table.model._default_manager
    while batch := list(islice(records, _BATCH)):
        if table.kind is kinds.RELEASE:  # the account that is here may have them too
            KeyRelease.objects.filter(pk__in=[fields["id"] for fields in batch]).delete()
        manager.bulk_create(
            [table.row_of(fields) for fields in batch], ignore_conflicts=table.kind is kinds.REVOKED_PROTECTOR
        )


def _fresh_keys(*, continue_log: bool) -> None:
    """What is never taken over: the key of exchanges, since which of them were answered is not known here any more."""
    sealed_record(KeyPurpose.EXCHANGE_STATE, Secret(os.urandom(MASTER_KEY_LENGTH)), b"").save(force_insert=True)
    if not continue_log:
        sealed_record(KeyPurpose.KEY_LOG, Secret(os.urandom(LOG_SEED_LENGTH)), b"").save(force_insert=True)


def _audit(actor: Actor, found: Inspected, origin: str, choices: Choices) -> None:
    head = found.summary.head
    log = (
        "goes on with the key log in it."
        if choices.continue_log
        else "begins a new key log, since entries that were made after the file are not in it."
    )
    audit.record(
        actor,
        "state:imported",
        target_type="hgs",
        target_id=ServiceConfiguration.SINGLETON,
        summary=f"The state of {head.name} of {head.made_at:%Y-%m-%d %H:%M} UTC was imported. HGS {log}",
        data={
            "made_at": head.made_at.isoformat(),
            "made_by": head.product,
            "sha256": found.summary.sha256,
            "counts": found.summary.counts,
            "keys": sorted(key.fingerprint for key in found.keys if key.fingerprint),
            "replaced": choices.replace,
            "log_continued": choices.continue_log,
            "log_origin": origin,
            "log_before": {
                "origin": found.log_origin,
                "size": found.log_size,
                "checkpoint": found.log_checkpoint,
            },
        },
    )


def _check_content(record: Record) -> None:
    """What attestation must be able to read later is readable now. Raises StateFileError."""
    check = _CONTENT.get(record.kind.name)
    if check is None:
        return
    try:
        check(record.fields)
    except AttestationError as error:
        raise unsound(f"the {record.kind.name} {record.fields['name']} cannot be used. {error.message}") from None


def _check_tpm_host(fields: Fields) -> None:
    endorsement = endorsement_from_spki(fields["ek_public"])
    certificate: bytes = fields["ek_certificate"]
    if certificate and endorsement_from_certificate(certificate).spki != endorsement.spki:
        raise unsound(f"the endorsement key of {fields['name']} is not the one in its certificate.")


def _check_ci_policy(fields: Fields) -> None:
    if parse_ci_policy(fields["content"]).digest != fields["digest"]:
        raise unsound(f"the CI policy {fields['name']} is not the one that hosts measure.")


_CONTENT: Final[dict[str, Callable[[Fields], Any]]] = {
    kinds.TPM_ROOT.name: lambda fields: parse_ek_certificate(fields["certificate"]),
    kinds.TPM_HOST.name: _check_tpm_host,
    kinds.HOST_KEY.name: lambda fields: read_host_key(fields["public_key"]),
    kinds.HOST_GROUP.name: lambda fields: Sid.parse(fields["sid"]),
    kinds.DOMAIN_HOST.name: lambda fields: Sid.parse(fields["sid"]),
    kinds.BASELINE.name: lambda fields: measured_baseline(fields["content"]),
    kinds.CI_POLICY.name: _check_ci_policy,
}
