"""The evidence checks of the keys that get certified: they live where the quote comes from.

The identity encryption key has to be measured in the boot log *and* certified by the attestation key. The identity
signing key has to be one of the two; where it is both, both must name the same key.
"""

import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation import judgement as j
from hgs.attestation.errors import AttestationError
from hgs.attestation.evidence import HELD_IN_TPM, check_signed
from hgs.attestation.judgement import Judgement
from hgs.attestation.sealed_state import ExchangeState
from hgs.attestation.sipa import MeasuredBoot, VsmKey
from hgs.attestation.tpm import (
    Algorithm,
    Attributes,
    CertifyInfo,
    PublicKey,
    RsaParameters,
    Scheme,
    TpmtPublic,
    to_cryptography_key,
)


@dataclass(frozen=True)
class CertifiedKey:
    """What a host sends of a key: TPMT_PUBLIC, TPMS_ATTEST of its certification, TPMT_SIGNATURE over that."""

    public: bytes
    certify: bytes
    signature: bytes


@dataclass(frozen=True)
class _Use:
    """What a key must be for its use. ``code``: the check; ``words``: the key's name in sentences."""

    code: str
    words: str
    kind: str
    wanted: int
    excluded: int
    schemes: frozenset[Scheme | None]


_ENCRYPTION: Final = _Use(
    j.IDENTITY_KEY,
    "identity key",
    "decryption",
    HELD_IN_TPM | Attributes.DECRYPT,
    int(Attributes.RESTRICTED | Attributes.SIGN),
    frozenset({None, Scheme(Algorithm.OAEP, Algorithm.SHA256)}),
)
_SIGNING: Final = _Use(
    j.SIGNING_KEY,
    "identity signing key",
    "signing",
    HELD_IN_TPM | Attributes.SIGN,
    # A restricted key signs what its TPM made: it would be another attestation key, not one for reports.
    int(Attributes.RESTRICTED | Attributes.DECRYPT),
    frozenset({None, Scheme(Algorithm.RSASSA, Algorithm.SHA256), Scheme(Algorithm.RSAPSS, Algorithm.SHA256)}),
)


def check_identity_key(
    result: Judgement, state: ExchangeState, ak: TpmtPublic, boot: MeasuredBoot, sent: CertifiedKey
) -> PublicKey | None:
    """The identity encryption key lives in the quoted TPM and is the one this boot measured.

    None when the boot measured no identity key: the policy Hgs_VsmIdkPresent says so, and nothing is certified.
    """
    public = _check_certified(result, state, ak, sent, _ENCRYPTION)
    if not boot.identity_keys:
        result.skipped(
            j.IDENTITY_KEY, "The identity key was certified, but this boot measured none to compare it with."
        )
        return None
    evidence = {"name": public.name.hex()}
    if _vsm_key(public) not in boot.identity_keys:
        raise result.refuse(j.IDENTITY_KEY, "The identity key is not the one that this boot measured.", evidence)
    result.passed(j.IDENTITY_KEY, "The identity key lives in this TPM and was measured by this boot.", evidence)
    return to_cryptography_key(public)


def check_signing_key(
    result: Judgement,
    state: ExchangeState,
    ak: TpmtPublic,
    boot: MeasuredBoot,
    sent: CertifiedKey | None,
    *,
    wanted: bool,
) -> PublicKey | None:
    """The identity signing key was measured by this boot, or lives in the quoted TPM; None when there is none.

    ``wanted``: its certificate was asked for, so that there must be one.
    """
    measured = boot.identity_signing_keys
    if len(measured) > 1:
        sentence = f"{len(measured)} different identity signing keys were measured in one boot; only one may be."
        raise result.refuse(j.SIGNING_KEY, sentence, {"identity_signing_keys": str(len(measured))})
    if sent is not None:
        return _check_sent_signing_key(result, measured, _check_certified(result, state, ak, sent, _SIGNING))
    if measured:
        key = _measured_key(result, measured[0])
        result.passed(j.SIGNING_KEY, "The identity signing key was measured by this boot.", {"source": "measured"})
        return key
    if wanted:
        sentence = "An identity signing key was to be certified, but this boot measured none and the host sent none."
        raise result.refuse(j.SIGNING_KEY, sentence)
    result.skipped(j.SIGNING_KEY, "Does not apply: no identity signing key was measured or sent.")
    return None


def _check_sent_signing_key(result: Judgement, measured: tuple[VsmKey, ...], public: TpmtPublic) -> PublicKey:
    evidence = {"name": public.name.hex(), "source": "measured and certified" if measured else "certified"}
    if measured and _vsm_key(public) != measured[0]:
        raise result.refuse(j.SIGNING_KEY, "The identity signing key is not the one that this boot measured.", evidence)
    result.passed(j.SIGNING_KEY, "The identity signing key lives in this TPM.", evidence)
    return to_cryptography_key(public)


def _measured_key(result: Judgement, key: VsmKey) -> PublicKey:
    try:
        return rsa.RSAPublicNumbers(key.exponent, key.modulus).public_key()
    except ValueError as error:
        raise result.refuse(j.SIGNING_KEY, "The measured identity signing key is not a usable RSA key.") from error


def _check_certified(
    result: Judgement, state: ExchangeState, ak: TpmtPublic, sent: CertifiedKey, use: _Use
) -> TpmtPublic:
    """The attestation key certified this key in this session, and it is fit for its use."""
    attest = check_signed(result, use.code, ak, sent.certify, sent.signature)
    try:
        public = TpmtPublic.parse(sent.public)
    except AttestationError as error:
        raise result.refuse_for(use.code, error) from error
    if not isinstance(attest.attested, CertifyInfo) or not hmac.compare_digest(attest.extra_data, state.nonce):
        raise result.refuse(use.code, f"The {use.words}'s certification is not one, or is not over this nonce.")
    if attest.attested.name != public.name:
        sentence = f"The TPM certified another key than the {use.words} that was sent."
        raise result.refuse(use.code, sentence, {"name": public.name.hex()})
    _check_fitness(result, public, use)
    return public


def _check_fitness(result: Judgement, public: TpmtPublic, use: _Use) -> None:
    attributes, parameters = int(public.attributes), public.parameters
    right = (
        attributes & (use.wanted | use.excluded) == use.wanted
        and isinstance(parameters, RsaParameters)
        and parameters.key_bits == 2048
        and parameters.scheme in use.schemes
        and public.name_algorithm is Algorithm.SHA256
    )
    if not right:
        sentence = f"The {use.words} is not an RSA-2048 {use.kind} key that was made in its TPM and cannot leave it."
        raise result.refuse(use.code, sentence, {"attributes": f"0x{attributes:08x}"})
    try:
        to_cryptography_key(public)
    except AttestationError as error:
        raise result.refuse_for(use.code, error) from error


def _vsm_key(public: TpmtPublic) -> VsmKey | None:
    if not isinstance(public.parameters, RsaParameters) or not isinstance(public.unique, bytes):
        return None
    return VsmKey(int.from_bytes(public.unique, "big"), public.parameters.exponent or 65537)
