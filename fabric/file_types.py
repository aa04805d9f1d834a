"""What the beginning of a file says it is: enough to refuse a wrong file after its first bytes."""

from typing import Final

from fabric.models import BlobKind
from fabric.shielding.pdk_form import NAMESPACES
from portal.kernel.errors import Invalid

HEAD_BYTES: Final = 1024
"""How much of a file's beginning is looked at."""
_SECTOR: Final = 512
_VHDX: Final = b"vhdxfile"
_GPT: Final = b"EFI PART"
_PDK: Final = tuple(f'<ShieldingData xmlns="{namespace}"'.encode() for namespace in NAMESPACES.values())


def check_beginning(kind: BlobKind, head: bytes, *, is_whole: bool) -> None:
    """Refuse what cannot be a file of this kind; raises `Invalid` (`shielding-data-invalid`, `disk-not-gpt`).

    `head` are the first bytes that are here, all of the file if `is_whole`; too few of them to tell is no refusal yet.
    """
    match kind:
        case BlobKind.SHIELDING_DATA:
            if not any(_may_begin(head, wanted, is_whole) for wanted in _PDK):
                raise _not_a_pdk()
        case BlobKind.TEMPLATE_DISK:
            if not _may_begin(head, _VHDX, is_whole) and not _may_be_raw(head, is_whole):
                raise not_a_disk()


def _may_begin(head: bytes, wanted: bytes, is_whole: bool) -> bool:
    return head.startswith(wanted) or (not is_whole and wanted.startswith(head))


def _may_be_raw(head: bytes, is_whole: bool) -> bool:
    return _may_begin(head[_SECTOR:], _GPT, is_whole)


def _not_a_pdk() -> Invalid:
    return Invalid(
        "shielding-data-invalid",
        "This is not a shielding data file: it does not begin like one.",
        "Choose the .pdk file that gf pdk new wrote, unchanged.",
        fields={"file": "Not a shielding data file: it does not begin like one."},
    )


def not_a_disk() -> Invalid:
    """The refusal of a file that is neither a VHDX nor a raw disk with a GUID partition table."""
    return Invalid(
        "disk-not-gpt",
        "This file is neither a VHDX nor a raw disk with a GUID partition table (GPT).",
        "Shielded VMs need a GPT disk. Build one with gf template build, sign it and upload it again.",
        fields={"disk": "Not a GPT disk."},
    )
