"""One event of a boot log in a sentence, with the decoded content beside it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from hgs.attestation.errors import Malformed
from hgs.attestation.offline.linux import boot_program_text, tagged_event
from hgs.attestation.offline.log_reading import EV_NO_ACTION, Record
from hgs.attestation.offline.names import TYPES, bank_name
from hgs.attestation.offline.uefi import (
    one_line,
    printable_text,
    read_firmware_blob,
    read_gpt,
    read_handoff_tables,
    read_image_load,
    read_signature_database,
    read_variable,
    signature_entry,
    variable_value,
)
from hgs.attestation.offline.windows import END_MARKER, WINDOWS_PCRS, decode_sipa, in_words, looks_like_sipa

SEPARATORS: Final = (bytes(4), b"\xff\xff\xff\xff")
_CERT_X509: Final = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"


@dataclass(frozen=True)
class Description:
    """``sentence`` for people; ``content`` is the decoded data (JSON values); ``problem`` where data is not as its
    type says."""

    sentence: str
    content: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


def describe(record: Record) -> Description:
    """Say what the event is. Never raises for any data."""
    reader = _by_content(record) or _READERS.get(record.type)
    try:
        if reader is not None:
            return reader(record.data)
    except Malformed as error:
        return Description(_raw(record.data), problem=error.message)
    return Description(_raw(record.data))


def is_windows(record: Record) -> bool:
    """Whether the event is one of Windows' records, by its content: the type proves nothing."""
    return record.pcr in WINDOWS_PCRS and (record.data == END_MARKER or looks_like_sipa(record.data))


def _by_content(record: Record) -> Callable[[bytes], Description] | None:
    if record.type == EV_NO_ACTION:
        return _no_action
    if is_windows(record):
        return _windows_end if record.data == END_MARKER else _windows
    if record.pcr == 11 and record.type == TYPES["COMPACT_HASH"] and len(record.data) == 4:
        return _bitlocker
    return None


def _raw(data: bytes) -> str:
    if not data:
        return "no data"
    text = printable_text(data)
    return f'"{text}"' if text is not None else f"{len(data)} bytes {data[:16].hex()}{'…' if len(data) > 16 else ''}"


# ---- the TCG's own -------------------------------------------------------------------------------------------------


def _no_action(data: bytes) -> Description:
    signature = data[:16].split(b"\x00", 1)[0].decode("ascii", "replace")
    if signature == "Spec ID Event03":
        return _spec_id(data)
    if signature == "StartupLocality" and len(data) == 17:
        return Description(f"the TPM was started from locality {data[16]}", {"startup_locality": data[16]})
    if signature.startswith("Spec ID Event"):
        return Description(f"header of a log in the older format ({signature})", {"signature": signature})
    if signature.startswith("SP800-155 Event"):
        return _reference_manifest(data, signature)
    if looks_like_sipa(data):
        items = decode_sipa(data)
        names = ", ".join(child.name for item in items for child in item.children)
        return Description(
            f"Windows trust point, not measured ({names})", {"records": [item.as_json() for item in items]}
        )
    if signature and signature.isprintable():
        return Description(f"not measured: {one_line(signature)}, {len(data)} bytes", {"signature": signature})
    return Description(f"not measured: {_raw(data)}")


def _spec_id(data: bytes) -> Description:
    count = int.from_bytes(data[24:28], "little")
    banks = [bank_name(int.from_bytes(data[28 + 4 * at : 30 + 4 * at], "little")) for at in range(min(count, 16))]
    version = f"{data[21]}.{data[20]}" if len(data) > 21 else "?"
    return Description(
        f"header of a crypto-agile log, version {version}, with {', '.join(banks)}",
        {"version": version, "banks": banks},
    )


def _reference_manifest(data: bytes, signature: str) -> Description:
    text = printable_text(data[36:64]) or ""
    return Description(f"firmware's reference manifest ({signature}) {one_line(text, 60)}".rstrip(), {})


def _separator(data: bytes) -> Description:
    if data == bytes(4) or data == b"\xff\xff\xff\xff":
        return Description("separator: the firmware's part of this register ends", {"separator": "end of firmware"})
    if data == b"\x01\x00\x00\x00":
        return Description("separator: the firmware met an error", {"separator": "error"})
    return Description(f"separator with unusual content: {_raw(data)}")


def _text(words: str) -> Callable[[bytes], Description]:
    def read(data: bytes) -> Description:
        text = printable_text(data)
        return Description(f"{words}: {_raw(data)}", {} if text is None else {"text": text})

    return read


# ---- UEFI ----------------------------------------------------------------------------------------------------------


def _variable(words: str) -> Callable[[bytes], Description]:
    def read(data: bytes) -> Description:
        variable = read_variable(data)
        sentence, value = variable_value(variable)
        content = {"variable": variable.name, "guid": str(variable.guid), "value": value}
        return Description(one_line(f"{words} {variable.label} = {sentence}", 600), content)

    return read


def _authority(data: bytes) -> Description:
    variable = read_variable(data)
    content: dict[str, Any] = {"variable": variable.name, "guid": str(variable.guid)}
    entry = _authority_entry(variable.data)
    if entry is None:
        sentence, content["value"] = variable_value(variable)
        return Description(one_line(f"allowed by {variable.label}: {sentence}", 600), content)
    content["entry"] = entry
    subject = entry.get("subject") or f"{entry['type']} {entry['digest']}"
    return Description(one_line(f"a boot program was allowed by {variable.label}: {subject}", 600), content)


def _authority_entry(data: bytes) -> dict[str, Any] | None:
    """One signature entry (the rule), or a whole list with one entry (some firmware)."""
    if data[16:18] == b"\x30\x82":
        return signature_entry(UUID(_CERT_X509), data)
    if data[:2] == b"\x30\x82":  # shim measures its own certificate without an owner in front of it
        return signature_entry(UUID(_CERT_X509), bytes(16) + data)
    if len(data) == 48:
        return {"type": "SHA-256 hash", "digest": data[16:].hex()}
    try:
        entries = read_signature_database(data)
    except Malformed:
        return None
    return entries[0] if len(entries) == 1 else None


def _image(words: str) -> Callable[[bytes], Description]:
    def read(data: bytes) -> Description:
        image = read_image_load(data)
        return Description(f"{words} {image['path'] or '(no path)'}, {image['size']} bytes in memory", image)

    return read


def _gpt(data: bytes) -> Description:
    table = read_gpt(data)
    names = ", ".join(part["name"] or part["type"] for part in table["partitions"])
    return Description(one_line(f"partition table of disk {table['disk']}: {names or 'no partitions'}"), table)


def _blob(described: bool) -> Callable[[bytes], Description]:
    def read(data: bytes) -> Description:
        if not described and len(data) != 16:
            return Description(f"firmware: {_raw(data)}")
        blob = read_firmware_blob(data, described)
        name = f" {blob['description']}" if described else ""
        return Description(f"firmware volume{name} at 0x{blob['base']:x}, {blob['length']} bytes", blob)

    return read


def _tables(described: bool) -> Callable[[bytes], Description]:
    def read(data: bytes) -> Description:
        tables = read_handoff_tables(data, described)
        return Description(f"tables handed over: {', '.join(tables['tables']) or 'none'}", tables)

    return read


# ---- boot programs -------------------------------------------------------------------------------------------------


def _boot_program(data: bytes) -> Description:
    try:
        kind, text = boot_program_text(data)
    except Malformed:
        return Description(f"measured by a boot program: {_raw(data)}")
    sentence = kind if text in kind else f"{kind}: {text}"
    return Description(one_line(sentence, 600), {"kind": kind, "text": text})


def _tagged(data: bytes) -> Description:
    # Linux before 6.9 logs the bare text, without tag and size.
    text = printable_text(data)
    if text is not None and len(data) > 8:
        return Description(one_line(f"measured by a boot program: {text}"), {"text": text})
    tag = tagged_event(data)
    return Description(one_line(f"{tag['meaning']}: {tag['text']}"), dict(tag))


def _windows(data: bytes) -> Description:
    items = decode_sipa(data)
    content = {"records": [item.as_json() for item in items]}
    first = items[0]
    if not first.children:
        return Description(f"Windows: {first.name} = {in_words(first)}", content)
    names = list(dict.fromkeys(child.name for child in first.children))
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} further kinds" if len(names) > 6 else "")
    return Description(f"Windows: {first.name} with {len(first.children)} records ({shown})", content)


def _windows_end(_data: bytes) -> Description:
    return Description("Windows: end of the boot loader's measurements (WBCL)", {"marker": "WBCL"})


def _bitlocker(data: bytes) -> Description:
    return Description(f"Windows: BitLocker's access to its key is closed off ({data.hex()})")


_READERS: Final[dict[int, Callable[[bytes], Description]]] = {
    TYPES["SEPARATOR"]: _separator,
    TYPES["POST_CODE"]: _text("firmware code"),
    TYPES["POST_CODE2"]: _text("firmware code"),
    TYPES["ACTION"]: _text("action"),
    TYPES["EFI_ACTION"]: _text("action"),
    TYPES["S_CRTM_CONTENTS"]: _text("root of trust, contents"),
    TYPES["S_CRTM_VERSION"]: _text("root of trust, version"),
    TYPES["EFI_HCRTM_EVENT"]: _text("hardware root of trust"),
    TYPES["CPU_MICROCODE"]: _text("processor microcode"),
    TYPES["NONHOST_INFO"]: _text("management controller"),
    TYPES["NONHOST_CODE"]: _text("management controller, code"),
    TYPES["NONHOST_CONFIG"]: _text("management controller, configuration"),
    TYPES["OMIT_BOOT_DEVICE_EVENTS"]: _text("boot attempts are not measured"),
    TYPES["PLATFORM_CONFIG_FLAGS"]: _text("platform configuration"),
    TYPES["TABLE_OF_DEVICES"]: _text("table of devices"),
    TYPES["COMPACT_HASH"]: _text("hashed data"),
    TYPES["IPL"]: _boot_program,
    TYPES["IPL_PARTITION_DATA"]: _text("boot partition"),
    TYPES["EVENT_TAG"]: _tagged,
    TYPES["EFI_VARIABLE_DRIVER_CONFIG"]: _variable("variable"),
    TYPES["EFI_VARIABLE_BOOT"]: _variable("boot variable"),
    TYPES["EFI_VARIABLE_BOOT2"]: _variable("boot variable"),
    TYPES["EFI_VARIABLE_AUTHORITY"]: _authority,
    TYPES["EFI_BOOT_SERVICES_APPLICATION"]: _image("boot program"),
    TYPES["EFI_BOOT_SERVICES_DRIVER"]: _image("driver"),
    TYPES["EFI_RUNTIME_SERVICES_DRIVER"]: _image("runtime driver"),
    TYPES["EFI_GPT_EVENT"]: _gpt,
    TYPES["EFI_GPT_EVENT2"]: _gpt,
    TYPES["EFI_PLATFORM_FIRMWARE_BLOB"]: _blob(described=False),
    TYPES["EFI_PLATFORM_FIRMWARE_BLOB2"]: _blob(described=True),
    TYPES["EFI_HANDOFF_TABLES"]: _tables(described=False),
    TYPES["EFI_HANDOFF_TABLES2"]: _tables(described=True),
}
