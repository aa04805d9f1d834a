"""Makes a shielded VM's disk, variables, virtual TPM and protected state from a template and shielding data."""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from fabric.disks.catalog import CATALOG_MAX, SignedCatalog, parse_catalog
from fabric.disks.efi_image import EfiImage, parse_efi_image
from fabric.disks.gpt import EFI_SYSTEM, SECTOR, PartitionTable
from fabric.hyperv import boot_measurement, luks, secure_boot, vm_folder, vm_state, vtpm
from fabric.hyperv.errors import HostError
from fabric.hyperv.memory_files import open_path
from fabric.hyperv.secure_worker.orders import Progress, ProvisionOrder, Release
from fabric.hyperv.secure_worker.release import asked, roll
from fabric.hyperv.secure_worker.specialisation import specialised_files, write_files
from fabric.hyperv.secure_worker.template_copy import TemplateCopy, verified_copy
from fabric.hyperv.state import write_whole
from fabric.hyperv.system_tools import run_tool
from fabric.shielding.pdk import PDK_MAX, Pdk, ShieldingSecrets, open_pdk, parse_pdk
from fabric.shielding.viq import Refused
from hgs.keyprotection.release import Released
from hgs.keyprotection.secret import Secret

_PIECE = 1024 * 1024


def provision(order: ProvisionOrder, release: Release, progress: Progress) -> dict[str, object]:
    """Carry out the order; gives the public facts of the new VM. Raises the errors of the packages it uses."""
    progress("release-keys", 0, "Checking which template disks the shielding data trusts")
    catalog = parse_catalog(_read(order.catalog, CATALOG_MAX)).verify()
    pdk = parse_pdk(_read(order.pdk, PDK_MAX))
    _check_trust(pdk, catalog)
    progress("release-keys", 30, f"Asking {asked(order)} for the keys")
    released = roll(pdk.key_protector, order, release)
    progress("open-shielding-data", 0, "Opening the shielding data")
    secrets = open_pdk(pdk, released.ingress)
    files = specialised_files(secrets, order.spec)
    progress("verify-template", 0, "Comparing the template disk with its catalog")
    with verified_copy(order.template, catalog, partial(_tell_verified, progress)) as template:
        progress("specialise", 0, "Placing the shielding data into the OS volume")
        write_files(template.operating_system, files)
        key = _write_disk(order.folder / vm_folder.DISK, template, progress)
        progress("seal", 0, "Sealing the key into the virtual TPM")
        _seal(order, catalog, template, released, key)
    return _public_facts(pdk, catalog, secrets)


def _tell_verified(progress: Progress, percent: int) -> None:
    """The step ends with the next one: what is compared after the last block may still refuse the disk."""
    progress("verify-template", min(percent, 99), "Comparing the template disk")


def _check_trust(pdk: Pdk, catalog: SignedCatalog) -> None:
    decision = pdk.applies_to(catalog)
    if isinstance(decision, Refused):
        raise HostError(
            f"template-not-trusted-{decision.code}",
            f"The owner's shielding data does not trust this template disk: {decision.reason}",
            "Choose a template that the shielding data names, or make shielding data for this one.",
        )


def _write_disk(target: Path, template: TemplateCopy, progress: Progress) -> Secret:
    """Write the VM's disk; gives the passphrase of its OS volume."""
    progress("encrypt", 0, "Encrypting the OS volume")
    table = _enlarged(template.table)
    primary, backup = table.serialise()
    efi = table.of_type(EFI_SYSTEM)[0]
    system = next(item for item in table.partitions if item.type_id != EFI_SYSTEM)
    volume_key = Secret(os.urandom(luks.VOLUME_KEY_LENGTH))
    passphrase = Secret(os.urandom(luks.PASSPHRASE_LENGTH))
    with target.open("xb") as stream:
        stream.truncate(table.disk_length)
        stream.write(primary)
        os.pwrite(stream.fileno(), backup, table.disk_length - len(backup))
        for start in range(0, template.efi_length, _PIECE):
            piece = os.pread(template.efi_system, min(_PIECE, template.efi_length - start), start)
            os.pwrite(stream.fileno(), piece, efi.offset + start)
    header = luks.format_header(volume_key, passphrase)
    luks.write_volume(target, system.offset, header, volume_key, template.operating_system, template.os_length)
    progress("encrypt", 100, "The OS volume is encrypted")
    return passphrase


def _enlarged(table: PartitionTable) -> PartitionTable:
    """The VM's own table: new ids, and an OS partition with room for the encryption header."""
    system = next(item for item in table.partitions if item.type_id != EFI_SYSTEM)
    grown = luks.HEADER_LENGTH // SECTOR
    if any(item.first_sector > system.first_sector for item in table.partitions):
        raise HostError("template-layout", "A template's OS partition must be the last one on its disk.")
    partitions = tuple(
        replace(item, unique_id=uuid.uuid4(), last_sector=item.last_sector + (grown if item is system else 0))
        for item in table.partitions
    )
    sectors, last = table.sectors + grown, table.last_usable + grown
    return PartitionTable(uuid.uuid4(), sectors, table.first_usable, last, partitions)


def _seal(
    order: ProvisionOrder, catalog: SignedCatalog, template: TemplateCopy, released: Released, passphrase: Secret
) -> None:
    folder = order.folder
    platform = secure_boot.throwaway_platform_certificate(order.spec.id, datetime.now(UTC))
    variables = secure_boot.variables_for(catalog.catalog.boot_certificate, platform)
    secure_boot.write_variable_store(variables, folder / vm_folder.VARIABLES)
    policy = boot_measurement.pcr_policy(boot_measurement.predict(_boot_program(template), variables))
    vtpm_key = Secret(os.urandom(vtpm.KEY_LENGTH))
    (folder / vm_folder.VTPM).mkdir(mode=0o700)
    vtpm.manufacture(folder / vm_folder.VTPM, vtpm_key)
    with vtpm.running(folder / vm_folder.VTPM, vtpm_key) as tpm:
        vtpm.seal(tpm, passphrase, policy)
    state = vm_state.protect(order.spec.id, released.egress_protector, released.egress, vtpm_key, os.urandom)
    write_whole(folder / vm_folder.STATE, state.serialise())


def _boot_program(template: TemplateCopy) -> EfiImage:
    command = ["mcopy", "-n", "-i", open_path(template.efi_system), "::/EFI/BOOT/BOOTX64.EFI", "-"]
    return parse_efi_image(run_tool(command, keep=(template.efi_system,)).stdout)


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
