"""Host keys, host groups, and the domain hosts that were seen: what the modes without a TPM trust."""

from django.db.models import Count, QuerySet

from hgs import artefacts
from hgs.models import DomainHost, HostGroup, HostKey, OperationMode, ServiceConfiguration, SubmissionKind
from hgs.policy import Action, may
from portal.kernel.actor import Actor
from portal.kernel.policy import require


def host_keys(actor: Actor) -> QuerySet[HostKey]:
    """Host keys by name."""
    require(may(actor, Action.READ))
    return HostKey.objects.all()


def host_groups(actor: Actor) -> QuerySet[HostGroup]:
    """Host groups by name, each with ``host_count``: how many hosts attested as its members."""
    require(may(actor, Action.READ))
    return HostGroup.objects.annotate(host_count=Count("hosts"))


def domain_hosts(actor: Actor) -> QuerySet[DomainHost]:
    """The hosts that attested in Active Directory mode, by name, with their groups."""
    require(may(actor, Action.READ))
    return DomainHost.objects.select_related("group")


def change(name: str, artefact: artefacts.HostKeyIdentity | artefacts.HostGroupIdentity) -> str:
    """What it changes to trust a host key or host group under ``name``."""
    if isinstance(artefact, artefacts.HostKeyIdentity):
        what, new = "host key", f"A new host key: whoever holds its private half may attest, as {name}."
        known = HostKey.objects.filter(fingerprint=artefact.digest).values_list("name", flat=True).first()
        taken = HostKey.objects.filter(name__iexact=name).exists()
    else:
        what, new = "host group", f"A new host group: every member of {artefact.sid} may attest."
        known = HostGroup.objects.filter(sid=artefact.sid).values_list("name", flat=True).first()
        taken = HostGroup.objects.filter(name__iexact=name).exists()
    if known is not None:
        return f"Nothing: the same {what} is trusted already, as {known}."
    if taken:
        return f"A {what} named {name} exists with other content. Remove that one first, or use another name."
    return new


def not_yet(kind: SubmissionKind) -> tuple[str, ...]:
    """A warning where HGS is in another mode than the one in which something of ``kind`` counts."""
    needed = OperationMode.HOST_KEY if kind is SubmissionKind.HOST_KEY else OperationMode.ACTIVE_DIRECTORY
    configuration = ServiceConfiguration.objects.first()
    if configuration is None or configuration.mode == needed:
        return ()
    mode = configuration.get_mode_display()
    return (f"HGS is in {mode} mode; this counts once HGS is in {needed.label} mode.",)
