"""Whom an identity names: hosts are known in the mode that is in force, and in no other."""

from collections.abc import Callable
from typing import Final

from hgs.models import DomainHost, HostKey, OperationMode, TpmHost


def name_in_force(identity: str, mode: int) -> str:
    """The name of the host that ``identity`` names in ``mode``; empty where that mode knows none.

    ``identity``: the subject of a health certificate, 64 lower-case hex digits. A host of another mode is not known,
    so that a switch of the mode ends what the mode before gave.
    """
    return _BY_MODE[OperationMode(mode)](identity) or ""


def _tpm_host(identity: str) -> str | None:
    return TpmHost.objects.filter(ek_hash=identity).values_list("name", flat=True).first()


def _host_key(identity: str) -> str | None:
    return HostKey.objects.filter(fingerprint=identity).values_list("name", flat=True).first()


def _domain_host(identity: str) -> str | None:
    return DomainHost.objects.filter(identity=identity).values_list("name", flat=True).first()


_BY_MODE: Final[dict[OperationMode, Callable[[str], str | None]]] = {
    OperationMode.TPM: _tpm_host,
    OperationMode.ACTIVE_DIRECTORY: _domain_host,
    OperationMode.HOST_KEY: _host_key,
}
