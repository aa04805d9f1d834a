"""TPMT_SIGNATURE (part 2, 11.3.4) and its verification."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from hgs.attestation.errors import SignatureInvalid, Unsupported
from hgs.attestation.tpm.algorithms import Algorithm, algorithm, hash_algorithm, hash_of
from hgs.attestation.tpm.buffer import Reader, sized
from hgs.attestation.tpm.public import PublicKey, TpmtPublic, to_cryptography_key

MODERN_HASHES: Final = frozenset({Algorithm.SHA256, Algorithm.SHA384, Algorithm.SHA512})
"""What evidence may be signed with; SHA-1 is only for reading old files."""


@dataclass(frozen=True)
class TpmtSignature:
    """TPMT_SIGNATURE: ``values`` is (signature,) for RSASSA and RSAPSS, (r, s) for ECDSA."""

    algorithm: Algorithm
    hash: Algorithm
    values: tuple[bytes, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a TPMT_SIGNATURE; ``parse(b).serialise() == b``. Raises ``Malformed``, ``Unsupported``."""
        reader = Reader(data, "TPM signature")
        kind, hash_ = algorithm(reader.number(2)), hash_algorithm(reader.number(2))
        if kind in (Algorithm.RSASSA, Algorithm.RSAPSS):
            values: tuple[bytes, ...] = (reader.sized(512),)
        elif kind is Algorithm.ECDSA:
            values = (reader.sized(66), reader.sized(66))
        else:
            raise Unsupported(f"TPM signatures of type {kind.name} are not supported.")
        reader.finish()
        return cls(kind, hash_, values)

    def serialise(self) -> bytes:
        """The bytes of the TPMT_SIGNATURE."""
        head = self.algorithm.to_bytes(2, "big") + self.hash.to_bytes(2, "big")
        return head + b"".join(sized(value) for value in self.values)


def verify_signature(
    public: TpmtPublic | PublicKey,
    message: bytes,
    signature: TpmtSignature,
    *,
    hashes: Collection[Algorithm] = MODERN_HASHES,
) -> None:
    """Check a TPM's signature over ``message``. A public area's own scheme, when it has one, must be the one used.

    Raises :class:`SignatureInvalid`; ``Unsupported`` for a hash outside ``hashes``.
    """
    if signature.hash not in hashes:
        raise Unsupported(f"Signatures over {signature.hash.name} are not accepted.")
    if isinstance(public, TpmtPublic):
        scheme = public.scheme
        if scheme is not None and (scheme.algorithm, scheme.hash) != (signature.algorithm, signature.hash):
            raise SignatureInvalid("The signature is not of the scheme that its key is bound to.")
        public = to_cryptography_key(public)
    try:
        _verify(public, message, signature)
    except InvalidSignature as error:
        raise SignatureInvalid("The signature does not verify under the key.") from error


def _verify(key: PublicKey, message: bytes, signature: TpmtSignature) -> None:
    hash_ = hash_of(signature.hash)
    if isinstance(key, ec.EllipticCurvePublicKey) and signature.algorithm is Algorithm.ECDSA:
        r, s = (int.from_bytes(value, "big") for value in signature.values)
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hash_))
    elif isinstance(key, rsa.RSAPublicKey) and signature.algorithm is Algorithm.RSASSA:
        key.verify(signature.values[0], message, padding.PKCS1v15(), hash_)
    elif isinstance(key, rsa.RSAPublicKey) and signature.algorithm is Algorithm.RSAPSS:
        # TPMs differ in the salt's length (as long as the digest, or as long as fits); both are sound.
        key.verify(signature.values[0], message, padding.PSS(padding.MGF1(hash_), padding.PSS.AUTO), hash_)
    else:
        raise SignatureInvalid("The signature is of another kind than its key.")
