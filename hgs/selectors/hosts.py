"""Whom an identity names: hosts are known in the mode that is in force, and in no other."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hgs.models import DomainHost, HostKey, OperationMode, ServiceConfiguration, TpmHost
from portal.kernel.prepared import PARAMETER, Prepared


@dataclass(frozen=True)
class HostInForce:
    """A host that HGS knows. ``since``: what it was given earlier than that was given for another trust."""

    name: str
    since: datetime


def host_in_force(identity: str, configuration: ServiceConfiguration) -> HostInForce | None:
    """The host that ``identity`` names in the mode in force; None where that mode knows none.

    ``identity``: the subject of a health certificate, 64 lower-case hex digits. It counts since the later of two
    moments: when the host became known, and when HGS went over to this mode. Trust that was taken away and given again
    so begins anew.
    """
    found = _BY_MODE[OperationMode(configuration.mode)].first(identity)
    if found is None:
        return None
    name, known_since = found
    return HostInForce(name, max(known_since, configuration.mode_changed_at or known_since))


def name_in_force(identity: str, mode: int) -> str:
    """The name of the host that ``identity`` names in ``mode``; empty where that mode knows none."""
    found = _BY_MODE[OperationMode(mode)].first(identity)
    return found[0] if found else ""


def known_in_another_mode(identity: str, mode: int) -> tuple[OperationMode, str] | None:
    """The mode other than ``mode`` that knows ``identity``, and the name of the host there; None where none does."""
    for other in OperationMode:
        if other != mode and (name := name_in_force(identity, other)):
            return other, name
    return None


_BY_MODE: Final[dict[OperationMode, Prepared]] = {
    OperationMode.TPM: Prepared(lambda: TpmHost.objects.filter(ek_hash=PARAMETER).values_list("name", "approved_at")),
    OperationMode.ACTIVE_DIRECTORY: Prepared(
        lambda: DomainHost.objects.filter(identity=PARAMETER).values_list("name", "known_since")
    ),
    OperationMode.HOST_KEY: Prepared(
        lambda: HostKey.objects.filter(fingerprint=PARAMETER).values_list("name", "approved_at")
    ),
}
