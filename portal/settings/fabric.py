"""Addresses and secrets by which the parts of a fabric know each other."""

import base64
import binascii
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from portal.settings.environment import VAR_DIR, env, secret

# What every part knows
HGS_URL: str = env.str("HGS_URL", default="http://127.0.0.1:8081").rstrip("/")
# A second HGS that hosts use while the first does not answer; both addresses or none. The paths that HGS serves,
# /Attestation and /KeyProtection, may stand at their ends.
HGS_FALLBACK_ATTESTATION_URL: str = env.str("HGS_FALLBACK_ATTESTATION_URL", default="")
HGS_FALLBACK_KEY_PROTECTION_URL: str = env.str("HGS_FALLBACK_KEY_PROTECTION_URL", default="")
if bool(HGS_FALLBACK_ATTESTATION_URL) != bool(HGS_FALLBACK_KEY_PROTECTION_URL):
    raise ImproperlyConfigured(
        "HGS_FALLBACK_ATTESTATION_URL and HGS_FALLBACK_KEY_PROTECTION_URL belong together: give both or neither"
    )
PORTAL_URL: str = env.str("PORTAL_URL", default="http://127.0.0.1:8000").rstrip("/")
# The portal's right to submit to HGS and to read verdicts; it approves nothing.
HGS_FABRIC_TOKEN: str = secret("HGS_FABRIC_TOKEN")

# HGS
HGS_AUTO_APPROVE: bool = env.bool("HGS_AUTO_APPROVE", default=False)


def _master_keys(name: str) -> tuple[bytes, ...]:
    """Keys of 32 bytes in base64, with commas between."""
    try:
        keys = tuple(base64.b64decode(text.strip(), validate=True) for text in secret(name).split(",") if text.strip())
    except binascii.Error as error:
        raise ImproperlyConfigured(f"{name} must be base64 of 32 bytes") from error
    if any(len(key) != 32 for key in keys):
        raise ImproperlyConfigured(f"{name} must be base64 of 32 bytes")
    return keys


def _master_key() -> bytes:
    keys = _master_keys("HGS_MASTER_KEY")
    if len(keys) > 1:
        raise ImproperlyConfigured("HGS_MASTER_KEY must be one key; older ones are given as HGS_MASTER_KEY_OLD")
    return keys[0] if keys else b""


# Encrypts the private keys in HGS's database; 32 bytes, or empty where this process is not HGS.
HGS_MASTER_KEY: bytes = _master_key()
# Older ones, which still open what was encrypted under them; encrypts nothing.
HGS_MASTER_KEY_OLD: tuple[bytes, ...] = _master_keys("HGS_MASTER_KEY_OLD")

# The portal's library of template disks and shielding data (ciphertext and public data only)
LIBRARY_DIR: Path = Path(env.str("LIBRARY_DIR", default=str(VAR_DIR / "library")))
LIBRARY_MAX_BLOB_BYTES: int = env.int("LIBRARY_MAX_BLOB_BYTES", default=64 * 2**30)
# Keys that sign template disks in the fabric console: NAME.pem beside NAME.key, NAME.pfx or NAME.token. Pages read the
# certificates alone; the keys are for the worker's account.
TEMPLATE_SIGNERS_DIR: Path = Path(env.str("TEMPLATE_SIGNERS_DIR", default=str(VAR_DIR / "template-signers")))
# Disks that an operator put here can be signed without an upload
TEMPLATE_IMPORT_DIR: Path = Path(env.str("TEMPLATE_IMPORT_DIR", default=str(VAR_DIR / "template-import")))

# Ports on a host's address that lead to its VMs' SSH servers
ACCESS_PORT_FIRST: int = env.int("ACCESS_PORT_FIRST", default=42000)
ACCESS_PORT_LAST: int = env.int("ACCESS_PORT_LAST", default=44999)

# An emulated host
HYPERVISOR: str = env.str("HYPERVISOR", default="qemu")
HOST_STATE_DIR: Path = Path(env.str("HOST_STATE_DIR", default=str(VAR_DIR / "hosts")))
HOST_TPM_CA_DIR: Path = Path(env.str("HOST_TPM_CA_DIR", default=str(VAR_DIR / "tpm-ca")))
HOST_TOKEN: str = secret("HOST_TOKEN")
HOST_ADDRESS: str = env.str("HOST_ADDRESS", default="127.0.0.1")
# Another TPM than the host's own software TPM, as TSS2 names it, such as device:/dev/tpmrm0
HOST_TPM_TCTI: str = env.str("HOST_TPM_TCTI", default="")
# What the host offers to virtual machines
HOST_VCPUS: int = env.int("HOST_VCPUS", default=8)
HOST_MEMORY_MIB: int = env.int("HOST_MEMORY_MIB", default=8192)
HOST_MAX_VMS: int = env.int("HOST_MAX_VMS", default=8)
# The host profile to boot (healthy, tampered or a file); empty: the one it booted last, healthy the first time
HOST_PROFILE: str = env.str("HOST_PROFILE", default="")
# A host without HGS: it makes a guardian of its own, and nothing protects its virtual machines from it
HOST_LOCAL_MODE: bool = env.bool("HOST_LOCAL_MODE", default=False)
# Shut virtual machines down when the host's agent ends; otherwise they run on and the next agent takes them over
HOST_STOP_VMS: bool = env.bool("HOST_STOP_VMS", default=False)
