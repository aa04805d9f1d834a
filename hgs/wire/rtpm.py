"""The RTPM context: the binary inside ``RtpmActiveContext``, ``RtpmNewContext`` and content type 2 of MS-HGSA.

The envelope is that of MS-HGSA 2.2.2.25-27; the specification leaves open how blobs are framed and what they carry,
so the framing and the exchange are ours (``docs/formats/rtpm.md``). All integers are big-endian, nothing is padded::

    u32 Size             of the whole context, header included
    u32 Version          1
    u32 DataBlobCount
    u32 Reserved         0
    EncContext           32 bytes, all zero when there is no state
    u32 StateSize        bytes of the sealed state that follow
    EncryptedBuffer
    DataBlobCount times: u32 BlobType, u32 BlobSize, data
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from hgs.wire.errors import RtpmError

MAX_CONTEXT = 768 * 1024
MAX_LOG = 512 * 1024
MAX_STATE = 4096
MAX_SMALL_BLOB = 4096
ENC_CONTEXT_SIZE = 32
_VERSION = 1
_HEADER = struct.Struct(">IIII")
_U32 = struct.Struct(">I")
_BLOB = struct.Struct(">II")
_NO_STATE = bytes(ENC_CONTEXT_SIZE)


class BlobType(IntEnum):
    """What a data blob carries. Numbers are never reused; new ones are appended."""

    WBCL = 1
    """The TCG event log of the boot, as the firmware and the boot loader wrote it."""
    DEVICE_INFO = 2
    """TPM_DEVICE_INFO of MS-HGSA 2.2.2.27 (16 bytes)."""
    AK_PUBLIC = 3
    """TPMT_PUBLIC of the attestation key."""
    CREDENTIAL = 4
    """TPM2B_ID_OBJECT for TPM2_ActivateCredential."""
    ENCRYPTED_SECRET = 5
    """TPM2B_ENCRYPTED_SECRET for TPM2_ActivateCredential."""
    NONCE = 6
    """32 bytes, the qualifying data of the quote and of the certification."""
    PCR_SELECTION = 7
    """TPML_PCR_SELECTION that the quote must cover."""
    ACTIVATED_SECRET = 8
    """What TPM2_ActivateCredential returned (32 bytes)."""
    QUOTE = 9
    """TPMS_ATTEST of TPM2_Quote."""
    QUOTE_SIGNATURE = 10
    """TPMT_SIGNATURE over QUOTE."""
    PCR_VALUES = 11
    """Optional: the selected registers' values, concatenated in ascending order. Used to say which register differs."""
    IDENTITY_KEY = 12
    """TPMT_PUBLIC of the identity encryption key that the health certificate will name."""
    IDENTITY_CERTIFY = 13
    """TPMS_ATTEST of TPM2_Certify of the identity key by the attestation key."""
    IDENTITY_CERTIFY_SIGNATURE = 14
    """TPMT_SIGNATURE over IDENTITY_CERTIFY."""
    SIGNING_KEY = 15
    """Optional: TPMT_PUBLIC of an identity signing key that lives in the TPM."""
    SIGNING_CERTIFY = 16
    """TPMS_ATTEST of TPM2_Certify of the identity signing key by the attestation key."""
    SIGNING_CERTIFY_SIGNATURE = 17
    """TPMT_SIGNATURE over SIGNING_CERTIFY."""


@dataclass(frozen=True)
class RtpmContext:
    """One context: the server's sealed state (echoed by the client untouched) and the data blobs.

    ``state`` is EncContext (32 bytes) followed by EncryptedBuffer, or None in the first request.
    """

    state: bytes | None = None
    blobs: tuple[tuple[BlobType, bytes], ...] = ()

    def find(self, kind: BlobType) -> bytes | None:
        """The blob of that type, or None."""
        return next((data for blob_type, data in self.blobs if blob_type is kind), None)

    def serialise(self) -> bytes:
        """The bytes on the wire. Raises :class:`RtpmError` for what ``parse_context`` would not take back."""
        state = _NO_STATE if self.state is None else self.state
        if len(state) < ENC_CONTEXT_SIZE or (self.state is not None and state[:ENC_CONTEXT_SIZE] == _NO_STATE):
            raise RtpmError("A sealed state has a 32-byte context that is not all zero.")
        sealed = state[ENC_CONTEXT_SIZE:]
        parts = [state[:ENC_CONTEXT_SIZE], _U32.pack(len(sealed)), sealed]
        for kind, data in self.blobs:
            parts += [_BLOB.pack(kind, len(data)), data]
        body = b"".join(parts)
        context = _HEADER.pack(_HEADER.size + len(body), _VERSION, len(self.blobs), 0) + body
        parse_context(context)
        return context


def parse_context(data: bytes) -> RtpmContext:
    """Read a context; ``parse_context(data).serialise() == data``. Raises :class:`RtpmError`."""
    if len(data) > MAX_CONTEXT:
        raise RtpmError(f"The RTPM context has {len(data)} bytes; the limit is {MAX_CONTEXT}.")
    if len(data) < _HEADER.size + ENC_CONTEXT_SIZE + _U32.size:
        raise RtpmError("The RTPM context is cut short.")
    size, version, count, reserved = _HEADER.unpack_from(data)
    if size != len(data):
        raise RtpmError(f"The RTPM context says it has {size} bytes, but {len(data)} came.")
    if version != _VERSION or reserved != 0:
        raise RtpmError("The RTPM context is of an unknown version.")
    if count > len(BlobType):
        raise RtpmError(f"The RTPM context announces {count} blobs; there are {len(BlobType)} types.")
    state, offset = _parse_state(data)
    blobs: list[tuple[BlobType, bytes]] = []
    for _ in range(count):
        kind, blob, offset = _parse_blob(data, offset)
        if any(kind is seen for seen, _ in blobs):
            raise RtpmError(f"The RTPM context has two blobs of type {kind.name}.")
        blobs.append((kind, blob))
    if offset != len(data):
        raise RtpmError(f"The RTPM context has {len(data) - offset} bytes after its last blob.")
    return RtpmContext(state, tuple(blobs))


def _parse_state(data: bytes) -> tuple[bytes | None, int]:
    offset = _HEADER.size
    enc_context = data[offset : offset + ENC_CONTEXT_SIZE]
    offset += ENC_CONTEXT_SIZE
    (size,) = _U32.unpack_from(data, offset)
    offset += _U32.size
    if size > MAX_STATE:
        raise RtpmError(f"The sealed state has {size} bytes; the limit is {MAX_STATE}.")
    if size > len(data) - offset:
        raise RtpmError("The sealed state is cut short.")
    if enc_context == _NO_STATE:
        if size:
            raise RtpmError("The sealed state has bytes but no context.")
        return None, offset
    return enc_context + data[offset : offset + size], offset + size


def _parse_blob(data: bytes, offset: int) -> tuple[BlobType, bytes, int]:
    if len(data) - offset < _BLOB.size:
        raise RtpmError("The RTPM context ends inside a blob's header.")
    number, size = _BLOB.unpack_from(data, offset)
    offset += _BLOB.size
    try:
        kind = BlobType(number)
    except ValueError as error:
        raise RtpmError(f"The RTPM context has a blob of the unknown type {number}.") from error
    limit = MAX_LOG if kind is BlobType.WBCL else MAX_SMALL_BLOB
    if size > limit:
        raise RtpmError(f"The blob {kind.name} has {size} bytes; the limit is {limit}.")
    if size > len(data) - offset:
        raise RtpmError(f"The blob {kind.name} is cut short.")
    return kind, data[offset : offset + size], offset + size


@dataclass(frozen=True)
class DeviceInfo:
    """TPM_DEVICE_INFO (MS-HGSA 2.2.2.27): what the client says about its TPM. Not evidence, only information."""

    tpm_version: int
    """0 unknown, 1 TPM 1.2, 2 TPM 2.0."""
    interface_type: int
    """0 unknown, 1 TPM 1.2 port or memory I/O, 2 TrustZone, 3 hardware 2.0, 4 emulator."""
    implementation_version: int

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct(">IIII")

    def serialise(self) -> bytes:
        """16 bytes, StructVersion 1 first."""
        return self._LAYOUT.pack(1, self.tpm_version, self.interface_type, self.implementation_version)


def parse_device_info(data: bytes) -> DeviceInfo:
    """Raises :class:`RtpmError` for another size, version or an enumeration value outside MS-HGSA 2.2.1."""
    if len(data) != 16:
        raise RtpmError(f"TPM_DEVICE_INFO has 16 bytes, not {len(data)}.")
    version, tpm_version, interface_type, implementation = struct.unpack(">IIII", data)
    if version != 1 or tpm_version > 2 or interface_type > 4:
        raise RtpmError("TPM_DEVICE_INFO holds an unknown version or enumeration value.")
    return DeviceInfo(tpm_version, interface_type, implementation)
