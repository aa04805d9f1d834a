"""The algorithms of key protection, each under its W3C or RFC 9231 URI, in one table per role.

[MS-KPS] leaves every algorithm to the implementation and carries URIs in the documents. We use standard ones; a URI
that is not in the table is refused by name, and the parameters must be exactly those the table gives, so a document
cannot weaken an algorithm (RSA-OAEP with `xmlenc11#rsa-oaep` means SHA-1 unless its parameters say otherwise).
New algorithms are appended to the table; an entry is never given a new meaning.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hgs.keyprotection.elements import EncryptedData, KeyDerivationMethod, Signature
from hgs.keyprotection.errors import UnknownAlgorithmError, UnknownParametersError
from hgs.keyprotection.secret import Secret

RSA_PSS_SHA256: Final = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"
RSA_OAEP: Final = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
AES_256_GCM: Final = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
HKDF_URI: Final = "http://www.w3.org/2021/04/xmldsig-more#hkdf"
HMAC_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"

TRANSPORT_KEY_LABEL: Final = b"guarded-fabric transport-key"
"""OAEP label of a wrapping's transport key: a guardian's key opens no ciphertext made for another purpose."""

KEY_SIZE: Final = 32
GCM_NONCE_SIZE: Final = 12
GCM_TAG_SIZE: Final = 16

RandomBytes = Callable[[int], bytes]


@cache
def _oaep_parameters(label: bytes) -> bytes:
    label_text = base64.b64encode(label).decode()
    return (
        f'<OAEPparams xmlns="http://www.w3.org/2001/04/xmlenc#">{label_text}</OAEPparams>'
        '<DigestMethod xmlns="http://www.w3.org/2000/09/xmldsig#" '
        'Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></DigestMethod>'
        '<MGF xmlns="http://www.w3.org/2009/xmlenc11#" '
        'Algorithm="http://www.w3.org/2009/xmlenc11#mgf1sha256"></MGF>'
    ).encode()


def _hkdf_parameters(info: bytes) -> bytes:
    info_text = base64.b64encode(info).decode()
    return (
        '<HKDFParams xmlns="http://www.w3.org/2021/04/xmldsig-more#">'
        f'<PRF Algorithm="{HMAC_SHA256}"></PRF><Info>{info_text}</Info></HKDFParams>'
    ).encode()


@dataclass(frozen=True, slots=True)
class _SignatureAlgorithm:
    sign: Callable[[rsa.RSAPrivateKey, bytes], bytes]
    verify: Callable[[rsa.RSAPublicKey, bytes, bytes], None]


@dataclass(frozen=True, slots=True)
class _KeyEncryption:
    encrypt: Callable[[rsa.RSAPublicKey, bytes, bytes], bytes]
    decrypt: Callable[[rsa.RSAPrivateKey, bytes, bytes], bytes]


@dataclass(frozen=True, slots=True)
class _ContentEncryption:
    encrypt: Callable[[Secret, bytes, bytes, RandomBytes], bytes]
    decrypt: Callable[[Secret, bytes, bytes], bytes]


@cache
def _pss() -> padding.PSS:
    # RFC 6931 2.3.10: MGF1 with the same digest, salt as long as the digest.
    return padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)


@cache
def _oaep(label: bytes) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=label or None)


def _gcm_encrypt(key: Secret, plaintext: bytes, context: bytes, random_bytes: RandomBytes) -> bytes:
    nonce = random_bytes(GCM_NONCE_SIZE)
    return nonce + AESGCM(key.reveal()).encrypt(nonce, plaintext, context)


def _gcm_decrypt(key: Secret, ciphertext: bytes, context: bytes) -> bytes:
    if len(ciphertext) < GCM_NONCE_SIZE + GCM_TAG_SIZE:
        raise InvalidTag
    return AESGCM(key.reveal()).decrypt(ciphertext[:GCM_NONCE_SIZE], ciphertext[GCM_NONCE_SIZE:], context)


_SIGNATURES: Final = {
    RSA_PSS_SHA256: _SignatureAlgorithm(
        sign=lambda key, data: key.sign(data, _pss(), hashes.SHA256()),
        verify=lambda key, value, data: key.verify(value, data, _pss(), hashes.SHA256()),
    ),
}
_KEY_ENCRYPTIONS: Final = {
    RSA_OAEP: _KeyEncryption(
        encrypt=lambda key, data, label: key.encrypt(data, _oaep(label)),
        decrypt=lambda key, data, label: key.decrypt(data, _oaep(label)),
    ),
}
_CONTENT_ENCRYPTIONS: Final = {AES_256_GCM: _ContentEncryption(_gcm_encrypt, _gcm_decrypt)}


def sign(key: rsa.RSAPrivateKey, data: bytes, uri: str = RSA_PSS_SHA256) -> Signature:
    """Sign `data`."""
    return Signature(uri, _SIGNATURES[uri].sign(key, data))


def is_signed(key: rsa.RSAPublicKey, signature: Signature, data: bytes) -> bool:
    """Whether `signature` over `data` is right. Raises UnknownAlgorithmError."""
    algorithm = _SIGNATURES.get(signature.algorithm)
    if algorithm is None:
        raise UnknownAlgorithmError("signature", signature.algorithm)
    if signature.parameters:
        raise UnknownParametersError("signature", signature.algorithm)
    try:
        algorithm.verify(key, signature.value, data)
    except InvalidSignature:
        return False
    return True


def encrypt_key(key: rsa.RSAPublicKey, secret: Secret, label: bytes, uri: str = RSA_OAEP) -> bytes:
    """Encrypt a short secret to an RSA key with RSA-OAEP-SHA256; `label` empty means none. Raises UnknownAlgorithm."""
    algorithm = _KEY_ENCRYPTIONS.get(uri)
    if algorithm is None:
        raise UnknownAlgorithmError("key encryption", uri)
    return algorithm.encrypt(key, secret.reveal(), label)


def transport_key_parameters() -> bytes:
    """How a wrapping says in which way its transport key is encrypted."""
    return _oaep_parameters(TRANSPORT_KEY_LABEL)


def wrap_transport_key(key: rsa.RSAPublicKey, secret: Secret) -> EncryptedData:
    """A wrapping's encrypted transport key."""
    value = encrypt_key(key, secret, TRANSPORT_KEY_LABEL)
    return EncryptedData(RSA_OAEP, value, transport_key_parameters())


def unwrap_transport_key(key: rsa.RSAPrivateKey, data: EncryptedData) -> Secret | None:
    """The transport key in a wrapping, None if this key does not open it. Raises UnknownAlgorithmError."""
    check_transport_key_algorithm(data)
    try:
        plaintext = _KEY_ENCRYPTIONS[data.algorithm].decrypt(key, data.value, TRANSPORT_KEY_LABEL)
    except ValueError:
        return None
    return Secret(plaintext) if len(plaintext) == KEY_SIZE else None


def check_transport_key_algorithm(data: EncryptedData) -> None:
    """Raise UnknownAlgorithmError unless a wrapping's transport key is encrypted in the one known way."""
    if data.algorithm not in _KEY_ENCRYPTIONS:
        raise UnknownAlgorithmError("key encryption", data.algorithm)
    if data.parameters != transport_key_parameters():
        raise UnknownParametersError("key encryption", data.algorithm)


def check_key_encryption(uri: str) -> None:
    """Raise UnknownAlgorithmError unless the URI names a known key encryption."""
    if uri not in _KEY_ENCRYPTIONS:
        raise UnknownAlgorithmError("key encryption", uri)


def check_content_encryption(uri: str) -> None:
    """Raise UnknownAlgorithmError unless the URI names a known content encryption."""
    if uri not in _CONTENT_ENCRYPTIONS:
        raise UnknownAlgorithmError("content encryption", uri)


def encrypt_content(
    key: Secret, plaintext: bytes, context: bytes, random_bytes: RandomBytes, uri: str = AES_256_GCM
) -> EncryptedData:
    """Authenticated encryption: value = nonce (12) ‖ ciphertext ‖ tag (16), `context` as additional data."""
    check_content_encryption(uri)
    return EncryptedData(uri, _CONTENT_ENCRYPTIONS[uri].encrypt(key, plaintext, context, random_bytes))


def decrypt_content(key: Secret, data: EncryptedData, context: bytes) -> bytes | None:
    """The plaintext, None if key, context or ciphertext are not those of the encryption. Raises UnknownAlgorithm."""
    check_content_encryption(data.algorithm)
    if data.parameters:
        raise UnknownParametersError("content encryption", data.algorithm)
    try:
        return _CONTENT_ENCRYPTIONS[data.algorithm].decrypt(key, data.value, context)
    except InvalidTag:
        return None


def hkdf_sha256(key: Secret, info: bytes) -> Secret:
    """HKDF-SHA256 (RFC 5869) without salt, 32 bytes."""
    return Secret(HKDF(algorithm=hashes.SHA256(), length=KEY_SIZE, salt=None, info=info).derive(key.reveal()))


@cache
def hkdf_method(info: bytes) -> KeyDerivationMethod:
    """The element that names HKDF-SHA256 with this info (RFC 9231)."""
    return KeyDerivationMethod(HKDF_URI, _hkdf_parameters(info))


def check_key_derivation(method: KeyDerivationMethod, info: bytes) -> None:
    """Raise UnknownAlgorithmError unless `method` is HKDF-SHA256 with this info."""
    if method.algorithm != HKDF_URI:
        raise UnknownAlgorithmError("key derivation", method.algorithm)
    if method != hkdf_method(info):
        raise UnknownParametersError("key derivation", method.algorithm)


def authenticate(key: Secret, data: bytes) -> Signature:
    """HMAC-SHA256 over `data`."""
    return Signature(HMAC_SHA256, hmac.digest(key.reveal(), data, "sha256"))


def check_authentication_algorithm(signature: Signature) -> None:
    """Raise UnknownAlgorithmError unless the signature is an HMAC-SHA256 without parameters."""
    if signature.algorithm != HMAC_SHA256:
        raise UnknownAlgorithmError("message authentication", signature.algorithm)
    if signature.parameters:
        raise UnknownParametersError("message authentication", signature.algorithm)


def is_authentic(key: Secret, signature: Signature, data: bytes) -> bool:
    """Whether the HMAC over `data` is right. Raises UnknownAlgorithmError."""
    check_authentication_algorithm(signature)
    return hmac.compare_digest(signature.value, hmac.digest(key.reveal(), data, "sha256"))
