"""Releasing keys: HGS's side and the host's side of RollTransportKey ([MS-KPS] 3.1.5.1.1.3).

HGS (`release_keys`) is given a request whose health certificate was already verified, opens the ingress protector,
rolls it, and encrypts both transport keys to the host's identity key:

    transfer key  (32 random bytes)  RSA-OAEP-SHA256, no label, to the health certificate's key (a TPM decrypts it)
    wrapping key  (32 random bytes)  AES-256-GCM under the transfer key, additional data W
    payload       (both keys)        AES-256-GCM under the wrapping key, additional data T

    W = "guarded-fabric kps wrapping-key" 00 ‖ SHA-256(request document)
    T = "guarded-fabric kps transport-keys" 00 ‖ SHA-256(request document) ‖ SHA-256(egress protector document)

so an answer opens only for the request it was made for. Anyone can encrypt to a health certificate, so none of this
says who answered. The host's side (`open_response`) therefore believes nothing until the egress protector proves it:
the same owner, no guardian that was not there before, the signature of a guardian of the ingress protector, and the
transport key signatures of both protectors under the keys received. Knowing the ingress key proves the sender is a
guardian (or the owner).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.keyprotection import algorithms, certificates, payload
from hgs.keyprotection.algorithms import AES_256_GCM, KEY_SIZE, RSA_OAEP, RandomBytes
from hgs.keyprotection.elements import EncryptedData
from hgs.keyprotection.errors import (
    HealthCertificateError,
    InvalidProtectorError,
    InvalidRequestError,
    InvalidResponseError,
    InvalidWrappingError,
    NoWrappingError,
    refusing,
)
from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.payload import Payload
from hgs.keyprotection.protector import (
    Protector,
    VerifiedProtector,
    Wrapping,
    check_transport_key,
    parse_protector,
    roll,
    serialise_protector,
    unwrap,
    verify_protector,
    wrapping_for,
)
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey
from hgs.wire.kps import RollTransportKeyRequest, RollTransportKeyResponse, parse_response, serialise_request

_WRAPPING_CONTEXT: Final = b"guarded-fabric kps wrapping-key\0"
_TRANSPORT_CONTEXT: Final = b"guarded-fabric kps transport-keys\0"


@dataclass(frozen=True, slots=True)
class Released:
    """What an attested host gets: the key for what it has, the key for what it writes next, and its protector.

    `offline_unwraps` is how often the host may use the egress key again without HGS, as the encrypted payload says.
    """

    ingress: TransportKey
    egress: TransportKey
    egress_protector: Protector
    offline_unwraps: int = 0


def release_keys(
    request: RollTransportKeyRequest,
    health_public_key: rsa.RSAPublicKey,
    guardians: Sequence[GuardianKeys],
    random_bytes: RandomBytes,
    payload_version: int = 2,
    offline_unwraps: int = 0,
) -> RollTransportKeyResponse:
    """Answer a request whose health certificate was verified; `health_public_key` is that certificate's key.

    `guardians` are the enabled key pairs of this service, the primary first. `offline_unwraps` as in `answer`. Checks
    in the specification's order and raises HealthCertificateError, InvalidRequestError, InvalidProtectorError,
    InvalidWrappingError, NoWrappingError.
    """
    check_request(request, health_public_key)
    verified = verify_protector(parse_protector(request.ingress_protector))
    guardian = guardian_for(verified, guardians)
    response, _ = answer(request, health_public_key, verified, guardian, random_bytes, payload_version, offline_unwraps)
    return response


def check_request(request: RollTransportKeyRequest, health_public_key: rsa.RSAPublicKey) -> None:
    """Check what is not the protector. Raises HealthCertificateError, InvalidRequestError."""
    if not certificates.RSA_KEY_MIN <= health_public_key.key_size <= certificates.RSA_KEY_MAX:
        raise HealthCertificateError("key-size", "The health certificate's key is too short or too long.")
    with refusing(InvalidRequestError):
        algorithms.check_key_encryption(request.transfer_key_algorithm)
        algorithms.check_content_encryption(request.wrapping_key_algorithm)
        algorithms.check_content_encryption(request.transport_keys_algorithm)


def guardian_for(verified: VerifiedProtector, guardians: Sequence[GuardianKeys]) -> GuardianKeys:
    """Those of our keys that the protector was made for. Raises NoWrappingError.

    The first that both opens and signs as a wrapping says; failing that, the first that opens one: what it cannot do is
    then said where it is to sign.
    """
    opens: GuardianKeys | None = None
    for guardian in guardians:
        wrapping = wrapping_for(verified, guardian)
        if wrapping is not None and _signs(guardian, wrapping):
            return guardian
        if wrapping is not None and opens is None:
            opens = guardian
    if opens is not None:
        return opens
    raise NoWrappingError(
        "not-a-guardian",
        "The key protector was not made for this Host Guardian Service.",
        "The owner must make the shielding data again with this service's guardian metadata.",
    )


def _signs(guardian: GuardianKeys, wrapping: Wrapping) -> bool:
    ours, named = guardian.guardian.signing_certificate, wrapping.signing_certificate
    return certificates.key_octets_of(ours, "signing") == certificates.key_octets_of(named, "signing")


def answer(
    request: RollTransportKeyRequest,
    health_public_key: rsa.RSAPublicKey,
    verified: VerifiedProtector,
    guardian: GuardianKeys,
    random_bytes: RandomBytes,
    payload_version: int = 2,
    offline_unwraps: int = 0,
) -> tuple[RollTransportKeyResponse, Protector]:
    """Roll `verified`, the request's protector, with the keys of `guardian` and answer a request that was checked.

    The protector beside the answer is the egress protector in it.
    `offline_unwraps` lets the host open the egress protector that often without HGS; payload version 1 cannot say so
    and lets it never. Raises InvalidProtectorError.
    """
    ingress_key = unwrap(verified, guardian)
    egress, egress_key = roll(verified, guardian, random_bytes)
    granted = offline_unwraps if payload_version == 2 else 0
    egress = replace(egress, max_offline_unwraps=granted)
    blob = payload.serialise_payload(ingress_key, egress_key, payload_version, granted)
    return _encrypt(request, health_public_key, serialise_protector(egress), blob, random_bytes), egress


def _encrypt(
    request: RollTransportKeyRequest, key: rsa.RSAPublicKey, egress: bytes, blob: Secret, random_bytes: RandomBytes
) -> RollTransportKeyResponse:
    transfer_key, wrapping_key = Secret(random_bytes(KEY_SIZE)), Secret(random_bytes(KEY_SIZE))
    digest = _digest(request)
    wrapped = algorithms.encrypt_content(
        transfer_key, wrapping_key.reveal(), _wrapping_context(digest), random_bytes, request.wrapping_key_algorithm
    )
    keys = algorithms.encrypt_content(
        wrapping_key,
        blob.reveal(),
        _transport_context(digest, egress),
        random_bytes,
        request.transport_keys_algorithm,
    )
    transfer = algorithms.encrypt_key(key, transfer_key, b"", request.transfer_key_algorithm)
    return RollTransportKeyResponse(egress, transfer, wrapped.value, keys.value)


def _digest(request: RollTransportKeyRequest) -> bytes:
    return hashlib.sha256(serialise_request(request)).digest()


def _wrapping_context(request_digest: bytes) -> bytes:
    return _WRAPPING_CONTEXT + request_digest


def _transport_context(request_digest: bytes, egress: bytes) -> bytes:
    return _TRANSPORT_CONTEXT + request_digest + hashlib.sha256(egress).digest()


def new_request(protector: Protector, health_certificate: bytes) -> RollTransportKeyRequest:
    """The host's request for a protector's keys. `health_certificate` is DER."""
    return RollTransportKeyRequest(
        serialise_protector(protector), health_certificate, RSA_OAEP, AES_256_GCM, AES_256_GCM
    )


def parse_reply(document: bytes) -> RollTransportKeyResponse:
    """The service's reply as it came over the network, not yet believed. Raises InvalidResponseError."""
    with refusing(InvalidResponseError, "Check that the address is that of a Host Guardian Service."):
        return parse_response(document)


def open_response(
    response: RollTransportKeyResponse,
    request: RollTransportKeyRequest,
    decrypt: Callable[[bytes], bytes],
    payload_version: int = 2,
) -> Released:
    """Open and check the reply to `request`, treating the reply as hostile.

    `decrypt` is RSA-OAEP-SHA256 without label by the key of the health certificate (the TPM's identity key); a
    ValueError from it means that it did not open. The request's own protector must be one the caller trusts, for
    example because a shielding data file signed by the owner holds it. Raises InvalidResponseError,
    InvalidProtectorError or InvalidWrappingError; then nothing of the reply may be used.
    """
    ingress = verify_protector(parse_protector(request.ingress_protector))
    egress = _verified_egress(response.egress_protector)
    _check_same_parties(ingress, egress)
    opened = _decrypt(response, request, decrypt, payload_version)
    _check_key(ingress, opened.ingress, "ingress")
    _check_key(egress, opened.egress, "egress")
    if opened.ingress == opened.egress:
        raise InvalidResponseError("key-not-rolled", "The reply gives the old transport key as the new one.")
    return Released(opened.ingress, opened.egress, egress.protector, opened.offline_unwraps)


def _verified_egress(document: bytes) -> VerifiedProtector:
    try:
        return verify_protector(parse_protector(document))
    except (InvalidProtectorError, InvalidWrappingError) as error:
        raise InvalidResponseError(error.code, f"The egress protector is not valid: {error.message}") from None


def _check_same_parties(ingress: VerifiedProtector, egress: VerifiedProtector) -> None:
    if _party(egress.owner) != _party(ingress.owner):
        raise InvalidResponseError("owner-changed", "The egress protector has another owner.")
    known = {_party(wrapping) for wrapping in ingress.protector.wrappings}
    if any(_party(wrapping) not in known for wrapping in egress.protector.wrappings):
        raise InvalidResponseError("guardian-added", "The egress protector has a guardian that was not there before.")
    if egress.signer.is_owner:
        raise InvalidResponseError("not-by-a-guardian", "The egress protector is not signed by a guardian.")


def _party(wrapping: Wrapping) -> tuple[bytes, bytes]:
    return wrapping.signing_certificate, wrapping.encryption_certificate


def _check_key(verified: VerifiedProtector, key: TransportKey, which: str) -> None:
    try:
        check_transport_key(verified, key)
    except InvalidProtectorError as error:
        raise InvalidResponseError(error.code, f"The {which} key in the reply is not its protector's key.") from None


def _decrypt(
    response: RollTransportKeyResponse,
    request: RollTransportKeyRequest,
    decrypt: Callable[[bytes], bytes],
    payload_version: int,
) -> Payload:
    try:
        transfer = decrypt(response.encrypted_transfer_key)
    except ValueError:
        raise InvalidResponseError("transfer-key", "The transfer key is not for this host's identity key.") from None
    transfer_key, digest = _key(transfer), _digest(request)
    wrapped = EncryptedData(request.wrapping_key_algorithm, response.encrypted_wrapping_key)
    wrapping_key = _key(_opened(transfer_key, wrapped, _wrapping_context(digest)))
    keys = EncryptedData(request.transport_keys_algorithm, response.encrypted_transport_keys)
    blob = _opened(wrapping_key, keys, _transport_context(digest, response.egress_protector))
    return payload.parse_payload(Secret(blob), payload_version)


def _key(value: bytes) -> Secret:
    if len(value) != KEY_SIZE:
        raise InvalidResponseError("key-length", "A key in the reply has a wrong length.")
    return Secret(value)


def _opened(key: Secret, data: EncryptedData, context: bytes) -> bytes:
    plaintext = algorithms.decrypt_content(key, data, context)
    if plaintext is None:
        raise InvalidResponseError("not-for-this-request", "The reply was not made for this request.")
    return plaintext
