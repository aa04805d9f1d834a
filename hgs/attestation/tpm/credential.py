"""Credential activation, the part outside the TPM: TPM2_MakeCredential in software (part 1, 24 and annex B.10, C.6).

Only the TPM that holds the endorsement key *and* an object of the given Name can open the result.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from hgs.attestation.errors import Unsupported
from hgs.attestation.tpm.algorithms import DIGEST_SIZES, HASH_NAMES, Algorithm, hash_of
from hgs.attestation.tpm.buffer import sized
from hgs.attestation.tpm.public import (
    EccParameters,
    RsaParameters,
    TpmtPublic,
    to_cryptography_key,
)

_IDENTITY: Final = b"IDENTITY\x00"


def make_credential(
    ek_public: TpmtPublic, object_name: bytes, secret: bytes, random_bytes: Callable[[int], bytes]
) -> tuple[bytes, bytes]:
    """Wrap ``secret`` for the TPM of ``ek_public`` and its object of that Name.

    Returns (TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET). ``secret``: at most a digest of the EK's name algorithm
    (32 bytes). Raises :class:`Unsupported` for an EK that protects no child objects, ``ValueError`` for a long secret.
    """
    hash_ = ek_public.name_algorithm
    if len(secret) > DIGEST_SIZES[hash_]:
        raise ValueError("The secret is longer than a digest of the endorsement key's name algorithm.")
    parameters = ek_public.parameters
    if not isinstance(parameters, RsaParameters | EccParameters) or parameters.symmetric is None:
        raise Unsupported("The endorsement key is not a storage key, so it can open no credential.")
    seed, encrypted_seed = _share_seed(ek_public, random_bytes)
    return protect_credential(hash_, parameters.symmetric.key_bits, seed, object_name, secret), encrypted_seed


def protect_credential(hash_: Algorithm, key_bits: int, seed: bytes, object_name: bytes, secret: bytes) -> bytes:
    """TPM2B_ID_OBJECT of ``secret`` under a seed that both sides know."""
    key = kdf_a(hash_, seed, b"STORAGE\x00", object_name, b"", key_bits)
    # The IV is zero by specification: each seed, and so each key, encrypts once.
    encryptor = Cipher(AES(key), CFB(bytes(16))).encryptor()
    encrypted = encryptor.update(sized(secret)) + encryptor.finalize()
    mac_key = kdf_a(hash_, seed, b"INTEGRITY\x00", b"", b"", DIGEST_SIZES[hash_] * 8)
    mac = hmac.digest(mac_key, encrypted + object_name, HASH_NAMES[hash_])
    return sized(sized(mac) + encrypted)


def _share_seed(ek_public: TpmtPublic, random_bytes: Callable[[int], bytes]) -> tuple[bytes, bytes]:
    key = to_cryptography_key(ek_public)
    hash_ = ek_public.name_algorithm
    if isinstance(key, rsa.RSAPublicKey):
        seed = random_bytes(DIGEST_SIZES[hash_])
        digest = hash_of(hash_)
        return seed, sized(key.encrypt(seed, padding.OAEP(padding.MGF1(digest), digest, _IDENTITY)))
    ephemeral = ec.generate_private_key(key.curve)
    size = (key.curve.key_size + 7) // 8
    point, ours = key.public_numbers(), ephemeral.public_key().public_numbers()
    x, y = ours.x.to_bytes(size, "big"), ours.y.to_bytes(size, "big")
    shared = ephemeral.exchange(ec.ECDH(), key)
    return kdf_e(hash_, shared, _IDENTITY, x, point.x.to_bytes(size, "big")), sized(sized(x) + sized(y))


def kdf_a(hash_: Algorithm, key: bytes, label: bytes, context_u: bytes, context_v: bytes, bits: int) -> bytes:
    """KDFa (part 1, 11.4.10.2): SP 800-108 in counter mode with HMAC; ``label`` ends with its zero byte."""
    tail = label + context_u + context_v + bits.to_bytes(4, "big")
    output = b""
    counter = 0
    while len(output) * 8 < bits:
        counter += 1
        output += hmac.digest(key, counter.to_bytes(4, "big") + tail, HASH_NAMES[hash_])
    return output[: bits // 8]


def kdf_e(hash_: Algorithm, shared: bytes, label: bytes, party_u: bytes, party_v: bytes) -> bytes:
    """KDFe (part 1, 11.4.10.3) for one digest's worth of output."""
    block = (1).to_bytes(4, "big") + shared + label + party_u + party_v
    return hashlib.new(HASH_NAMES[hash_], block).digest()


__all__ = ["kdf_a", "kdf_e", "make_credential", "protect_credential"]
