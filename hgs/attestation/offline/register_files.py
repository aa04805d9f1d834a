"""Register values in files: JSON, what ``tpm2_pcrread`` prints, and what ``tpm2_quote --pcr`` writes.

All give bank -> register -> value. A file is refused as a whole where a value has not the size of its bank's digests.
"""

import base64
import binascii
import json
import re
import struct
from typing import Any, Final

from hgs.attestation.errors import Malformed, TooLarge
from hgs.attestation.offline.names import BANK_NAMES, BANK_SIZES

MAX_FILE: Final = 256 * 1024
Registers = dict[int, dict[int, bytes]]
_BY_NAME: Final = {name.replace("_", ""): number for number, name in BANK_NAMES.items()} | {"sm3": 0x0012}
_BY_SIZE: Final = {20: 0x0004, 32: 0x000B, 48: 0x000C, 64: 0x000D}
_LINE: Final = re.compile(r"^\s*(\d{1,2})\s*:\s*(?:0x)?([0-9A-Fa-f]+)\s*$")
_HEADING: Final = re.compile(r"^\s*(?:- )?([A-Za-z0-9_]+)\s*:\s*$")
# tpm2-tools: TPML_PCR_SELECTION and TPML_DIGESTs as C structures, little-endian.
_SELECTION_SIZE: Final = 132
_DIGESTS_SIZE: Final = 532


def read_registers(data: bytes) -> Registers:
    """Read a file of register values. Raises ``TooLarge``, ``Malformed``."""
    if len(data) > MAX_FILE:
        raise TooLarge(f"The register file has {len(data)} bytes; the limit is {MAX_FILE}.")
    start = data.lstrip()[:1]
    if start in (b"{", b"["):
        return _from_json(data)
    if len(data) >= _SELECTION_SIZE + 4 and (len(data) - _SELECTION_SIZE - 4) % _DIGESTS_SIZE == 0:
        return _from_tpm2_quote(data)
    return _from_text(data)


def _bank(name: object) -> int:
    text = str(name).lower().removeprefix("tpm_alg_").replace("-", "").replace("_", "")
    if text in _BY_NAME:
        return _BY_NAME[text]
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if number not in BANK_SIZES:
        raise Malformed(f"The register file names the bank {str(name)[:40]!r}, which is not known.")
    return number


def _add(found: Registers, bank: int, pcr: int, value: bytes) -> None:
    if not 0 <= pcr < 24:
        raise Malformed(f"The register file names the register {pcr}; there are 0 to 23.")
    if len(value) != BANK_SIZES[bank]:
        raise Malformed(
            f"The register file gives {len(value)} bytes for PCR {pcr} of {BANK_NAMES[bank]}, "
            f"which has {BANK_SIZES[bank]}."
        )
    if found.setdefault(bank, {}).setdefault(pcr, value) != value:
        raise Malformed(f"The register file gives two values for PCR {pcr} of {BANK_NAMES[bank]}.")


# ---- JSON ----------------------------------------------------------------------------------------------------------


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Malformed("The register file has a name twice.")
    return dict(pairs)


def _from_json(data: bytes) -> Registers:
    try:
        value = json.loads(data, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise Malformed("The register file is not JSON.") from error
    found: Registers = {}
    if isinstance(value, dict) and isinstance(value.get("pcrs"), dict):
        value = value["pcrs"]
    if isinstance(value, list):
        for item in value:
            _add_item(found, item)
    elif isinstance(value, dict) and value and all(isinstance(item, dict) for item in value.values()):
        for name, registers in value.items():
            bank = _bank(name)
            for pcr, text in registers.items():
                _add(found, bank, _number(pcr), _value(text, BANK_SIZES[bank]))
    elif isinstance(value, dict):
        for pcr, text in value.items():
            digest = _value(text, None)
            _add(found, _bank_of_size(digest), _number(pcr), digest)
    if not any(found.values()):
        raise Malformed('The register file has no registers: {"sha256": {"0": "<hex>", …}} is wanted.')
    return found


def _add_item(found: Registers, item: object) -> None:
    """``{"Index": 0, "Digest": "<base64>", "DigestAlg": 5}`` and the like."""
    if not isinstance(item, dict):
        raise Malformed("The register file has a list of something else than registers.")
    names = {str(name).lower().replace("_", ""): value for name, value in item.items()}
    digest = _value(names.get("digest", names.get("value")), None)
    _add(found, _bank_of_size(digest), _number(names.get("index", names.get("pcr"))), digest)


def _bank_of_size(digest: bytes) -> int:
    bank = _BY_SIZE.get(len(digest))
    if bank is None:
        raise Malformed(f"The register file has a value of {len(digest)} bytes, which is no digest.")
    return bank


def _number(value: object) -> int:
    try:
        return int(str(value))
    except ValueError as error:
        raise Malformed(f"The register file names the register {str(value)[:40]!r}.") from error


def _value(text: object, size: int | None) -> bytes:
    if not isinstance(text, str) or len(text) > 200:
        raise Malformed("The register file has a value that is no text in hexadecimal or base64.")
    plain = text.strip().removeprefix("0x").removeprefix("0X")
    sizes = tuple(_BY_SIZE) if size is None else (size,)
    try:
        if len(plain) // 2 in sizes and len(plain) % 2 == 0:
            return bytes.fromhex(plain)
    except ValueError:
        pass
    try:
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("The register file has a value that is neither hexadecimal nor base64.") from error


# ---- tpm2-tools ----------------------------------------------------------------------------------------------------


def _from_text(data: bytes) -> Registers:
    """The lines that ``tpm2_pcrread`` prints."""
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise Malformed("The register file is neither JSON nor text nor a file of tpm2_quote.") from error
    found: Registers = {}
    bank: int | None = None
    for line in lines:
        heading, value = _HEADING.match(line), _LINE.match(line)
        if value is not None and bank is not None:
            if len(value[2]) % 2:
                raise Malformed("The register file has a value of half a byte.")
            _add(found, bank, int(value[1]), bytes.fromhex(value[2]))
        elif heading is not None and heading[1] not in ("pcrs", "selected"):
            bank = _bank(heading[1])
        elif line.strip() and heading is None:
            raise Malformed(f"The register file has a line that is none of tpm2_pcrread: {line.strip()[:40]!r}.")
    if not any(found.values()):
        raise Malformed("The register file has no registers.")
    return found


def _from_tpm2_quote(data: bytes) -> Registers:
    """``tpm2_quote --pcr FILE``: the selection, a count of digest lists, and the lists, as C has them."""
    count = int.from_bytes(data[:4], "little")
    if not 0 < count <= 16:
        raise Malformed("The register file's selection has an impossible number of banks.")
    wanted: list[tuple[int, int]] = []
    for at in range(count):
        bank, size, bits = struct.unpack_from("<HB4s", data, 4 + 8 * at)
        if bank not in BANK_SIZES or size > 4:
            raise Malformed("The register file's selection cannot be read.")
        bitmap = int.from_bytes(bits[:size], "little")
        wanted += [(bank, pcr) for pcr in range(32) if bitmap >> pcr & 1]
    values = _digest_lists(data)
    if len(values) != len(wanted):
        raise Malformed("The register file has another number of values than its selection has registers.")
    found: Registers = {}
    for (bank, pcr), value in zip(wanted, values, strict=True):
        _add(found, bank, pcr, value)
    return found


def _digest_lists(data: bytes) -> list[bytes]:
    lists = int.from_bytes(data[_SELECTION_SIZE : _SELECTION_SIZE + 4], "little")
    if lists != (len(data) - _SELECTION_SIZE - 4) // _DIGESTS_SIZE:
        raise Malformed("The register file has another number of digest lists than it says.")
    values: list[bytes] = []
    for at in range(lists):
        start = _SELECTION_SIZE + 4 + at * _DIGESTS_SIZE
        count = int.from_bytes(data[start : start + 4], "little")
        if count > 8:
            raise Malformed("The register file has a digest list that is too long.")
        for index in range(count):
            place = start + 4 + 66 * index
            size = int.from_bytes(data[place : place + 2], "little")
            values.append(data[place + 2 : place + 2 + min(size, 64)])
    return values
