"""Keys that memory dumps of hosts may be encrypted to."""

import re
from typing import Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from hgs.attestation.baseline import boot_from_reference_log
from hgs.attestation.errors import AttestationError
from hgs.commands.names import check_name
from hgs.models import DumpKey, PolicyVersion
from hgs.policy import Action, may
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def add_dump_key(actor: Actor, name: str, digest: str, version: PolicyVersion = PolicyVersion.V2) -> DumpKey:
    """Trust a dump key by the SHA-256 of its public key, 64 hex digits in any letter case.

    Raises Invalid for a name or hash that is none, Conflict where name or key is known already.
    """
    require(may(actor, Action.CHANGE_TRUST))
    check_name(name)
    digest = digest.lower()
    if not _DIGEST.fullmatch(digest):
        raise Invalid(
            "dump-key-hash", "The hash of a dump key is a SHA-256: 64 hex digits.", fields={"hash": "no hash"}
        )
    known = DumpKey.objects.filter(digest=digest, policy_version=version).first()
    if known is not None:
        raise Conflict("dump-key-known", f"The same dump key is trusted already, as {known.name}.")
    try:
        with transaction.atomic():
            key = DumpKey.objects.create(
                name=name,
                digest=digest,
                policy_version=version,
                content=b"",
                approved_at=timezone.now(),
                approved_by=actor.name,
            )
            audit.record(
                actor,
                "dump-key:added",
                target_type="dump-key",
                target_id=key.id,
                summary=f"Dump key {name} trusted for {version.label}.",
                data={"digest": digest, "policy_version": version.label},
            )
    except IntegrityError:
        raise Conflict("dump-key-name-taken", f"A dump key named {name} exists already.", "Use another name.") from None
    return key


def measured_digest(log: bytes) -> str:
    """The hash of the one dump key that a boot log names. Raises Invalid for a log that names none, or several."""
    try:
        found = boot_from_reference_log(log).dump_keys
    except AttestationError as error:
        raise Invalid("dump-key-log", f"The boot log cannot be used. {error.message}") from error
    if len(found) != 1:
        raise Invalid(
            "dump-key-log",
            f"The boot log names {len(found) or 'no'} dump keys; one is needed.",
            "Give the hash instead: --hash HEX",
        )
    return found[0]
