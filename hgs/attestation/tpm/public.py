"""Public areas of TPM objects: TPMT_PUBLIC (part 2, 12.2.4), their names, and the keys in them."""

import hashlib
from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property, lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hgs.attestation.errors import Malformed, Unsupported
from hgs.attestation.tpm.algorithms import DIGEST_SIZES, HASH_NAMES, Algorithm, algorithm, hash_algorithm
from hgs.attestation.tpm.buffer import Reader, sized

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
MAX_PUBLIC: Final = 1024
_DEFAULT_EXPONENT: Final = 65537
# TCG EK Credential Profile, templates L-1 and L-2: PolicySecret(TPM_RH_ENDORSEMENT).
_EK_POLICY: Final = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")


class Attributes(IntFlag):
    """TPMA_OBJECT."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18
    X509_SIGN = 1 << 19


_KNOWN_ATTRIBUTES: Final = 0x000F0CF6
_EK_ATTRIBUTES: Final = (
    Attributes.FIXED_TPM
    | Attributes.FIXED_PARENT
    | Attributes.SENSITIVE_DATA_ORIGIN
    | Attributes.ADMIN_WITH_POLICY
    | Attributes.RESTRICTED
    | Attributes.DECRYPT
)


class Curve:
    """TPM_ECC_CURVE numbers we support, with their curve and coordinate size in bytes."""

    P256: Final = 0x0003
    P384: Final = 0x0004
    P521: Final = 0x0005
    TABLE: Final[dict[int, tuple[type[ec.EllipticCurve], int]]] = {
        P256: (ec.SECP256R1, 32),
        P384: (ec.SECP384R1, 48),
        P521: (ec.SECP521R1, 66),
    }


@dataclass(frozen=True)
class Symmetric:
    """TPMT_SYM_DEF_OBJECT: only AES in CFB mode exists here; NULL is ``None`` where one is optional."""

    key_bits: int


@dataclass(frozen=True)
class Scheme:
    """A signing or decryption scheme with its hash (``None`` for RSAES)."""

    algorithm: Algorithm
    hash: Algorithm | None


@dataclass(frozen=True)
class RsaParameters:
    """TPMS_RSA_PARMS; ``exponent`` 0 means 65537, as the TPM writes it."""

    symmetric: Symmetric | None
    scheme: Scheme | None
    key_bits: int
    exponent: int


@dataclass(frozen=True)
class EccParameters:
    """TPMS_ECC_PARMS without a key derivation scheme (TPM_ALG_NULL)."""

    symmetric: Symmetric | None
    scheme: Scheme | None
    curve: int


@dataclass(frozen=True)
class KeyedHashParameters:
    """TPMS_KEYEDHASH_PARMS with the scheme NULL: a sealed data object."""


@dataclass(frozen=True)
class EccPoint:
    """TPMS_ECC_POINT, coordinates as the TPM wrote them."""

    x: bytes
    y: bytes


@dataclass(frozen=True)
class TpmtPublic:
    """TPMT_PUBLIC. ``unique`` is the modulus (RSA), the point (ECC) or the digest (keyed hash)."""

    name_algorithm: Algorithm
    attributes: Attributes
    auth_policy: bytes
    parameters: RsaParameters | EccParameters | KeyedHashParameters
    unique: bytes | EccPoint

    @staticmethod
    def parse(data: bytes) -> "TpmtPublic":
        """Read a TPMT_PUBLIC; ``parse(b).serialise() == b``. Raises ``Malformed``, ``Unsupported``."""
        return _parse_public(data)

    @staticmethod
    def parse_sized(data: bytes) -> "TpmtPublic":
        """Read a TPM2B_PUBLIC."""
        reader = Reader(data, "TPM public area")
        inner = reader.sized(MAX_PUBLIC)
        reader.finish()
        return _parse_public(inner)

    def serialise(self) -> bytes:
        """The bytes of the TPMT_PUBLIC."""
        kind, parameters, unique = _write_parameters(self)
        head = kind.to_bytes(2, "big") + self.name_algorithm.to_bytes(2, "big")
        return head + self.attributes.to_bytes(4, "big") + sized(self.auth_policy) + parameters + unique

    @cached_property
    def name(self) -> bytes:
        """The object's Name (part 1, 16): name algorithm, then the digest of the TPMT_PUBLIC."""
        digest = hashlib.new(HASH_NAMES[self.name_algorithm], self.serialise()).digest()
        return self.name_algorithm.to_bytes(2, "big") + digest

    @cached_property
    def key(self) -> PublicKey:
        """The RSA or ECC key. Raises ``Malformed`` for impossible numbers, ``Unsupported``."""
        return _key_of(self)

    @property
    def scheme(self) -> Scheme | None:
        """The key's scheme, or None when it is decided at use."""
        return None if isinstance(self.parameters, KeyedHashParameters) else self.parameters.scheme


@lru_cache(maxsize=4096)
def _parse_public(data: bytes) -> TpmtPublic:
    """Remembered with its key and its Name: a host comes with the same keys in every request of a boot."""
    if len(data) > MAX_PUBLIC:
        raise Malformed(f"The TPM public area has {len(data)} bytes; the limit is {MAX_PUBLIC}.")
    reader = Reader(data, "TPM public area")
    kind = algorithm(reader.number(2))
    name_algorithm = hash_algorithm(reader.number(2))
    attributes = reader.number(4)
    if attributes & ~_KNOWN_ATTRIBUTES:
        raise Malformed(f"The TPM public area has reserved attributes: 0x{attributes:08x}.")
    auth_policy = reader.sized(64)
    if len(auth_policy) not in (0, DIGEST_SIZES[name_algorithm]):
        raise Malformed("The TPM public area's policy is not a digest of its name algorithm.")
    parameters, unique = _parse_parameters(reader, kind)
    reader.finish()
    return TpmtPublic(name_algorithm, Attributes(attributes), auth_policy, parameters, unique)


def _parse_parameters(
    reader: Reader, kind: Algorithm
) -> tuple[RsaParameters | EccParameters | KeyedHashParameters, bytes | EccPoint]:
    if kind is Algorithm.RSA:
        symmetric, scheme = _parse_symmetric(reader), _parse_scheme(reader)
        rsa_parameters = RsaParameters(symmetric, scheme, reader.number(2), reader.number(4))
        modulus = reader.sized(512)
        if len(modulus) * 8 != rsa_parameters.key_bits:
            raise Malformed("The RSA modulus does not have the size that the TPM public area states.")
        return rsa_parameters, modulus
    if kind is Algorithm.ECC:
        symmetric, scheme = _parse_symmetric(reader), _parse_scheme(reader)
        ecc_parameters = EccParameters(symmetric, scheme, reader.number(2))
        if reader.number(2) != Algorithm.NULL:
            raise Unsupported("ECC keys with a key derivation scheme are not supported.")
        return ecc_parameters, EccPoint(reader.sized(66), reader.sized(66))
    if kind is Algorithm.KEYEDHASH:
        if reader.number(2) != Algorithm.NULL:
            raise Unsupported("Keyed hashes with a scheme are not supported.")
        return KeyedHashParameters(), reader.sized(64)
    raise Unsupported(f"TPM objects of type {kind.name} are not supported.")


def _parse_symmetric(reader: Reader) -> Symmetric | None:
    kind = reader.number(2)
    if kind == Algorithm.NULL:
        return None
    bits, mode = reader.number(2), reader.number(2)
    if kind != Algorithm.AES or mode != Algorithm.CFB or bits not in (128, 192, 256):
        raise Unsupported("Only AES in CFB mode is supported to protect a TPM's child objects.")
    return Symmetric(bits)


def _parse_scheme(reader: Reader) -> Scheme | None:
    kind = algorithm(reader.number(2))
    if kind is Algorithm.NULL:
        return None
    if kind is Algorithm.RSAES:
        return Scheme(kind, None)
    if kind in (Algorithm.RSASSA, Algorithm.RSAPSS, Algorithm.OAEP, Algorithm.ECDSA, Algorithm.ECDH):
        return Scheme(kind, hash_algorithm(reader.number(2)))
    raise Unsupported(f"The TPM scheme {kind.name} is not supported.")


def _write_parameters(public: TpmtPublic) -> tuple[Algorithm, bytes, bytes]:
    null = Algorithm.NULL.to_bytes(2, "big")
    parameters, unique = public.parameters, public.unique
    if isinstance(parameters, RsaParameters) and isinstance(unique, bytes):
        numbers = parameters.key_bits.to_bytes(2, "big") + parameters.exponent.to_bytes(4, "big")
        head = _write_symmetric(parameters.symmetric) + _write_scheme(parameters.scheme)
        return Algorithm.RSA, head + numbers, sized(unique)
    if isinstance(parameters, EccParameters) and isinstance(unique, EccPoint):
        head = _write_symmetric(parameters.symmetric) + _write_scheme(parameters.scheme)
        return Algorithm.ECC, head + parameters.curve.to_bytes(2, "big") + null, sized(unique.x) + sized(unique.y)
    if isinstance(parameters, KeyedHashParameters) and isinstance(unique, bytes):
        return Algorithm.KEYEDHASH, null, sized(unique)
    raise Malformed("The TPM public area's parameters and unique value are of different types.")


def _write_symmetric(symmetric: Symmetric | None) -> bytes:
    if symmetric is None:
        return Algorithm.NULL.to_bytes(2, "big")
    return b"".join(number.to_bytes(2, "big") for number in (Algorithm.AES, symmetric.key_bits, Algorithm.CFB))


def _write_scheme(scheme: Scheme | None) -> bytes:
    if scheme is None:
        return Algorithm.NULL.to_bytes(2, "big")
    tail = b"" if scheme.hash is None else scheme.hash.to_bytes(2, "big")
    return scheme.algorithm.to_bytes(2, "big") + tail


def name_of(public: TpmtPublic) -> bytes:
    """:attr:`TpmtPublic.name`."""
    return public.name


def to_cryptography_key(public: TpmtPublic) -> PublicKey:
    """:attr:`TpmtPublic.key`."""
    return public.key


def _key_of(public: TpmtPublic) -> PublicKey:
    parameters, unique = public.parameters, public.unique
    try:
        if isinstance(parameters, RsaParameters) and isinstance(unique, bytes):
            if parameters.key_bits < 2048 or unique[0] < 0x80:
                raise Unsupported("RSA keys below 2048 bits are not supported.")
            exponent = parameters.exponent or _DEFAULT_EXPONENT
            return rsa.RSAPublicNumbers(exponent, int.from_bytes(unique, "big")).public_key()
        if isinstance(parameters, EccParameters) and isinstance(unique, EccPoint):
            if parameters.curve not in Curve.TABLE:
                raise Unsupported(f"The ECC curve 0x{parameters.curve:04x} is not supported.")
            x, y = int.from_bytes(unique.x, "big"), int.from_bytes(unique.y, "big")
            return ec.EllipticCurvePublicNumbers(x, y, Curve.TABLE[parameters.curve][0]()).public_key()
    except ValueError as error:
        raise Malformed("The TPM public area does not hold a usable key.") from error
    raise Unsupported("The TPM public area does not hold an asymmetric key.")


def endorsement_public(key: PublicKey) -> TpmtPublic:
    """The public area that an endorsement key of the TCG default template (L-1 RSA-2048, L-2 P-256) has.

    An EK certificate names only the key; its Name and protection follow from the template.
    """
    symmetric = Symmetric(128)
    if isinstance(key, rsa.RSAPublicKey) and key.key_size == 2048:
        numbers = key.public_numbers()
        exponent = 0 if numbers.e == _DEFAULT_EXPONENT else numbers.e
        if exponent >> 32:
            raise Unsupported("The endorsement key's exponent does not fit a TPM.")
        parameters = RsaParameters(symmetric, None, 2048, exponent)
        unique = numbers.n.to_bytes(256, "big")
        return TpmtPublic(Algorithm.SHA256, _EK_ATTRIBUTES, _EK_POLICY, parameters, unique)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        point = key.public_numbers()
        pair = EccPoint(point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big"))
        return TpmtPublic(
            Algorithm.SHA256, _EK_ATTRIBUTES, _EK_POLICY, EccParameters(symmetric, None, Curve.P256), pair
        )
    raise Unsupported("Only RSA-2048 and P-256 endorsement keys are supported.")


def spki_of(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo (DER) of a key, in the one form that hashes and files use."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
