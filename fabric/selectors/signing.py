"""What a person chooses from when a template disk is signed."""

from dataclasses import dataclass

from fabric.import_folder import import_files
from fabric.models import TemplateDisk, UnsignedDisk
from portal.kernel.actor import Actor

_MOST = 65535


@dataclass(frozen=True, slots=True)
class DiskChoice:
    """A disk that can be signed. `value` is "upload:" and its id, or "import:" and its file name; `size` in bytes."""

    value: str
    name: str
    size: int
    origin: str
    has_boot_certificate: bool


@dataclass(frozen=True, slots=True)
class NextVersion:
    """A template that is there already, its newest version, and the one that would follow."""

    name: str
    newest: str
    following: str


def disk_choices(actor: Actor) -> list[DiskChoice]:
    """Unsigned disks of the library, newest first, then those of the import folder."""
    uploaded = UnsignedDisk.objects.visible_to(actor).select_related("blob")
    return [
        *(
            DiskChoice(
                f"upload:{disk.pk}", disk.file_name, disk.blob.size,
                f"in the library, imported by {disk.imported_by}", bool(disk.boot_certificate),
            )
            for disk in uploaded
        ),
        *(
            DiskChoice(f"import:{file.name}", file.name, file.size, "in the import folder", file.has_boot_certificate)
            for file in import_files()
        ),
    ]  # fmt: skip


def next_versions(actor: Actor) -> list[NextVersion]:
    """For each template name the version that follows the newest one, retired ones included, by name."""
    newest: dict[str, tuple[int, ...]] = {}
    for name, version in TemplateDisk.objects.visible_to(actor).values_list("name", "version"):
        parts = tuple(int(part) for part in version.split(".") if part.isdecimal())
        if len(parts) == 4:
            newest[name] = max(parts, newest.get(name, parts))
    return [NextVersion(name, _text(parts), _text(_following(parts))) for name, parts in sorted(newest.items())]


def _following(parts: tuple[int, ...]) -> tuple[int, ...]:
    """The last number counted up; a full one carries over to the number before."""
    counted = list(parts)
    for index in reversed(range(len(counted))):
        if counted[index] < _MOST:
            counted[index] += 1
            return tuple(counted)
        counted[index] = 0
    return parts


def _text(parts: tuple[int, ...]) -> str:
    return ".".join(map(str, parts))
