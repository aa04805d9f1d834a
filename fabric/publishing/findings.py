"""What an inspection of a disk found, as plain values that can be kept and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cryptography import x509

from fabric.disks.errors import DiskError
from fabric.disks.filesystems import FileSystem
from fabric.publishing.errors import PublishingError
from fabric.publishing.images import container_of, open_image
from fabric.publishing.inspection import inspect_disk, partition_table

_CONTAINERS: Final = {"raw": "raw", "vhdx": "VHDX", "vpc": "VHD", "qcow2": "qcow2"}
_GENERALISED: Final = {
    FileSystem.EXT4: "There is no machine ID and no SSH host key on it.",
    FileSystem.NTFS: "Sysprep has left its mark on it.",
}
_NOT_TOLD: Final = "Cannot be told from outside for this file system; see to it yourself."


def find_out(path: Path, boot_certificate: x509.Certificate | None) -> dict[str, Any]:
    """Look at a disk. Gives `container`, `length`, `data` (bytes), `partitions` (name, offset, length), and then either
    `refusal` (code, message, advice) or `file_system`, `generalised` and `boot_program` (sentences).

    Raises `PublishingError` and `DiskError` where the file cannot be opened as a disk at all, OSError.
    """
    found: dict[str, Any] = {"container": _CONTAINERS[container_of(path).value], "partitions": []}
    with open_image(path) as disk:
        found |= {"length": disk.layout.length, "data": disk.layout.data_length}
        try:
            found["partitions"] = [
                {"name": part.name or str(part.type_id), "offset": part.offset, "length": part.length}
                for part in partition_table(disk).partitions
            ]
            kind = inspect_disk(disk, boot_certificate).file_system
        except (DiskError, PublishingError) as error:
            return found | {"refusal": refusal(error)}
    return found | {
        "file_system": kind.value,
        "generalised": _GENERALISED.get(kind, _NOT_TOLD),
        "boot_program": "EFI/BOOT/BOOTX64.EFI, signed by the boot certificate; what it will measure can be told."
        if boot_certificate
        else "EFI/BOOT/BOOTX64.EFI; what it will measure can be told. Its signature was not looked at.",
    }


def refusal(error: DiskError | PublishingError) -> dict[str, str]:
    """An error as a finding."""
    return {"code": error.code, "message": error.message, "advice": error.advice}
