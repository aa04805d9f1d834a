"""What one host process needs to know, read once from the settings."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from fabric.hyperv.state import HostState
from fabric.hyperv.storage import LibraryAddress
from fabric.hyperv.tpm import HostTpmAccess

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the host offers to virtual machines."""

    vcpus: int
    memory_mib: int
    max_vms: int

    def to_json(self) -> dict[str, int]:
        return {"vcpus": self.vcpus, "memory_mib": self.memory_mib, "max_vms": self.max_vms}


@dataclass(frozen=True, slots=True)
class HgsAddress:
    """Where one HGS attests and where it releases keys: base addresses, below which the services have their paths."""

    attestation: str
    key_protection: str


@dataclass(frozen=True, slots=True)
class HostConfig:
    """A host's folder and its surroundings.

    `hgs_url` is empty in local mode, where the host asks no HGS. `external_tcti` is empty where the host has its own
    software TPM, `named_keytab` where none is configured, and `hgs_principal` where the Kerberos principal of HGS
    follows from its address.
    """

    state: HostState
    hgs_url: str
    library: LibraryAddress
    broker_url: str
    hypervisor: str
    address: str
    tpm_ca: Path
    external_tcti: str
    capacity: Capacity
    named_keytab: str = ""
    hgs_principal: str = ""
    fallback: HgsAddress | None = None

    @property
    def local_mode(self) -> bool:
        """Whether the host keeps the keys of its virtual machines itself, without HGS and without protection."""
        return not self.hgs_url

    @property
    def primary(self) -> HgsAddress:
        """The HGS that is asked first."""
        return HgsAddress(self.hgs_url, self.hgs_url)

    @property
    def local_guardian(self) -> Path | None:
        """The host's own guardian, in local mode alone."""
        return self.state.local_guardian if self.local_mode else None

    @property
    def keytab(self) -> Path | None:
        """The keytab of the host's computer account: the configured one, else that in its folder, else none."""
        if self.named_keytab:
            return Path(self.named_keytab)
        return self.state.keytab if self.state.keytab.is_file() else None

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def tcti(self) -> str:
        return self.external_tcti or self.state.tpm.tcti

    @property
    def tpm_access(self) -> HostTpmAccess:
        """What the secure worker gets to know about the TPM."""
        return HostTpmAccess(self.tcti, self.state.tpm_lock, self.state.identity_key)


def host_config(name: str) -> HostConfig:
    """The configuration of host `name` from the settings. Raises `StateError` for a name that no host can have."""
    return HostConfig(
        state=HostState.of(settings.HOST_STATE_DIR, name),
        hgs_url="" if settings.HOST_LOCAL_MODE else settings.HGS_URL,
        library=LibraryAddress(settings.PORTAL_URL, settings.HOST_TOKEN),
        broker_url=settings.CELERY_BROKER_URL,
        hypervisor=settings.HYPERVISOR,
        address=settings.HOST_ADDRESS,
        tpm_ca=settings.HOST_TPM_CA_DIR.resolve(),
        external_tcti=settings.HOST_TPM_TCTI,
        capacity=Capacity(settings.HOST_VCPUS, settings.HOST_MEMORY_MIB, settings.HOST_MAX_VMS),
        named_keytab=settings.HOST_KEYTAB,
        hgs_principal=settings.HOST_HGS_PRINCIPAL,
        fallback=_fallback(),
    )


def _fallback() -> HgsAddress | None:
    if not settings.HGS_FALLBACK_ATTESTATION_URL:
        return None
    return HgsAddress(
        _base(settings.HGS_FALLBACK_ATTESTATION_URL, "/attestation"),
        _base(settings.HGS_FALLBACK_KEY_PROTECTION_URL, "/keyprotection"),
    )


def _base(url: str, path: str) -> str:
    """The address without the service's own path, which the original writes at its end."""
    url = url.rstrip("/")
    return url[: -len(path)] if url.lower().endswith(path) else url
