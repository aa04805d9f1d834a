"""Host keys: the public keys by which hosts are known in host key mode."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from hgs import artefacts
from hgs.commands.names import check_name
from hgs.models import HostKey, Submission
from hgs.policy import Action, may
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict
from portal.kernel.policy import require


def add_host_key(actor: Actor, name: str, content: bytes) -> tuple[HostKey, bool]:
    """Let the holders of a host key attest; returns the key and whether it is new.

    ``content``: a certificate or public key, DER or PEM. Raises Invalid for anything else, Conflict for a name that
    is taken.
    """
    require(may(actor, Action.CHANGE_TRUST))
    check_name(name, of_host=True)
    key = artefacts.read_host_key(content)
    with transaction.atomic():
        record, created = register(actor, name, key)
        if created:
            audit.record(
                actor,
                "host-key:added",
                target_type="host-key",
                target_id=record.id,
                summary=f"Host key of {record.name} trusted.",
                data={"fingerprint": record.fingerprint},
            )
    return record, created


def apply_submission(actor: Actor, submission: Submission) -> dict[str, str]:
    """Trust a submitted host key; part of its approval. Raises Conflict."""
    key = artefacts.read_host_key(bytes(submission.content))
    register(actor, submission.name, key)
    return {"fingerprint": key.digest}


def register(actor: Actor, name: str, key: artefacts.HostKeyIdentity) -> tuple[HostKey, bool]:
    """The row of a host key, made if it is new. Raises Conflict where name or key say something else already."""
    known = HostKey.objects.filter(fingerprint=key.digest).first()
    if known is not None and known.name.lower() != name.lower():
        raise Conflict(
            "host-key-known",
            f"The host key is known already, as {known.name}.",
            "Hosts that share a key are one to HGS; they need no second entry.",
        )
    if known is not None:
        return known, False
    taken = Conflict(
        "host-key-name-taken",
        f"A host key named {name} exists already, with another key.",
        "Remove that key first if the host has a new one.",
    )
    if HostKey.objects.filter(name__iexact=name).exists():
        raise taken
    try:
        with transaction.atomic():
            record = HostKey.objects.create(
                name=name,
                public_key=key.public_key,
                fingerprint=key.digest,
                approved_at=timezone.now(),
                approved_by=actor.name,
            )
    except IntegrityError:
        raise taken from None
    return record, True


def remove_host_key(actor: Actor, key: HostKey) -> None:
    """Forget a host key. Whoever holds it attests no more, and certificates given for it open no more keys."""
    require(may(actor, Action.CHANGE_TRUST))
    with transaction.atomic():
        audit.record(
            actor,
            "host-key:removed",
            target_type="host-key",
            target_id=key.id,
            summary=f"Host key of {key.name} removed.",
            data={"fingerprint": key.fingerprint},
        )
        key.delete()
