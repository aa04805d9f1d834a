"""Key protectors: made by an owner, verified by everybody, opened by guardians, rolled by HGS ([MS-KPS] 3.1.5.1.1.3).

The steps and their types: bytes → `parse_protector` → Protector (untrusted) → `verify_protector` → VerifiedProtector
(every signature but the transport key's, which needs that key) → `unwrap` → TransportKey (that signature too).

What a verified protector says: the owner named in it authorised each guardian's signing key, each guardian chose its
encryption key, and the guardian named last put these wrappings together. It does not say who the owner *is*: compare
`owner_fingerprint` with the owner you expect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.keyprotection import algorithms, certificates
from hgs.keyprotection.algorithms import RandomBytes
from hgs.keyprotection.certificates import CertificateUse
from hgs.keyprotection.elements import EncryptedData, Signature
from hgs.keyprotection.errors import (
    GuardianError,
    InvalidProtectorError,
    InvalidWrappingError,
    NoWrappingError,
    refusing,
)
from hgs.keyprotection.guardian import Guardian, GuardianKeys
from hgs.keyprotection.protector_form import (
    WRAPPINGS_MAX,
    Protector,
    Wrapping,
    serialise_protector,
    wrappings_octets,
)
from hgs.keyprotection.protector_reading import import_protector, parse_protector
from hgs.keyprotection.transport_key import TransportKey, purpose_info

__all__ = [
    "Protector",
    "TransportKey",
    "VerifiedProtector",
    "Wrapping",
    "check_transport_key",
    "import_protector",
    "new_protector",
    "open_wrapping",
    "parse_protector",
    "protector_id",
    "roll",
    "seal",
    "serialise_protector",
    "unwrap",
    "verify_protector",
    "wrapping_by_owner",
    "wrapping_for",
]

OWNER_ID = 0
_REMEMBERED: Final = 1024
"""Signatures over certificates: with certificates of the usual size three megabytes, of the largest seventeen."""


@dataclass(frozen=True, slots=True)
class VerifiedProtector:
    """A protector whose guardian signature, certificates and chains hold. Only `verify_protector` makes one."""

    protector: Protector
    owner: Wrapping
    signer: Wrapping
    octets: bytes = field(repr=False)
    """What its signatures are made over."""

    @property
    def id(self) -> str:
        """What names this protector, as `protector_id`."""
        return hashlib.sha256(self.octets).hexdigest()

    @property
    def owner_fingerprint(self) -> str:
        """SHA-256 of the owner's signing certificate, 64 hexadecimal digits."""
        return certificates.fingerprint(self.owner.signing_certificate)

    @property
    def guardians(self) -> tuple[Wrapping, ...]:
        """All wrappings but the owner's."""
        return tuple(wrapping for wrapping in self.protector.wrappings if not wrapping.is_owner)


def protector_id(protector: Protector) -> str:
    """SHA-256 of the wrappings, 64 lower-case hexadecimal digits.

    Not of the whole document: the signatures cover the wrappings, so anybody could make documents without number that
    open alike and differ in what nobody signed.
    """
    return hashlib.sha256(wrappings_octets(protector.wrappings)).hexdigest()


def verify_protector(protector: Protector) -> VerifiedProtector:
    """Check everything that can be checked without the transport key, in the order of [MS-KPS] 3.1.5.1.1.3.

    Raises InvalidProtectorError (guardian signature, algorithms) and InvalidWrappingError (certificates, chain).
    """
    by_id = {wrapping.id: wrapping for wrapping in protector.wrappings}
    if len(by_id) != len(protector.wrappings):
        raise InvalidWrappingError("duplicate-wrapping-id", "Two wrappings of the key protector have the same id.")
    signer = by_id.get(protector.guardian_wrapping_id)
    if signer is None:
        raise InvalidProtectorError("unknown-signer", "The guardian signature names a wrapping that does not exist.")
    octets = wrappings_octets(protector.wrappings)
    with refusing(InvalidProtectorError):
        signer_key = _key_of(signer.signing_certificate, "signing", signer)
        if not algorithms.is_signed(signer_key, protector.guardian_signature, octets):
            raise InvalidProtectorError("guardian-signature", "The key protector's guardian signature is wrong.")
        algorithms.check_key_derivation(protector.key_derivation, purpose_info("transport-key-signature"))
        algorithms.check_authentication_algorithm(protector.transport_key_signature)
    owner = _owner_of(protector.wrappings)
    _check_parties(protector.wrappings)
    for wrapping in protector.wrappings:
        _check_chain(wrapping, by_id)
        _check_certificates(wrapping, by_id[wrapping.parent_id])
    return VerifiedProtector(protector, owner, signer, octets)


def _owner_of(wrappings: tuple[Wrapping, ...]) -> Wrapping:
    owners = [wrapping for wrapping in wrappings if wrapping.is_owner]
    if not owners:
        raise InvalidWrappingError("no-owner", "The key protector has no owner: no wrapping is its own parent.")
    if len(owners) > 1:
        raise InvalidWrappingError(
            "several-owners", f"{len(owners)} wrappings of the key protector are their own parents; one must be."
        )
    return owners[0]


def _check_parties(wrappings: tuple[Wrapping, ...]) -> None:
    parties = {(wrapping.signing_certificate, wrapping.encryption_certificate) for wrapping in wrappings}
    if len(parties) != len(wrappings):
        raise InvalidWrappingError("guardian-twice", "Two wrappings of the key protector are for the same guardian.")


def _check_chain(wrapping: Wrapping, by_id: dict[int, Wrapping]) -> None:
    seen: set[int] = set()
    while not wrapping.is_owner:
        if wrapping.id in seen:
            raise InvalidWrappingError("wrapping-cycle", "The wrappings' parents form a circle without the owner.")
        seen.add(wrapping.id)
        parent = by_id.get(wrapping.parent_id)
        if parent is None:
            raise InvalidWrappingError("unknown-parent", f"The parent of wrapping {wrapping.id} does not exist.")
        wrapping = parent


def _check_certificates(wrapping: Wrapping, parent: Wrapping) -> None:
    with refusing(InvalidWrappingError):
        _key_of(wrapping.signing_certificate, "signing", wrapping)
        _key_of(wrapping.encryption_certificate, "encryption", wrapping)
        _key_of(parent.signing_certificate, "signing", parent)
        _check_signature(
            parent.signing_certificate,
            wrapping.signing_certificate_signature,
            wrapping.signing_certificate,
            "signing-certificate-signature",
            f"The signing certificate of wrapping {wrapping.id} is not signed by its parent.",
        )
        _check_signature(
            wrapping.signing_certificate,
            wrapping.encryption_certificate_signature,
            wrapping.encryption_certificate,
            "encryption-certificate-signature",
            f"The encryption certificate of wrapping {wrapping.id} is not signed by its signing certificate.",
        )
        algorithms.check_transport_key_algorithm(wrapping.transport_key)


def _check_signature(signer: bytes, signature: Signature, certificate: bytes, code: str, sentence: str) -> None:
    if not _is_certified(signer, signature, certificate):
        raise InvalidWrappingError(code, sentence)


@lru_cache(maxsize=_REMEMBERED)
def _is_certified(signer: bytes, signature: Signature, certificate: bytes) -> bool:
    """Whether the key of the certificate ``signer`` signed the other one.

    Remembered, because every machine made from one shielding data file brings the same, at each start.
    """
    return algorithms.is_signed(certificates.rsa_key_of(signer, "signing"), signature, certificate)


def _key_of(certificate: bytes, use: CertificateUse, wrapping: Wrapping) -> rsa.RSAPublicKey:
    try:
        return certificates.rsa_key_of(certificate, use)
    except GuardianError as error:
        raise InvalidWrappingError(error.code, f"Wrapping {wrapping.id}: {error.message}") from None


def wrapping_for(verified: VerifiedProtector, keys: GuardianKeys) -> Wrapping | None:
    """The wrapping made for these keys, None if there is none.

    Certificates are compared by key, so a certificate renewed with its key still matches. A wrapping that matches
    both the signing and the encryption key goes before one that matches the encryption key alone.
    """
    encryption = certificates.public_octets(keys.encryption_key.public_key())
    signing = certificates.public_octets(keys.signing_key.public_key())
    found = [
        wrapping
        for wrapping in verified.protector.wrappings
        if certificates.key_octets_of(wrapping.encryption_certificate, "encryption") == encryption
    ]
    found.sort(key=lambda wrapping: certificates.key_octets_of(wrapping.signing_certificate, "signing") != signing)
    return found[0] if found else None


def unwrap(verified: VerifiedProtector, keys: GuardianKeys) -> TransportKey:
    """Open the wrapping made for `keys` and check the transport key signature with what was in it.

    Raises NoWrappingError when no wrapping is for these keys, InvalidProtectorError when the key is wrong.
    """
    wrapping = wrapping_for(verified, keys)
    if wrapping is None:
        raise NoWrappingError(
            "not-a-guardian",
            "The key protector was not made for this guardian.",
            "The owner must make the shielding data again with this guardian's metadata.",
        )
    return open_wrapping(verified, wrapping, keys)


def open_wrapping(verified: VerifiedProtector, wrapping: Wrapping, keys: GuardianKeys) -> TransportKey:
    """Open one wrapping of the protector with `keys` and check the transport key signature. Raises as `unwrap`."""
    with refusing(InvalidProtectorError):
        secret = algorithms.unwrap_transport_key(keys.encryption_key, wrapping.transport_key)
    if secret is None:
        raise InvalidProtectorError("transport-key", "The wrapping made for this guardian cannot be decrypted.")
    transport_key = TransportKey(secret)
    check_transport_key(verified, transport_key)
    return transport_key


def check_transport_key(verified: VerifiedProtector, transport_key: TransportKey) -> None:
    """Check the transport key signature. Raises InvalidProtectorError."""
    protector = verified.protector
    with refusing(InvalidProtectorError):
        algorithms.check_key_derivation(protector.key_derivation, purpose_info("transport-key-signature"))
        key = transport_key.derive("transport-key-signature")
        if not algorithms.is_authentic(key, protector.transport_key_signature, verified.octets):
            raise InvalidProtectorError("transport-key-signature", "The transport key signature is wrong.")


def new_protector(
    owner: GuardianKeys, guardians: Sequence[Guardian], random_bytes: RandomBytes
) -> tuple[Protector, TransportKey]:
    """A fresh protector: the owner's wrapping (id 0), one for each guardian, signed by the owner.

    Raises GuardianError for a guardian named twice or too many guardians.
    """
    everyone = [owner.guardian, *guardians]
    if len(everyone) > WRAPPINGS_MAX:
        raise GuardianError("too-many-guardians", f"A key protector has at most {WRAPPINGS_MAX - 1} guardians.")
    if len({guardian.signing_certificate for guardian in everyone}) != len(everyone):
        raise GuardianError("guardian-twice", "A guardian is named twice, or the owner is also named as a guardian.")
    transport_key = TransportKey.generate(random_bytes)
    wrappings = tuple(
        wrapping_by_owner(OWNER_ID + index, guardian, owner, OWNER_ID, transport_key)
        for index, guardian in enumerate(everyone)
    )
    return seal(wrappings, transport_key, owner.signing_key, OWNER_ID), transport_key


def wrapping_by_owner(
    identifier: int, guardian: Guardian, owner: GuardianKeys, owner_id: int, transport_key: TransportKey
) -> Wrapping:
    """A wrapping of the transport key for a guardian whom the owner, whose wrapping is `owner_id`, authorises."""
    return Wrapping(
        identifier,
        guardian.signing_certificate,
        owner_id,
        algorithms.sign(owner.signing_key, guardian.signing_certificate),
        guardian.encryption_certificate,
        guardian.encryption_certificate_signature,
        _wrap(guardian.encryption_certificate, transport_key),
    )


def roll(
    verified: VerifiedProtector, signer: GuardianKeys, random_bytes: RandomBytes
) -> tuple[Protector, TransportKey]:
    """A new protector with the same wrappings for a new transport key, signed by `signer`, one of its guardians.

    Every wrapping is kept and re-encrypted, so the owner and every other guardian keep access. No offline unwraps are
    granted: the count in the ingress protector is not signed by anybody. Raises InvalidProtectorError.
    """
    wrapping = wrapping_for(verified, signer)
    signing = certificates.public_octets(signer.signing_key.public_key())
    if wrapping is None or certificates.key_octets_of(wrapping.signing_certificate, "signing") != signing:
        raise InvalidProtectorError(
            "no-signing-key", "This guardian has no signing key for its wrapping, so it cannot sign a new protector."
        )
    transport_key = TransportKey.generate(random_bytes)
    wrappings = tuple(
        replace(old, transport_key=_wrap(old.encryption_certificate, transport_key))
        for old in verified.protector.wrappings
    )
    return seal(wrappings, transport_key, signer.signing_key, wrapping.id), transport_key


def _wrap(encryption_certificate: bytes, transport_key: TransportKey) -> EncryptedData:
    key = certificates.rsa_key_of(encryption_certificate, "encryption")
    return algorithms.wrap_transport_key(key, transport_key.value)


def seal(
    wrappings: tuple[Wrapping, ...], transport_key: TransportKey, key: rsa.RSAPrivateKey, signer_id: int
) -> Protector:
    """A protector of these wrappings: signed with the transport key, and by `key`, the one of wrapping `signer_id`."""
    octets = wrappings_octets(wrappings)
    return Protector(
        wrappings,
        algorithms.hkdf_method(purpose_info("transport-key-signature")),
        algorithms.authenticate(transport_key.derive("transport-key-signature"), octets),
        signer_id,
        algorithms.sign(key, octets),
    )
