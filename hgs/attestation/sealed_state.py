"""The server's own state between the rounds of the exchange, sealed so that the host can carry it.

EncContext (32 bytes) is ``context id (16) || GCM nonce (12) || key id (4)``; EncryptedBuffer is AES-256-GCM over the
state, under a key derived by HKDF-SHA256 from a key that all nodes share and the context id. The session id and
EncContext are the associated data, so a state fits one session and cannot be renamed.
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hgs.attestation.errors import Malformed
from hgs.wire.rtpm import ENC_CONTEXT_SIZE, MAX_STATE

_VERSION: Final = 1
_PURPOSE: Final = b"hgs rtpm exchange state v1"
_FIXED: Final = struct.Struct(">BQ32s32s32sH")


@dataclass(frozen=True)
class ExchangeState:
    """What the server remembers. ``secret_mac``: HMAC-SHA256 of the activation secret, keyed by the nonce."""

    context_id: UUID
    expires_at: datetime
    ek_hash: str
    nonce: bytes
    secret_mac: bytes
    ak_public: bytes


class StateRefused(Malformed):
    """The sealed state is not one of ours, or belongs to another session."""

    code = "state-refused"


def seal_state(
    state: ExchangeState, session_id: UUID, seal_keys: Sequence[bytes], random_bytes: Callable[[int], bytes]
) -> bytes:
    """EncContext and EncryptedBuffer. ``seal_keys``: 32 bytes each, newest first; the first one seals."""
    seconds = int(state.expires_at.timestamp())
    ek_hash = bytes.fromhex(state.ek_hash)
    plain = _FIXED.pack(_VERSION, seconds, ek_hash, state.nonce, state.secret_mac, len(state.ak_public))
    key, nonce = seal_keys[0], random_bytes(12)
    enc_context = state.context_id.bytes + nonce + _key_id(key)
    associated = _PURPOSE + session_id.bytes + enc_context
    return enc_context + _cipher(key, state.context_id).encrypt(nonce, plain + state.ak_public, associated)


def open_state(sealed: bytes, session_id: UUID, seal_keys: Sequence[bytes]) -> ExchangeState:
    """Read back a state of this session. The expiry is the caller's to check. Raises :class:`StateRefused`."""
    if not ENC_CONTEXT_SIZE < len(sealed) <= ENC_CONTEXT_SIZE + MAX_STATE:
        raise StateRefused("The exchange's state is not one that this HGS sealed.")
    enc_context, encrypted = sealed[:ENC_CONTEXT_SIZE], sealed[ENC_CONTEXT_SIZE:]
    context_id, nonce, key_id = UUID(bytes=enc_context[:16]), enc_context[16:28], enc_context[28:]
    associated = _PURPOSE + session_id.bytes + enc_context
    for key in seal_keys:
        if _key_id(key) != key_id:
            continue
        try:
            return _read(_cipher(key, context_id).decrypt(nonce, encrypted, associated), context_id)
        except InvalidTag:
            continue
    raise StateRefused("The exchange's state was not sealed by this HGS for this session. Start again.")


def _read(plain: bytes, context_id: UUID) -> ExchangeState:
    version, seconds, ek_hash, nonce, secret_mac, size = _FIXED.unpack_from(plain)
    if version != _VERSION or len(plain) != _FIXED.size + size:
        raise StateRefused("The exchange's state is of another version. Start again.")
    expires_at = datetime.fromtimestamp(seconds, UTC)
    return ExchangeState(context_id, expires_at, ek_hash.hex(), nonce, secret_mac, plain[_FIXED.size :])


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"hgs rtpm seal key id" + key).digest()[:4]


def _cipher(key: bytes, context_id: UUID) -> AESGCM:
    if len(key) != 32:
        raise ValueError("A sealing key has 32 bytes.")
    return AESGCM(HKDF(hashes.SHA256(), 32, context_id.bytes, _PURPOSE).derive(key))
