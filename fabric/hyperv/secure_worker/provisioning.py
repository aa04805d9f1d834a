"""Makes a shielded VM's disk, variables, virtual TPM and protected state from a template and shielding data."""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from fabric.disks.blocks import BLOCK_LENGTH
from fabric.disks.catalog import CATALOG_MAX, Role, SignedCatalog, parse_catalog
from fabric.disks.efi_image import EfiImage, parse_efi_image
from fabric.disks.filesystems import file_system_of
from fabric.disks.reading import OpenDisk, open_disk
from fabric.hyperv import boot_measurement, luks, secure_boot, vm_folder, vm_state, vtpm
from fabric.hyperv.errors import HostError
from fabric.hyperv.memory_files import memory_file, open_path
from fabric.hyperv.sector_cipher import KEY_LENGTH
from fabric.hyperv.secure_worker.disk_making import CHUNK, Part, making_disk, patch
from fabric.hyperv.secure_worker.disk_plan import DiskPlan, plan_disk
from fabric.hyperv.secure_worker.file_placing import place_files
from fabric.hyperv.secure_worker.orders import Progress, ProvisionOrder, Release
from fabric.hyperv.secure_worker.release import asked, roll
from fabric.hyperv.secure_worker.specialisation import check_kind, specialised_files
from fabric.hyperv.secure_worker.verified_volume import VerifiedVolume
from fabric.hyperv.state import write_whole
from fabric.hyperv.system_tools import run_tool
from fabric.shielding.pdk import PDK_MAX, Pdk, ShieldingSecrets, open_pdk, parse_pdk
from fabric.shielding.recovery import RECOVERY_KEY_SIZE, escrow
from fabric.shielding.viq import Refused
from hgs.keyprotection.release import Released
from hgs.keyprotection.secret import Secret


@dataclass(frozen=True)
class _Opened:
    """The shielding data in plain."""

    released: Released
    secrets: ShieldingSecrets
    files: Mapping[str, Secret]


def provision(order: ProvisionOrder, release: Release, progress: Progress) -> dict[str, object]:
    """Carry out the order; gives the public facts of the new VM. Raises the errors of the packages it uses.

    The disk begins to be made before the keys are asked for: it needs none of them, and HGS takes its time. Whoever is
    refused them gets no disk either. All else is done while it is made.
    """
    progress("release-keys", 0, "Checking which template disks the shielding data trusts")
    catalog = parse_catalog(_read(order.catalog, CATALOG_MAX)).verify()
    pdk = parse_pdk(_read(order.pdk, PDK_MAX))
    _check_trust(pdk, catalog)
    passphrase, vtpm_key = Secret(os.urandom(luks.PASSPHRASE_LENGTH)), Secret(os.urandom(vtpm.KEY_LENGTH))
    recovery_key = Secret(os.urandom(RECOVERY_KEY_SIZE)) if pdk.escrows_recovery_key else None
    passphrases = (passphrase,) if recovery_key is None else (passphrase, recovery_key)
    with _disk(order) as disk:
        plan = plan_disk(disk, catalog, uuid.uuid4)
        with _being_made(order, plan, disk, catalog, passphrases) as finish:
            with _virtual_tpm(order, vtpm_key):
                opened = _open(pdk, order, release, progress)
                progress("seal", 0, "Sealing the key into the virtual TPM")
                policy = _expected_boot(order, catalog, disk)
            with vtpm.running(order.folder / vm_folder.VTPM, vtpm_key) as tpm:
                vtpm.seal(tpm, passphrase, policy)
            finish(opened.files, progress)
    released = opened.released
    state = vm_state.protect(order.spec.id, released.egress_protector, released.egress, vtpm_key, os.urandom)
    write_whole(order.folder / vm_folder.STATE, state.serialise())
    facts = _public_facts(pdk, catalog, opened.secrets)
    if recovery_key is not None:
        document = escrow(uuid.UUID(order.spec.id), pdk, released.ingress, recovery_key, os.urandom)
        write_whole(order.folder / vm_folder.RECOVERY_KEY, document)
        facts["recovery_key"] = base64.b64encode(document).decode()
    return facts


def _open(pdk: Pdk, order: ProvisionOrder, release: Release, progress: Progress) -> _Opened:
    progress("release-keys", 30, f"Asking {asked(order)} for the keys")
    released = roll(pdk.key_protector, order, release)
    progress("open-shielding-data", 0, "Opening the shielding data")
    secrets = open_pdk(pdk, released.ingress)
    return _Opened(released, secrets, specialised_files(secrets, order.spec))


@contextmanager
def _disk(order: ProvisionOrder) -> Iterator[OpenDisk]:
    try:
        with open_disk(order.template) as disk:
            yield disk
    except EOFError:
        raise HostError(
            "disk-unreadable", "The copy of the template disk is cut short.", "Retry; the host fetches it anew."
        ) from None


Finish = Callable[[Mapping[str, Secret], Progress], None]
"""Given the files of the shielding data, it waits for the disk, compares it with its catalog and places them there."""


@contextmanager
def _being_made(
    order: ProvisionOrder, plan: DiskPlan, disk: OpenDisk, catalog: SignedCatalog, passphrases: Sequence[Secret]
) -> Iterator[Finish]:
    """The VM's disk comes to be, in one pass that also tells what to verify. What it gives raises `DiskChanged`."""
    volume_key = Secret(os.urandom(KEY_LENGTH))
    parts = plan.parts(volume_key)
    with (order.folder / vm_folder.DISK).open("x+b") as stream:
        target = stream.fileno()
        plan.write_frame(target)
        by = catalog.catalog.hashed_by[-1]
        with making_disk(disk, target, parts, by) as making:
            os.pwrite(target, luks.format_header(volume_key, *passphrases), plan.system.offset)

            def finish(files: Mapping[str, Secret], progress: Progress) -> None:
                progress("verify-template", 0, "Comparing the template disk with its catalog, and encrypting it")
                catalog.check_volumes(making.hashes(partial(_tell_verified, progress)), by)
                system = next(part for part in parts if part.role is Role.OPERATING_SYSTEM)
                _specialise(VerifiedVolume(disk, catalog.catalog.volume(system.role)), target, system, files, progress)

            yield finish


def _specialise(
    volume: VerifiedVolume, target: int, system: Part, files: Mapping[str, Secret], progress: Progress
) -> None:
    progress("specialise", 0, "Placing the shielding data into the OS volume")
    check_kind(files, file_system_of(volume.read))
    changes = place_files(volume.read, system.length, files)
    progress("encrypt", 0, "Encrypting what was placed there")
    patch(target, system, changes)
    progress("encrypt", 50, "Waiting until the disk is stored")
    os.fsync(target)
    progress("encrypt", 100, "The OS volume is encrypted")


def _tell_verified(progress: Progress, done: int, total: int) -> None:
    """The step ends with the next one: what is compared after the last block may still refuse the disk."""
    percent = min(done * 100 // total, 99)
    if percent > (done - CHUNK) * 100 // total:
        progress("verify-template", percent, "Comparing the template disk, and encrypting it")


def _check_trust(pdk: Pdk, catalog: SignedCatalog) -> None:
    decision = pdk.applies_to(catalog)
    if isinstance(decision, Refused):
        raise HostError(
            f"template-not-trusted-{decision.code}",
            f"The owner's shielding data does not trust this template disk: {decision.reason}",
            "Choose a template that the shielding data names, or make shielding data for this one.",
        )


@contextmanager
def _virtual_tpm(order: ProvisionOrder, key: Secret) -> Iterator[None]:
    folder = order.folder / vm_folder.VTPM
    folder.mkdir(mode=0o700)
    with vtpm.being_made(folder, key):
        yield


def _expected_boot(order: ProvisionOrder, catalog: SignedCatalog, disk: OpenDisk) -> bytes:
    """Write the firmware's variables; gives the policy of what will be measured when the VM boots with them."""
    program = _boot_program(VerifiedVolume(disk, catalog.catalog.volume(Role.EFI_SYSTEM)))
    platform = secure_boot.throwaway_platform_certificate(order.spec.id, datetime.now(UTC))
    variables = secure_boot.variables_for(catalog.catalog.boot_certificate, platform)
    secure_boot.write_variable_store(variables, order.folder / vm_folder.VARIABLES)
    return boot_measurement.pcr_policy(boot_measurement.predict(program, variables))


def _boot_program(efi: VerifiedVolume) -> EfiImage:
    """Of bytes that are verified as they are read: what the key is sealed to must not come from a file of the host."""
    with memory_file("efi-system", length=efi.length) as volume:
        for start in range(0, efi.length, BLOCK_LENGTH):
            block = efi.read(start, BLOCK_LENGTH)
            if block.strip(b"\0"):
                os.pwrite(volume, block, start)
        command = ["mcopy", "-n", "-i", open_path(volume), "::/EFI/BOOT/BOOTX64.EFI", "-"]
        return parse_efi_image(run_tool(command, keep=(volume,)).stdout)


def _public_facts(pdk: Pdk, catalog: SignedCatalog, secrets: ShieldingSecrets) -> dict[str, object]:
    return {
        "policy": str(pdk.policy),
        "owner": pdk.owner_fingerprint,
        "disk_name": catalog.disk_name,
        "disk_version": catalog.version,
        "signer": catalog.signer_fingerprint.hex(),
        "boot_certificate": hashlib.sha256(catalog.catalog.boot_certificate).hexdigest(),
        "ssh_host_key": _ssh_fingerprint(secrets),
        "sealed_pcrs": list(boot_measurement.SEALED_PCRS),
    }


def _ssh_fingerprint(secrets: ShieldingSecrets) -> str | None:
    """As `ssh` shows it: SHA256:… of the *public* half of the guest's host key; None if it cannot be read."""
    if secrets.ssh_host_key is None:
        return None
    try:
        key = serialization.load_ssh_private_key(secrets.ssh_host_key.reveal(), password=None)
    except (ValueError, TypeError):
        return None
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise HostError("file-too-large", f"{path.name} has more than {limit} bytes.")
    return data
