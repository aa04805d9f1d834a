"""Signed notes (https://c2sp.org/signed-note): a text, and under it a line for each key that signed it.

    text, ending in a newline
    (empty line)
    — <key name> base64(key id ‖ signature)

The key id is the beginning of SHA-256(name ‖ 0A ‖ 01 ‖ public key); 01 is Ed25519, the one algorithm read here. Lines
of keys that the reader does not know, such as those of witnesses, are allowed and count for nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hgs.transparency.errors import NoteError

NOTE_MAX: Final = 128 * 1024
SIGNATURES_MAX: Final = 64
NAME_MAX: Final = 256
VKEY_MAX: Final = 1024
KEY_SIZE: Final = 32
KEY_ID_SIZE: Final = 4
ED25519: Final = b"\x01"

_DASH: Final = "\u2014 "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_HEX_ID: Final = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public key of a log and its name. As text: `<name>+<key id, hex>+<base64(01 ‖ public key)>`."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise NoteError("key-name", "The name of a key is empty, too long, or has spaces or a plus in it.")
        if len(self.public_key) != KEY_SIZE:
            raise NoteError("key-length", f"An Ed25519 key has {KEY_SIZE} bytes, not {len(self.public_key)}.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a verifier key. Raises NoteError."""
        malformed = NoteError("vkey", "This is not a verifier key: NAME+HEX+BASE64 on one line.")
        parts = text.split("+", 2) if len(text) <= VKEY_MAX else []
        if len(parts) != 3 or not _HEX_ID.fullmatch(parts[1]):
            raise malformed
        material = decode_exactly(parts[2])
        if material is None:
            raise malformed
        if material[:1] != ED25519:
            raise NoteError("vkey-algorithm", "The verifier key is of an algorithm other than Ed25519.")
        key = cls(parts[0], material[1:])
        if key.key_id.hex() != parts[1]:
            raise NoteError("vkey-id", "The verifier key is damaged: its key id does not belong to its key.")
        return key

    @classmethod
    def of(cls, name: str, key: Ed25519PrivateKey) -> Self:
        """The public half of a signing key."""
        return cls(name, key.public_key().public_bytes_raw())

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.public_key).decode()}"

    @property
    def key_id(self) -> bytes:
        """What names the key in a signature line: 4 bytes, no protection."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:KEY_ID_SIZE]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key as text, hex: what people compare."""
        return hashlib.sha256(str(self).encode()).hexdigest()

    def verify(self, text: bytes, signature: bytes) -> bool:
        """Whether the key signed the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


def is_key_name(name: str) -> bool:
    """Whether a key may have this name. Origins of our logs are held to the same."""
    return (
        0 < len(name) <= NAME_MAX
        and name.isprintable()
        and not any(character.isspace() or character == "+" for character in name)
    )


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> bytes:
    """Sign a text, which ends in a newline, under a key name. Raises NoteError."""
    body = text.encode()
    if not text.endswith("\n") or text == "\n" or _CONTROL.search(text):
        raise NoteError("note-text", "A note's text ends in a newline and has no other control characters.")
    signature = base64.b64encode(VerifierKey.of(name, key).key_id + key.sign(body)).decode()
    return body + f"\n{_DASH}{name} {signature}\n".encode()


def open_note(note: bytes, key: VerifierKey) -> str:
    """The text of a note that `key` signed. Raises NoteError."""
    body, lines = _split(note)
    signed = False
    for line in lines:
        name, key_id, signature = _signature_line(line)
        if (name, key_id) != (key.name, key.key_id):
            continue
        if not key.verify(body.encode(), signature):
            raise NoteError(
                "checkpoint-signature",
                "The signature of the log's key is wrong.",
                "Do not believe this file; fetch it again, and tell the administrator of the Host Guardian Service.",
            )
        signed = True
    if not signed:
        raise NoteError(
            "checkpoint-signature",
            f"The log's key {key.name} did not sign this.",
            "Check that the key is the one of this Host Guardian Service, and that the file is of its log.",
        )
    return body


def _split(note: bytes) -> tuple[str, list[str]]:
    """The text and the signature lines, none of which is believed yet."""
    if len(note) > NOTE_MAX:
        raise NoteError("note-length", f"A note has {len(note)} bytes; {NOTE_MAX} is most.")
    try:
        text = note.decode()
    except UnicodeDecodeError:
        raise NoteError("note-text", "The note is not UTF-8 text.") from None
    if _CONTROL.search(text):
        raise NoteError("note-text", "The note has control characters in it.")
    body, gap, signatures = text.rpartition("\n\n")
    if not gap or not body or not signatures.endswith("\n"):
        raise NoteError("note-form", "The note is not a text, an empty line and signature lines.")
    lines = signatures[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise NoteError("note-signatures", f"The note has {len(lines)} signatures; {SIGNATURES_MAX} is most.")
    return body + "\n", lines


def _signature_line(line: str) -> tuple[str, bytes, bytes]:
    parts = line.removeprefix(_DASH).split(" ") if line.startswith(_DASH) else []
    value = decode_exactly(parts[1]) if len(parts) == 2 else None
    if value is None or len(value) <= KEY_ID_SIZE or not is_key_name(parts[0]):
        raise NoteError("note-signature-line", "A signature line of the note is not of the documented form.")
    return parts[0], value[:KEY_ID_SIZE], value[KEY_ID_SIZE:]


def decode_exactly(text: str) -> bytes | None:
    """Base64 in its one form, None for anything else."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return data if base64.b64encode(data).decode() == text else None
