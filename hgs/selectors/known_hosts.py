"""One host of whatever mode, found by the identity that its health certificates name, for people to look at."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hgs.attestation.ekcert import parse_ek_certificate
from hgs.attestation.errors import AttestationError
from hgs.models import Attestation, DomainHost, HostKey, OperationMode, TpmHost
from hgs.policy import Action, may
from portal.kernel.actor import Actor
from portal.kernel.errors import NotFound
from portal.kernel.policy import require


@dataclass(frozen=True)
class KnownHost:
    """A host as HGS knows it; ``facts`` are (label, value) for people.

    ``id`` is that of its record, None for one that HGS knows no more.
    """

    identity: str
    name: str
    mode: OperationMode
    id: UUID | None
    facts: tuple[tuple[str, str], ...]
    approved_at: datetime | None = None
    approved_by: str = ""


def host_by_identity(actor: Actor, identity: str) -> KnownHost:
    """The host with this identity (64 hex digits). Raises NotFound where nothing is known or kept of it."""
    require(may(actor, Action.READ))
    found = _tpm_host(identity) or _host_key(identity) or _domain_host(identity) or _former(identity)
    if found is None:
        raise NotFound("no-such-host", "There is no such host, and no attestation of it is kept.")
    return found


def _tpm_host(identity: str) -> KnownHost | None:
    host = TpmHost.objects.filter(ek_hash=identity).first()
    if host is None:
        return None
    facts = [("Policy version", host.get_policy_version_display()), ("Endorsement key (SHA-256)", host.ek_hash)]
    facts += _certificate_facts(bytes(host.ek_certificate))
    return KnownHost(identity, host.name, OperationMode.TPM, host.id, tuple(facts), host.approved_at, host.approved_by)


def _certificate_facts(der: bytes) -> list[tuple[str, str]]:
    if not der:
        return [("TPM certificate", "none: the host was admitted by its key alone")]
    try:
        certificate = parse_ek_certificate(der)
    except AttestationError as error:
        return [("TPM certificate", error.message)]
    dates = f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}"
    return [
        ("TPM", certificate.manufacturer or "not stated"),
        ("TPM certificate issuer", certificate.issuer_name),
        ("TPM certificate valid", dates),
    ]


def _host_key(identity: str) -> KnownHost | None:
    key = HostKey.objects.filter(fingerprint=identity).first()
    if key is None:
        return None
    facts = (("Host key (SHA-256)", key.fingerprint),)
    return KnownHost(identity, key.name, OperationMode.HOST_KEY, key.id, facts, key.approved_at, key.approved_by)


def _domain_host(identity: str) -> KnownHost | None:
    host = DomainHost.objects.select_related("group").filter(identity=identity).first()
    if host is None:
        return None
    facts = (("Security identifier", host.sid), ("Host group", host.group.name))
    return KnownHost(identity, host.name, OperationMode.ACTIVE_DIRECTORY, host.id, facts)


def _former(identity: str) -> KnownHost | None:
    """What attestations remember of a host that was removed, or was never known."""
    last = Attestation.objects.filter(identity=identity, proven=True).first()
    if last is None:
        return None
    facts = (("Identity (SHA-256)", identity), ("Known to HGS", "no longer"))
    return KnownHost(identity, last.host_name or "unknown host", OperationMode(last.mode), None, facts)
