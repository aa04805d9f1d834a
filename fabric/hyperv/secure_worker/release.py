"""The host's side of a key release: the request is written and the answer opened here, nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fabric.hyperv.errors import HostError
from fabric.hyperv.local_guardian import read_local_guardian
from fabric.hyperv.secure_worker.orders import NoAnswer, OtherCertificate, ProvisionOrder, Release, StartOrder
from fabric.hyperv.tpm import identity_decrypt
from hgs.keyprotection import protector as protectors
from hgs.keyprotection.errors import NoWrappingError
from hgs.keyprotection.protector import Protector
from hgs.keyprotection.release import Released, new_request, open_response, parse_reply
from hgs.wire.kps import serialise_request

_REQUESTS_MAX: Final = 4


class HgsAway(HostError):  # noqa: N818 - a state, said as a word
    """No HGS answers. Code `hgs-unreachable`."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "hgs-unreachable", message, "Check that HGS runs and that its address is right, then try again."
        )


def asked(order: ProvisionOrder | StartOrder) -> str:
    """Who opens keys for this host, as people read it."""
    return "the Host Guardian Service" if order.local_guardian is None else "this host's own guardian (local mode)"


def roll(protector: Protector, order: ProvisionOrder | StartOrder, release: Release) -> Released:
    """Ask HGS, through `release`, for the keys of `protector`; the host's TPM opens the answer.

    The main process may have the request written again with another certificate, for another HGS. In local mode the
    host's own guardian opens the protector. Raises `HgsAway`, the errors of `hgs.keyprotection`, `HostError`, or
    whatever `release` raises.
    """
    if order.local_guardian is not None:
        return _roll_here(protector, order.local_guardian)
    certificate = order.health_certificate
    if not certificate:
        raise HgsAway("No Host Guardian Service answers, and this host has no valid health certificate.")
    for _request in range(_REQUESTS_MAX):
        request = new_request(protector, certificate)
        carried = release(serialise_request(request))
        if isinstance(carried, NoAnswer):
            raise HgsAway(carried.message)
        if not isinstance(carried, OtherCertificate):
            return open_response(
                parse_reply(carried), request, lambda ciphertext: identity_decrypt(order.tpm, ciphertext)
            )
        certificate = carried.der
    raise HgsAway("One Host Guardian Service after the other took no request for keys.")


def _roll_here(protector: Protector, path: Path) -> Released:
    guardian = read_local_guardian(path)
    verified = protectors.verify_protector(protector)
    try:
        ingress = protectors.unwrap(verified, guardian)
    except NoWrappingError:
        raise HostError(
            "local-guardian-not-granted",
            "The owner did not grant this VM or shielding data to this host's own guardian.",
            "Local mode needs the owner's consent: gf host local-guardian NAME -o FILE, which the owner grants to.",
        ) from None
    rolled, egress = protectors.roll(verified, guardian, os.urandom)
    return Released(ingress, egress, rolled)
