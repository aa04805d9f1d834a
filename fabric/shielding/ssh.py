"""SSH keys in shielding data: the guest's host key and the keys that may sign in.

The host key plays the part the RDP certificate plays on Windows: the owner made it, keeps its public half, and knows
by it that what answers is a VM made from this shielding data.
"""

from __future__ import annotations

import binascii
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fabric.shielding.errors import ShieldingContentError
from hgs.keyprotection.secret import Secret

AUTHORIZED_KEYS_MAX: Final = 64


def new_host_key() -> Secret:
    """A new Ed25519 host key in OpenSSH's private key format, without passphrase."""
    return Secret(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )


def host_key_line(private_key: Secret) -> str:
    """`ssh-ed25519 AAAA…`, the public half. Raises ShieldingContentError unless it is an open Ed25519 private key."""
    try:
        key = serialization.load_ssh_private_key(private_key.reveal(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ShieldingContentError(
            "ssh-host-key",
            "The SSH host key is not an OpenSSH private key without passphrase.",
            "Make one with: ssh-keygen -t ed25519 -N '' -f ssh_host_ed25519_key",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ShieldingContentError("ssh-host-key", "The SSH host key is not an Ed25519 key.")
    return _public_line(key)


def _public_line(key: Ed25519PrivateKey) -> str:
    encoded = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return encoded.decode()


def check_authorized_keys(text: str) -> str:
    """Public keys, one a line, in one form: comments and empty lines removed. Raises ShieldingContentError."""
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not 0 < len(keys) <= AUTHORIZED_KEYS_MAX:
        raise ShieldingContentError("authorized-keys", f"Give 1 to {AUTHORIZED_KEYS_MAX} public keys, one a line.")
    for line in keys:
        _check_public_key(line)
    return "".join(f"{line}\n" for line in keys)


def _check_public_key(line: str) -> None:
    try:
        serialization.load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        raise ShieldingContentError(
            "authorized-keys",
            f"{line[:40]!r}… is not an SSH public key.",
            "Give the contents of files such as ~/.ssh/id_ed25519.pub, without options.",
        ) from None
