"""The host's side of a key release: the request is written and the answer opened here, nowhere else."""

from __future__ import annotations

from fabric.hyperv.secure_worker.orders import Release
from fabric.hyperv.tpm import HostTpmAccess, identity_decrypt
from hgs.keyprotection.protector import Protector
from hgs.keyprotection.release import Released, new_request, open_response, parse_reply
from hgs.wire.kps import serialise_request


def roll(protector: Protector, health_certificate: bytes, tpm: HostTpmAccess, release: Release) -> Released:
    """Ask HGS, through `release`, for the keys of `protector`; the host's TPM opens the answer.

    Raises the errors of `hgs.keyprotection`, `HostError`, or whatever `release` raises.
    """
    request = new_request(protector, health_certificate)
    response = parse_reply(release(serialise_request(request)))
    return open_response(response, request, lambda ciphertext: identity_decrypt(tpm, ciphertext))
