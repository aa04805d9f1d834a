"""The identity key that a host wants certified, in the forms in which it may travel.

[MS-HGSA] names no encoding (content type 1 of a host key request, the keys of an ADRequest), so a finite set is read:

``spki``    SubjectPublicKeyInfo, DER (RFC 5280);
``pkcs1``   RSAPublicKey, DER (RFC 8017);
``cng``     BCRYPT_RSAKEY_BLOB with the magic ``RSA1``, little-endian sizes, then exponent and modulus;
``wbcl``    the layout of VSM_IDK_INFO in boot logs: algorithm 1, bits, sizes, then exponent and modulus;
``json``    an EndorsementKey object of [MS-HGSA] around one of the binary forms.

Each form has one encoding of a key, and exactly one form must fit what was sent.
"""

import struct
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from hgs.attestation.errors import AttestationError, Malformed, TooLarge, Unsupported
from hgs.attestation.sipa_records import VsmKey
from hgs.wire import hgsa
from hgs.wire.errors import WireError

MAX_IDENTITY_KEY: Final = 8192
"""Bytes of an identity key in any form; a number array in JSON needs four characters a byte."""
MIN_BITS: Final = 2048
MAX_BITS: Final = 4096
_MIN_EXPONENT: Final = 65537
_CNG_HEAD: Final = struct.Struct("<4sIIIII")
_Form = Callable[[bytes], rsa.RSAPublicKey | None]


def read_identity_key(data: bytes) -> rsa.RSAPublicKey:
    """The RSA key in ``data``, 2048 to 4096 bits, exponent odd and from 65537 to 2^32.

    Raises ``Malformed`` or ``TooLarge`` for what is no key in one of the forms, ``Unsupported`` for another key.
    """
    if len(data) > MAX_IDENTITY_KEY:
        raise TooLarge(f"The identity key has {len(data)} bytes; the limit is {MAX_IDENTITY_KEY}.")
    if data[:1] == b"{":
        data = _inside_json(data)
    return acceptable(one_reading(data, RSA_FORMS, "identity key"))


def acceptable(key: rsa.RSAPublicKey) -> rsa.RSAPublicKey:
    """The key itself, if its size and exponent are those of keys in use today. Raises ``Unsupported``."""
    exponent = key.public_numbers().e
    if not MIN_BITS <= key.key_size <= MAX_BITS:
        raise Unsupported(f"The key has {key.key_size} bits; {MIN_BITS} to {MAX_BITS} are accepted.")
    if not _MIN_EXPONENT <= exponent < 1 << 32 or not exponent % 2:
        raise Unsupported("The key's public exponent is not an odd number from 65537 to 2^32.")
    return key


def one_reading(data: bytes, forms: tuple[_Form, ...], what: str) -> rsa.RSAPublicKey:
    """The key that exactly one of the forms reads. Raises ``Malformed`` where none does, or two do."""
    readings = [key for form in forms if (key := form(data)) is not None]
    if len(readings) != 1:
        raise Malformed(f"The {what} is in none of the forms that HGS reads.")
    return readings[0]


def _inside_json(data: bytes) -> bytes:
    try:
        message = hgsa.parse_message(data)
    except WireError as error:
        raise Malformed(error.message) from error
    if not isinstance(message, hgsa.EndorsementKey):
        raise Malformed("The identity key is another message than EndorsementKey.")
    return message.key


def _der(data: bytes, form: PublicFormat) -> rsa.RSAPublicKey | None:
    if data[:1] != b"\x30":
        return None
    try:
        key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, rsa.RSAPublicKey) or key.public_bytes(Encoding.DER, form) != data:
        return None
    return key


def from_spki(data: bytes) -> rsa.RSAPublicKey | None:
    """An RSA key in SubjectPublicKeyInfo, or None."""
    return _der(data, PublicFormat.SubjectPublicKeyInfo)


def from_pkcs1(data: bytes) -> rsa.RSAPublicKey | None:
    """An RSA key in RSAPublicKey of PKCS #1, or None."""
    return _der(data, PublicFormat.PKCS1)


def from_cng(data: bytes) -> rsa.RSAPublicKey | None:
    """An RSA key in a public BCRYPT_RSAKEY_BLOB, or None."""
    if len(data) < _CNG_HEAD.size:
        return None
    magic, bits, exponent_size, modulus_size, *primes = _CNG_HEAD.unpack_from(data)
    if magic != b"RSA1" or primes != [0, 0] or not 1 <= exponent_size <= 8 or modulus_size > 2048:
        return None
    if len(data) != _CNG_HEAD.size + exponent_size + modulus_size:
        return None
    start = _CNG_HEAD.size + exponent_size
    key = _from_numbers(int.from_bytes(data[start:], "big"), int.from_bytes(data[_CNG_HEAD.size : start], "big"))
    # One encoding: no leading zeros, and the size in bits is that of the modulus.
    return key if key is not None and key.key_size == bits and to_cng(key) == data else None


def to_cng(key: rsa.RSAPublicKey) -> bytes:
    """The public BCRYPT_RSAKEY_BLOB of a key."""
    numbers = key.public_numbers()
    exponent = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
    modulus = numbers.n.to_bytes((key.key_size + 7) // 8, "big")
    return _CNG_HEAD.pack(b"RSA1", key.key_size, len(exponent), len(modulus), 0, 0) + exponent + modulus


def from_wbcl(data: bytes) -> rsa.RSAPublicKey | None:
    """An RSA key in the layout of VSM_IDK_INFO, or None."""
    try:
        key = VsmKey.parse(data)
    except AttestationError:
        return None
    return _from_numbers(key.modulus, key.exponent) if key.serialise() == data else None


def _from_numbers(modulus: int, exponent: int) -> rsa.RSAPublicKey | None:
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        return None


RSA_FORMS: Final[tuple[_Form, ...]] = (from_spki, from_pkcs1, from_cng, from_wbcl)
