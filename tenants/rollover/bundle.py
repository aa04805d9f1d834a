"""Rollover bundles: what the portal hands to an owner, and what comes back (docs/formats/rollover-bundle.md).

A ZIP file with `manifest.json`, `vm/<id>.xml` (key protectors) and `shielding-data/<id>.pdk`, and nothing else. The
manifest names each file with its SHA-256; a result names with each also what it replaces. Nothing in a bundle is
secret, and nothing in it is to be believed because it is in a bundle: key protectors and shielding data carry their
own signatures, and whoever reads them verifies those.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any, Final

from fabric.shielding.pdk import PDK_MAX
from hgs.keyprotection.protector_form import PROTECTOR_MAX
from hgs.wire.bounded_zip import open_bounded
from tenants.rollover.errors import BundleError

OBJECTS_MAX: Final = 10_000
TOTAL_MAX: Final = 64 * 2**20
"""All files of a bundle together, as they are after unpacking."""
FILE_MAX: Final = 32 * 2**20
"""The bundle itself."""
MANIFEST: Final = "manifest.json"
MANIFEST_MAX: Final = 8 * 2**20
"""The largest of its files."""
_DIRECTORY_MAX: Final = 128 * (OBJECTS_MAX + 1)
"""An object takes 101 bytes there at most; programs that pack anew add times and owners."""
_VERSION: Final = 1
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_ADVICE: Final = "Get the file again and keep it unchanged."
_UNREADABLE: Final = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError,
    ValueError, OverflowError,
)  # fmt: skip


class ObjectKind(StrEnum):
    """What an object of a bundle is."""

    VM = "vm"
    SHIELDING_DATA = "shielding-data"


class BundleKind(StrEnum):
    """`work` goes from the portal to the owner, `result` comes back."""

    WORK = "work"
    RESULT = "result"


_FORMS: Final[Mapping[ObjectKind, tuple[str, int]]] = {
    ObjectKind.VM: (".xml", PROTECTOR_MAX),
    ObjectKind.SHIELDING_DATA: (".pdk", PDK_MAX),
}


@dataclass(frozen=True, slots=True)
class WantedGuardian:
    """The guardian that every object should name: SHA-256 of its signing and of its encryption certificate, hex."""

    signing: str
    encryption: str


@dataclass(frozen=True, slots=True)
class BundleItem:
    """One object. `id` is a UUID; `replaces` is the SHA-256 of the file it was made from, empty in a work file."""

    kind: ObjectKind
    id: str
    name: str
    content: bytes
    replaces: str = ""

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, hex."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def path(self) -> str:
        """Where it lies in the bundle."""
        return f"{self.kind}/{self.id}{_FORMS[self.kind][0]}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as read: well formed, its contents not yet verified."""

    kind: BundleKind
    guardian: WantedGuardian
    items: tuple[BundleItem, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """One object as the manifest names it."""

    kind: ObjectKind
    id: str
    name: str
    sha256: str
    replaces: str

    @property
    def path(self) -> str:
        return f"{self.kind}/{self.id}{_FORMS[self.kind][0]}"


def write_bundle(target: IO[bytes], bundle: Bundle) -> None:
    """Write a bundle. Raises BundleError where it would exceed what a reader accepts."""
    lines = [_Line(item.kind, item.id, item.name, item.sha256, item.replaces) for item in bundle.items]
    _check_lines(lines, bundle.kind)
    if sum(len(item.content) for item in bundle.items) > TOTAL_MAX:
        raise _too_large()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST, _EPOCH), _manifest(bundle.kind, bundle.guardian, lines))
        for item in bundle.items:
            if not 0 < len(item.content) <= _FORMS[item.kind][1]:
                raise BundleError("bundle-object-size", f"{item.path} is empty or larger than allowed.")
            info = zipfile.ZipInfo(item.path, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, item.content)


def read_bundle(source: IO[bytes], kind: BundleKind) -> Bundle:
    """Read a bundle of this kind from a seekable file. Raises BundleError."""
    source.seek(0, 2)
    if source.tell() > FILE_MAX:
        raise _too_large()
    try:
        with open_bounded(source, directory_max=_DIRECTORY_MAX, read_max=MANIFEST_MAX + 1) as archive:
            return _read(archive, kind)
    except _UNREADABLE as error:
        raise BundleError("bundle-damaged", "The file is not a rollover bundle, or is damaged.", _ADVICE) from error


def _read(archive: zipfile.ZipFile, kind: BundleKind) -> Bundle:
    held = archive.infolist()
    if len(held) > OBJECTS_MAX + 1:
        raise BundleError("bundle-objects", f"A rollover bundle has at most {OBJECTS_MAX} objects.")
    files = {info.filename: info for info in held}
    if len(files) != len(held) or MANIFEST not in files:
        raise BundleError("bundle-files", "The bundle has no manifest, or a file twice.", _ADVICE)
    guardian, lines = _parse_manifest(_content(archive, files[MANIFEST], MANIFEST_MAX), kind)
    if {line.path for line in lines} | {MANIFEST} != set(files):
        raise BundleError("bundle-files", "The bundle does not hold exactly what its manifest names.", _ADVICE)
    if sum(files[line.path].file_size for line in lines) > TOTAL_MAX:
        raise _too_large()
    return Bundle(kind, guardian, tuple(_item(archive, files[line.path], line) for line in lines))


def _item(archive: zipfile.ZipFile, info: zipfile.ZipInfo, line: _Line) -> BundleItem:
    item = BundleItem(line.kind, line.id, line.name, _content(archive, info, _FORMS[line.kind][1]), line.replaces)
    if item.sha256 != line.sha256:
        raise BundleError("bundle-hash", f"{line.path} is not what the manifest says.", _ADVICE)
    return item


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError("bundle-compression", "The bundle is encrypted or packed in a way that is not read here.")
    if not 0 < info.file_size <= most:
        raise BundleError("bundle-object-size", f"{info.filename[:80]} is empty or larger than {most // 1024} KiB.")
    with archive.open(info) as file:
        content = file.read(most + 1)
    if len(content) != info.file_size:
        raise BundleError("bundle-damaged", f"{info.filename[:80]} is not as long as it says.", _ADVICE)
    return content


def _manifest(kind: BundleKind, guardian: WantedGuardian, lines: Iterable[_Line]) -> bytes:
    """The one byte string for a manifest."""
    value = {
        "guardian": {"encryption": guardian.encryption, "signing": guardian.signing},
        "kind": kind.value,
        "objects": [
            {"file": line.path, "id": line.id, "kind": line.kind.value, "name": line.name, "sha256": line.sha256}
            | ({"replaces": line.replaces} if kind is BundleKind.RESULT else {})
            for line in lines
        ],
        "version": _VERSION,
    }
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def _parse_manifest(data: bytes, kind: BundleKind) -> tuple[WantedGuardian, list[_Line]]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise _bad_manifest("it is not JSON") from None
    fields = _members(value, "guardian", "kind", "objects", "version")
    if fields["version"] != _VERSION or isinstance(fields["version"], bool):
        raise BundleError("bundle-version", "The bundle is of a version that is not known here.", "Update the program.")
    if fields["kind"] != kind.value:
        raise BundleError(
            "bundle-kind",
            f"This is not a {kind} file.",
            "The work file comes from the portal; its result is written by gf key-protector regrant.",
        )
    named = _members(fields["guardian"], "encryption", "signing")
    guardian = WantedGuardian(_hash(named["signing"]), _hash(named["encryption"]))
    if not isinstance(fields["objects"], list):
        raise _bad_manifest("its objects are no list")
    lines = [_line(entry, kind) for entry in fields["objects"]]
    _check_lines(lines, kind)
    if _manifest(kind, guardian, lines) != data:
        raise _bad_manifest("it has more than one way to be written")
    return guardian, lines


def _line(value: object, kind: BundleKind) -> _Line:
    more = ("replaces",) if kind is BundleKind.RESULT else ()
    fields = _members(value, "file", "id", "kind", "name", "sha256", *more)
    try:
        what = ObjectKind(fields["kind"])
    except ValueError:
        raise _bad_manifest("it names an unknown kind of object") from None
    for key in ("id", "name"):
        if not isinstance(fields[key], str):
            raise _bad_manifest(f"a {key} is no text")
    line = _Line(what, fields["id"], fields["name"], _hash(fields["sha256"]), _hash(fields["replaces"]) if more else "")
    if fields["file"] != line.path:
        raise _bad_manifest("a file is not where its kind and id say")
    return line


def _check_lines(lines: list[_Line], kind: BundleKind) -> None:
    if len(lines) > OBJECTS_MAX:
        raise BundleError("bundle-objects", f"A rollover bundle has at most {OBJECTS_MAX} objects.")
    if len({line.path for line in lines}) != len(lines):
        raise _bad_manifest("it names an object twice")
    for line in lines:
        if not _is_uuid(line.id):
            raise _bad_manifest("an id is no UUID")
        if not 0 < len(line.name) <= 63 or not line.name.isprintable():
            raise _bad_manifest("a name is empty, too long or not printable")
        if (kind is BundleKind.RESULT) != bool(line.replaces):
            raise _bad_manifest("an object does not say what it replaces")


def _members(value: object, *names: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise _bad_manifest(f"it does not have exactly the members {', '.join(names)}")
    return value


def _hash(value: object) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise _bad_manifest("a hash is not 64 hexadecimal digits in lower case")
    return value


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _bad_manifest(why: str) -> BundleError:
    return BundleError("bundle-manifest", f"The bundle's manifest cannot be read: {why}.", _ADVICE)


def _too_large() -> BundleError:
    return BundleError(
        "bundle-too-large",
        f"A rollover bundle has at most {FILE_MAX // 2**20} MiB packed and {TOTAL_MAX // 2**20} MiB unpacked.",
        "Work on fewer objects at once.",
    )
