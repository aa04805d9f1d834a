"""TPM 2.0 structures as immutable values, and the little cryptography around them. No TPM is needed here.

Everything a TPM sends is untrusted until ``verify_signature`` or the exchange has checked it. All integers are
big-endian; whatever parses serialises back to the same bytes. Source: TPM 2.0 Library Specification, parts 1 and 2.
"""

from hgs.attestation.tpm.algorithms import DIGEST_SIZES, HASH_NAMES, Algorithm, hash_algorithm, hash_of
from hgs.attestation.tpm.attest import (
    AttestKind,
    CertifyInfo,
    ClockInfo,
    CreationInfo,
    PcrSelection,
    QuoteInfo,
    TpmsAttest,
    composite_digest,
    parse_selections,
    serialise_selections,
)
from hgs.attestation.tpm.credential import kdf_a, kdf_e, make_credential
from hgs.attestation.tpm.public import (
    Attributes,
    Curve,
    EccParameters,
    EccPoint,
    KeyedHashParameters,
    PublicKey,
    RsaParameters,
    Scheme,
    Symmetric,
    TpmtPublic,
    endorsement_public,
    name_of,
    spki_of,
    to_cryptography_key,
)
from hgs.attestation.tpm.signature import MODERN_HASHES, TpmtSignature, verify_signature

__all__ = [
    "DIGEST_SIZES",
    "HASH_NAMES",
    "MODERN_HASHES",
    "Algorithm",
    "AttestKind",
    "Attributes",
    "CertifyInfo",
    "ClockInfo",
    "CreationInfo",
    "Curve",
    "EccParameters",
    "EccPoint",
    "KeyedHashParameters",
    "PcrSelection",
    "PublicKey",
    "QuoteInfo",
    "RsaParameters",
    "Scheme",
    "Symmetric",
    "TpmsAttest",
    "TpmtPublic",
    "TpmtSignature",
    "composite_digest",
    "endorsement_public",
    "hash_algorithm",
    "hash_of",
    "kdf_a",
    "kdf_e",
    "make_credential",
    "name_of",
    "parse_selections",
    "serialise_selections",
    "spki_of",
    "to_cryptography_key",
    "verify_signature",
]
