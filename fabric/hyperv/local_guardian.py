"""The guardian that a host in local mode makes for itself: its keys lie in a file, so nothing is safe from the host.

It is called UntrustedGuardian, as the original's, and opens only what an owner granted to it by name. The file is PEM:
signing certificate and key, encryption certificate and key (PKCS #8, not encrypted).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from fabric.hyperv.errors import StateError
from fabric.hyperv.locks import exclusive
from fabric.hyperv.state import write_whole
from hgs.keyprotection.errors import GuardianError
from hgs.keyprotection.guardian import GuardianKeys, create_guardian_keys, guardian_keys_from
from hgs.keyprotection.metadata import create_communications_key, serialise_metadata

NAME: Final = "UntrustedGuardian"
_END: Final = b"-----END"
_SECONDS: Final = 60.0
_FILE_MAX: Final = 64 * 1024


def keep_local_guardian(path: Path) -> GuardianKeys:
    """The guardian in `path`, made at first need. Raises `StateError`."""
    with exclusive(path.with_suffix(".lock"), seconds=_SECONDS, what="The host's own guardian"):
        if not path.exists():
            write_whole(path, _serialise(create_guardian_keys(NAME, dt.datetime.now(dt.UTC))))
        return read_local_guardian(path)


def read_local_guardian(path: Path) -> GuardianKeys:
    """The guardian in `path`. Raises `StateError`."""
    advice = "Remove the file and start the host: it makes another one, and owners must grant to that."
    try:
        _require_private(path)
        with path.open("rb") as file:
            blocks = _blocks(file.read(_FILE_MAX))
        certificates = [x509.load_pem_x509_certificate(blocks[index]).public_bytes(Encoding.DER) for index in (0, 2)]
        signing, encryption = (_private(blocks[index]) for index in (1, 3))
        return guardian_keys_from(NAME, certificates[0], signing, certificates[1], encryption)
    except FileNotFoundError:
        raise StateError("This host has no guardian of its own yet.") from None
    except (OSError, ValueError, GuardianError):
        raise StateError(f"The host's own guardian {path} cannot be read.", advice) from None


def local_metadata(path: Path) -> bytes:
    """Its guardian metadata, which an owner imports to grant to it; the guardian is made at first need."""
    guardian = keep_local_guardian(path).guardian
    return serialise_metadata(guardian, create_communications_key(NAME, dt.datetime.now(dt.UTC)))


def _require_private(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        raise StateError(f"Others can read the host's own guardian {path}.", f"Make a new one, or: chmod 600 {path}")


def _serialise(keys: GuardianKeys) -> bytes:
    def private(key: rsa.RSAPrivateKey) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def certificate(der: bytes) -> bytes:
        return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)

    guardian = keys.guardian
    return b"".join(
        (
            certificate(guardian.signing_certificate),
            private(keys.signing_key),
            certificate(guardian.encryption_certificate),
            private(keys.encryption_key),
        )
    )


def _private(data: bytes) -> rsa.RSAPrivateKey:
    # This host made them, and whoever can change the file has them; to test their primes takes a quarter of a second.
    key = load_pem_private_key(data, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("a key of it is no RSA key")  # noqa: TRY004 - what is wrong is a value in a file
    return key


def _blocks(data: bytes) -> list[bytes]:
    """The four PEM blocks."""
    lines, blocks = data.splitlines(keepends=True), [b""]
    for line in lines:
        blocks[-1] += line
        if line.startswith(_END):
            blocks.append(b"")
    if len(blocks) != 5 or blocks[-1]:
        raise ValueError("it has not four parts")
    return blocks[:4]
