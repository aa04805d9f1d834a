"""Host groups: the domain groups whose members may attest in Active Directory mode."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from hgs import artefacts
from hgs.commands.names import check_name
from hgs.models import HostGroup, Submission
from hgs.policy import Action, may
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict
from portal.kernel.policy import require


def add_host_group(actor: Actor, name: str, sid: str) -> tuple[HostGroup, bool]:
    """Let the members of a domain group attest; returns the group and whether it is new.

    Raises Invalid for what is no identifier of a group of guarded hosts, Conflict for a name that is taken.
    """
    require(may(actor, Action.CHANGE_TRUST))
    check_name(name)
    group = artefacts.read_host_group(sid.encode())
    with transaction.atomic():
        record, created = register(actor, name, group)
        if created:
            audit.record(
                actor,
                "host-group:added",
                target_type="host-group",
                target_id=record.id,
                summary=f"Host group {record.name} trusted.",
                data={"sid": record.sid},
            )
    return record, created


def apply_submission(actor: Actor, submission: Submission) -> dict[str, str]:
    """Trust a submitted group; part of its approval. Raises Conflict."""
    group = artefacts.read_host_group(bytes(submission.content))
    register(actor, submission.name, group)
    return {"sid": group.sid}


def register(actor: Actor, name: str, group: artefacts.HostGroupIdentity) -> tuple[HostGroup, bool]:
    """The row of a group, made if it is new. Raises Conflict where name or identifier say something else already."""
    known = HostGroup.objects.filter(sid=group.sid).first()
    if known is not None and known.name.lower() != name.lower():
        raise Conflict("host-group-known", f"The group {group.sid} is known already, as {known.name}.")
    if known is not None:
        return known, False
    taken = Conflict(
        "host-group-name-taken",
        f"A host group named {name} exists already, with another identifier.",
        "Use a name of its own, or remove the other group first.",
    )
    if HostGroup.objects.filter(name__iexact=name).exists():
        raise taken
    try:
        with transaction.atomic():
            record = HostGroup.objects.create(
                name=name, sid=group.sid, approved_at=timezone.now(), approved_by=actor.name
            )
    except IntegrityError:
        raise taken from None
    return record, True


def remove_host_group(actor: Actor, group: HostGroup) -> None:
    """Forget a group and the hosts that attested as its members: their certificates open no more keys from now on."""
    require(may(actor, Action.CHANGE_TRUST))
    with transaction.atomic():
        hosts = list(group.hosts.values_list("name", flat=True))
        audit.record(
            actor,
            "host-group:removed",
            target_type="host-group",
            target_id=group.id,
            summary=f"Host group {group.name} removed, with {len(hosts)} hosts that attested as its members.",
            data={"sid": group.sid, "hosts": hosts[:100]},
        )
        group.delete()
