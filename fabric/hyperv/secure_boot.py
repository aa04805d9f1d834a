"""The Secure Boot variables of a VM: one platform key nobody holds, and the template's boot certificate alone in db.

The variables written to the VM's NVRAM and the variables whose measurement is predicted come from one place, here
(UEFI 2.10, sections 8.2 and 32.4.1; OVMF's variable store through virt-firmware).
"""

from __future__ import annotations

import hashlib
import logging
import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from virt.firmware.efi import efivar, guids, ucs16
from virt.firmware.varstore import edk2

from fabric.hyperv.errors import HostError

FIRMWARE: Final = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
EMPTY_VARIABLES: Final = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

GLOBAL: Final = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
IMAGE_SECURITY: Final = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
_X509: Final = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
_SHA256: Final = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328")
# Who put a key there: this project. The value is measured, so it must never change.
OWNER: Final = uuid.UUID("5b1e0e0a-6d0f-4f0e-9b57-3f2a5d6f9c11")


@dataclass(frozen=True, slots=True)
class SecureBootVariables:
    """Contents of PK, KEK, db and dbx: EFI signature lists, as firmware keeps and measures them."""

    platform_key: bytes
    key_exchange_keys: bytes
    allowed: bytes
    forbidden: bytes
    authority: bytes

    def in_measured_order(self) -> tuple[tuple[str, uuid.UUID, bytes], ...]:
        """(name, vendor GUID, contents) in the order in which firmware measures them into PCR 7."""
        return (
            ("PK", GLOBAL, self.platform_key),
            ("KEK", GLOBAL, self.key_exchange_keys),
            ("db", IMAGE_SECURITY, self.allowed),
            ("dbx", IMAGE_SECURITY, self.forbidden),
        )


def variables_for(boot_certificate: bytes, platform_certificate: bytes) -> SecureBootVariables:
    """Variables that let only images signed by `boot_certificate` boot (both DER)."""
    platform = _signature_list(_X509, platform_certificate)
    # A list must not be empty; the hash of nothing forbids nothing.
    nothing = _signature_list(_SHA256, hashlib.sha256(b"").digest())
    return SecureBootVariables(
        platform, platform, _signature_list(_X509, boot_certificate), nothing, OWNER.bytes_le + boot_certificate
    )


def throwaway_platform_certificate(name: str, now: datetime) -> bytes:
    """A certificate (DER) whose private key is dropped at once: nobody can ever sign a change of the VM's keys."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Platform key of {name}"[:64])])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=365 * 30))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def write_variable_store(variables: SecureBootVariables, target: Path, empty: Path = EMPTY_VARIABLES) -> None:
    """Write the VM's NVRAM: OVMF's empty store with these variables and Secure Boot on. Raises `HostError`."""
    if not empty.exists():
        raise HostError("firmware-missing", f"The VM firmware {empty} is not there.", "Install the package ovmf.")
    # The library reports each step to the root logger.
    logging.getLogger().setLevel(max(logging.getLogger().level, logging.WARNING))
    store = edk2.Edk2VarStore(str(empty))
    entries = store.get_varlist()
    for name, vendor, contents in variables.in_measured_order():
        variable = efivar.EfiVar(ucs16.from_string(name), guid=guids.parse_str(str(vendor)), data=contents)
        variable.attr = efivar.efivar_defaults[name]["attr"]
        variable.update_time(datetime(2010, 1, 1, tzinfo=UTC))
        entries[name] = variable
    entries.set_bool("SecureBootEnable", True)
    entries.set_bool("CustomMode", False)
    # As the library's bytes_varstore, which adds the rest byte by byte: that takes more than a second.
    written = (store.filedata[: store.start] + store.bytes_varlist(entries)).ljust(store.end, b"\xff")
    target.write_bytes(written + store.filedata[store.end :])


def _signature_list(kind: uuid.UUID, contents: bytes) -> bytes:
    # EFI_SIGNATURE_LIST with one EFI_SIGNATURE_DATA (UEFI 2.10, 32.4.1)
    size = 16 + len(contents)
    return kind.bytes_le + struct.pack("<III", 28 + size, 0, size) + OWNER.bytes_le + contents
