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
class HostConfig:
    """A host's folder and its surroundings.

    `external_tcti` is empty where the host has its own software TPM, `named_keytab` where none is configured, and
    `hgs_principal` where the Kerberos principal of HGS follows from its address.
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
        hgs_url=settings.HGS_URL,
        library=LibraryAddress(settings.PORTAL_URL, settings.HOST_TOKEN),
        broker_url=settings.CELERY_BROKER_URL,
        hypervisor=settings.HYPERVISOR,
        address=settings.HOST_ADDRESS,
        tpm_ca=settings.HOST_TPM_CA_DIR.resolve(),
        external_tcti=settings.HOST_TPM_TCTI,
        capacity=Capacity(settings.HOST_VCPUS, settings.HOST_MEMORY_MIB, settings.HOST_MAX_VMS),
        named_keytab=settings.HOST_KEYTAB,
        hgs_principal=settings.HOST_HGS_PRINCIPAL,
    )
