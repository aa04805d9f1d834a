"""Attestation keys and signatures in files, in the encodings that tools write."""

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from hgs.attestation.ekcert import load_trusted_certificate
from hgs.attestation.errors import AttestationError, Malformed, TooLarge, Unsupported
from hgs.attestation.tpm import Algorithm, PublicKey, TpmtPublic, TpmtSignature

MAX_FILE: Final = 16 * 1024
_BY_DIGEST_SIZE: Final = {
    20: Algorithm.SHA1,
    32: Algorithm.SHA256,
    48: Algorithm.SHA384,
    64: Algorithm.SHA512,
}

# TPM_ALG_ID of everything that signs: HMAC, RSASSA, RSAPSS, ECDSA, ECDAA, SM2, ECSCHNORR, EDDSA.
_SIGNING_SCHEMES: Final = frozenset((0x0005, 0x0014, 0x0016, 0x0018, 0x001A, 0x001B, 0x001C, 0x0060))


@dataclass(frozen=True)
class AttestationKey:
    """A key from a file. ``public`` has the TPM's own public area where the file has it, else the bare key."""

    public: TpmtPublic | PublicKey
    encoding: str


def read_attestation_key(data: bytes) -> AttestationKey:
    """PEM or DER (public key, certificate), TPMT_PUBLIC or TPM2B_PUBLIC.

    Raises ``TooLarge``, ``Malformed``, ``Unsupported``.
    """
    if len(data) > MAX_FILE:
        raise TooLarge(f"The key file has {len(data)} bytes; the limit is {MAX_FILE}.")
    if b"-----BEGIN" in data[:4096]:
        return _from_pem(data)
    if data[:1] == b"\x30":
        return _from_der(data)
    if len(data) > 2 and int.from_bytes(data[:2], "big") == len(data) - 2:
        return AttestationKey(TpmtPublic.parse_sized(data), "TPM2B_PUBLIC")
    return AttestationKey(TpmtPublic.parse(data), "TPMT_PUBLIC")


def _from_pem(data: bytes) -> AttestationKey:
    data = data[data.index(b"-----BEGIN") :]
    if data.startswith((b"-----BEGIN CERTIFICATE", b"-----BEGIN TRUSTED CERTIFICATE")):
        return AttestationKey(_certified_key(data), "certificate")
    if b"PRIVATE KEY-----" in data[:64]:
        raise Malformed("The key file holds a private key; the public key of the attestation key is wanted.")
    try:
        return AttestationKey(_supported(load_pem_public_key(data)), "PEM")
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed("The key file is no public key in PEM form.") from error


def _from_der(data: bytes) -> AttestationKey:
    try:
        return AttestationKey(_supported(load_der_public_key(data)), "DER")
    except (ValueError, UnsupportedAlgorithm):
        return AttestationKey(_certified_key(data), "certificate")


def _certified_key(data: bytes) -> PublicKey:
    try:
        pem = data.startswith(b"-----")
        found = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
        return _supported(found.public_key())
    except (ValueError, UnsupportedAlgorithm):
        pass
    try:
        return load_trusted_certificate(data).public_key
    except AttestationError as error:
        raise Malformed("The key file is neither a public key nor a certificate.") from error


def _supported(key: object) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return key
    raise Unsupported("The key is neither an RSA nor an ECC key; a TPM's attestation key is one of these.")


def read_signature(data: bytes, key: PublicKey, digest_size: int) -> tuple[TpmtSignature, ...]:
    """The signatures that the file can mean, most likely first: a TPMT_SIGNATURE, or the bare signature.

    ``digest_size``: of the quote's digest, which has the hash of its signature. Raises ``TooLarge``, ``Malformed``,
    ``Unsupported`` (a signature of a kind that is not accepted).
    """
    if len(data) > MAX_FILE:
        raise TooLarge(f"The signature file has {len(data)} bytes; the limit is {MAX_FILE}.")
    problem: AttestationError
    try:
        return (TpmtSignature.parse(data),)
    except AttestationError as error:
        problem = error
    bare = _bare(data, key, _BY_DIGEST_SIZE.get(digest_size, Algorithm.SHA256))
    if bare:
        return bare
    raise problem


def _bare(data: bytes, key: PublicKey, hash_: Algorithm) -> tuple[TpmtSignature, ...]:
    if isinstance(key, rsa.RSAPublicKey):
        if len(data) != (key.key_size + 7) // 8:
            return ()
        return tuple(TpmtSignature(kind, hash_, (data,)) for kind in (Algorithm.RSASSA, Algorithm.RSAPSS))
    size = (key.curve.key_size + 7) // 8
    try:
        r, s = utils.decode_dss_signature(data)
        numbers = (r.to_bytes(size, "big"), s.to_bytes(size, "big"))
    except (ValueError, OverflowError):
        if len(data) != 2 * size:
            return ()
        numbers = (data[:size], data[size:])
    return (TpmtSignature(Algorithm.ECDSA, hash_, numbers),)


def looks_like_a_signature(data: bytes, key: PublicKey) -> bool:
    """Whether a file that cannot be read names a signing scheme, or has the size of a signature by this key."""
    if len(data) > 4 and int.from_bytes(data[:2], "big") in _SIGNING_SCHEMES:
        return True
    if isinstance(key, rsa.RSAPublicKey):
        return len(data) - (key.key_size + 7) // 8 in (0, 6)
    size = (key.curve.key_size + 7) // 8
    return 2 * size - 4 <= len(data) <= 2 * size + 12
