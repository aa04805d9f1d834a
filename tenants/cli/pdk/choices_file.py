"""`pdk.toml`: an owner's choices as a file, to make the same shielding data again.

Paths are relative to the file. Keys are strict: a wrong one is named, with the key that was probably meant. The file
holds no secret; what is secret stands in files of its own.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from fabric.shielding.errors import QualifierError
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from portal.cli.failure import CliError
from tenants.cli.files import read_text
from tenants.cli.pdk.choices import DEFAULT_RULE, KINDS, POLICIES, Choices, TrustedDisk
from tenants.cli.trust import RULES

CHOICES_MAX: Final = 64 * 1024
_KEYS: Final = tuple(field.name.replace("_", "-") for field in fields(Choices))
_DISK_KEYS: Final = ("catalog", "rule", "name", "signer", "version")
_WORDS: Final = {"type": tuple(KINDS), "policy": tuple(POLICIES)}
_SECRETS: Final = {"password", "passphrase", "admin-password", "rdp-password"}


def read_choices(path: Path) -> Choices:
    """The choices in a file. Raises CliError."""
    return parse_choices(read_text(path, CHOICES_MAX), path.parent)


def parse_choices(text: str, base: Path) -> Choices:
    """The choices in a TOML text whose paths are relative to `base`. Raises CliError naming the key."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CliError(f"The file of choices is not TOML: {error}") from None
    except RecursionError:
        raise CliError("The file of choices is nested too deeply.") from None
    _check_keys(found, _KEYS)
    return Choices(**{key.replace("-", "_"): _value(key, value, base) for key, value in found.items()})


def _check_keys(found: Iterable[str], known: tuple[str, ...], where: str = "") -> None:
    for key in found:
        if key in known:
            continue
        if key in _SECRETS:
            raise CliError(
                f"{where}{key}: secrets do not stand in the file of choices.",
                "Put it on the only line of another file and name that, as in admin-password-file; or be asked.",
            )
        close = difflib.get_close_matches(key, known, 1, 0.5)
        advice = f"Did you mean {close[0]}?" if close else f"Use only {', '.join(known)}."
        raise CliError(f"{where}{key} is not a key of the file of choices.", advice)


def _value(key: str, value: object, base: Path) -> Any:
    if key == "trusted-disks":
        return tuple(_disk(f"{key}[{number}].", one, base) for number, one in enumerate(_list(key, value, dict)))
    if key == "files":
        if not isinstance(value, dict):
            raise _wrong(key, "a table of names and paths")
        return tuple((name, _path(f"{key}.{name}", one, base)) for name, one in value.items())
    if key == "guardians":
        return tuple(_guardian(one, base) for one in _list(key, value, str))
    if key == "authorized-keys":
        return tuple(_path(key, one, base) for one in _list(key, value, str))
    if key == "escrow-recovery-key":
        if not isinstance(value, bool):
            raise _wrong(key, "true or false")
        return value
    return _word(key, value, _WORDS[key]) if key in _WORDS else _path(key, value, base)


def _list(key: str, value: object, kind: type) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(one, kind) for one in value):
        raise _wrong(key, "a list of tables" if kind is dict else "a list of texts")
    return value


def _disk(where: str, value: Mapping[str, object], base: Path) -> TrustedDisk:
    _check_keys(value, _DISK_KEYS, where)
    rule = _word(f"{where}rule", value.get("rule", DEFAULT_RULE), tuple(RULES))
    if "catalog" in value:
        if len(value) > 1 + ("rule" in value):
            raise CliError(f"{where}catalog already says name, signer and version.", "Leave those out.")
        return TrustedDisk(_path(f"{where}catalog", value["catalog"], base), rule)
    name, signer, version = (_text(f"{where}{key}", value.get(key)) for key in ("name", "signer", "version"))
    try:
        fingerprint = bytes.fromhex(signer.replace(":", "").replace(" ", ""))
        return TrustedDisk(qualifier=VolumeIdQualifier(name, fingerprint, version, RULES[rule]))
    except QualifierError as error:
        raise CliError(f"{where[:-1]}: {error.message}", error.advice) from None
    except ValueError:
        raise _wrong(f"{where}signer", "a fingerprint of hexadecimal digits") from None


def _guardian(value: str, base: Path) -> str:
    """A name in the store, or a metadata file, which is relative to the file of choices."""
    return str(base / value) if (base / value).is_file() else value


def _path(key: str, value: object, base: Path) -> Path:
    return base / Path(_text(key, value)).expanduser()


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _wrong(key, "a text that is not empty")
    return value


def _word(key: str, value: object, words: tuple[str, ...]) -> str:
    if value not in words:
        raise _wrong(key, " or ".join(words))
    return str(value)


def _wrong(key: str, expected: str) -> CliError:
    return CliError(f"{key} has to be {expected}.", "Correct the file of choices and start again.")


def write_choices(choices: Choices, base: Path) -> str:
    """The TOML text that `parse_choices` reads back; paths below `base` become relative to it."""
    lines: list[str] = []
    for key in _KEYS:
        value = getattr(choices, key.replace("-", "_"))
        if value in (None, ()) or key in ("trusted-disks", "files"):
            continue
        lines.append(f"{key} = {_written(value, base)}\n")
    if choices.files:
        lines.append("\n[files]\n")
        lines += [f"{_quoted(name)} = {_written(path, base)}\n" for name, path in choices.files]
    for disk in choices.trusted_disks:
        lines.append("\n[[trusted-disks]]\n")
        lines += [f"{key} = {_written(value, base)}\n" for key, value in _disk_values(disk)]
    return "".join(lines)


def _disk_values(disk: TrustedDisk) -> list[tuple[str, object]]:
    if disk.qualifier is None:
        return [("catalog", disk.catalog), ("rule", disk.rule)]
    found = disk.qualifier
    return [
        ("name", found.disk_name), ("signer", found.signer_fingerprint.hex()), ("version", found.version),
        ("rule", _rule_word(found.rule)),
    ]  # fmt: skip


def _rule_word(rule: VersionRule) -> str:
    return next(word for word, known in RULES.items() if known is rule)


def _written(value: object, base: Path) -> str:
    kinds: dict[type, Callable[[Any], str]] = {
        bool: lambda one: "true" if one else "false",
        tuple: lambda many: f"[{', '.join(_written(one, base) for one in many)}]",
    }
    if type(value) in kinds:
        return kinds[type(value)](value)
    if isinstance(value, Path):
        whole, root = value.expanduser().absolute(), base.absolute()
        value = whole.relative_to(root) if whole.is_relative_to(root) else whole
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\U{ord(one):08X}" for one in escaped) + '"'
