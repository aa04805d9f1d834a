"""The escrow of a VM's recovery key: its host sends it once, its owner can fetch it as long as the VM is there."""

import base64
import binascii
import hmac
import logging
from typing import Any

from fabric.shielding.errors import ShieldingError
from fabric.shielding.recovery import ESCROW_MAX, parse_escrow
from tenants.models import VirtualMachine

log = logging.getLogger(__name__)


def keep_recovery_key(vm: VirtualMachine, result: dict[str, Any]) -> None:
    """Keep the escrow that the end of making ``vm`` brought, if there is one and it says that it is this VM's.

    What is not is dropped: the VM runs without, and only its owner could tell a right one from a wrong one anyway.
    """
    text = (result.get("facts") or {}).get("recovery_key")
    if not text:
        return
    try:
        document = _document(text)
        escrow = parse_escrow(document)
    except (ValueError, binascii.Error, ShieldingError):
        log.warning("a host sent no escrow of a recovery key that can be read", extra={"vm": str(vm.pk)})
        return
    if escrow.vm_id != vm.pk or not hmac.compare_digest(escrow.owner_fingerprint, vm.owner_fingerprint):
        log.warning("a host sent the escrow of another VM's recovery key", extra={"vm": str(vm.pk)})
        return
    VirtualMachine.objects.filter(pk=vm.pk).update(recovery_key=document)


def _document(text: object) -> bytes:
    if not isinstance(text, str) or len(text) > 2 * ESCROW_MAX:
        raise ValueError
    return base64.b64decode(text, validate=True)
