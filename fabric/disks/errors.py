"""What a template disk or its catalog can be refused for: a closed set, each with a stable code and a sentence."""

from __future__ import annotations

from collections.abc import Sequence


class DiskError(Exception):
    """Base of all errors of this package. `code` is stable, `message` a sentence, `advice` says what to do."""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice


class ImageError(DiskError):
    """The file that holds the disk cannot be read as the container it says it is."""

    def __init__(self, code: str, message: str, advice: str = "Export or copy the disk again.") -> None:
        super().__init__(code, message, advice)


class FileSystemError(DiskError):
    """A volume's file system cannot be read, or cannot be written to without mounting it. Codes `file-system-*`."""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(code, message, advice)


class PartitionTableError(DiskError):
    """The disk's partition table is not one a template disk may have. Codes `gpt-*`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, "Use a disk with a GUID partition table: one EFI system and one OS partition.")


class CatalogError(DiskError):
    """The volume signature catalog is malformed or not signed by the certificate inside it. Codes `catalog-*`."""

    def __init__(
        self, code: str, message: str, advice: str = "Get the catalog again from the template's publisher."
    ) -> None:
        super().__init__(code, message, advice)


class DiskChanged(DiskError):  # noqa: N818 - reads as a word: raise DiskChanged(...)
    """Bytes of the disk differ from what the publisher signed. Code `disk-changed`.

    `differences` holds (volume name, first byte, byte behind the last) with offsets from the start of the disk.
    """

    def __init__(self, differences: Sequence[tuple[str, int, int]]) -> None:
        name, start, end = differences[0]
        more = f", and {len(differences) - 1} more ranges differ" if len(differences) > 1 else ""
        super().__init__(
            "disk-changed",
            f"The disk is not the one that was signed: its {name} differs in bytes {start} to {end - 1}{more}.",
            "Do not use this copy. Publish the disk again from the publisher's original.",
        )
        self.differences = tuple(differences)
