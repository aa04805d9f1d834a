"""The archives and trees a template is made of."""

import hashlib
import io
import json
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fabric.hyperv import luks
from fabric.publishing.initial_ramdisk import cpio_archive, guest_file
from hgs.keyprotection.secret import Secret

SCRIPTS = ("unlock", "boot", "specialise", "network", "remote-access", "find-port", "heartbeat", "control")


def test_an_archive_lists_what_went_in_and_belongs_to_root() -> None:
    archive = cpio_archive({"init": (0o755, b"#!/bin/sh\n"), "lib/modules/a.ko": (0o644, b"module")})
    listed = subprocess.run(["busybox", "cpio", "-tv"], input=archive, capture_output=True, check=True).stdout.decode()
    names = {line.split()[-1] for line in listed.splitlines()}
    assert {"init", "lib", "lib/modules", "lib/modules/a.ko", "dev", "dev/console"} <= names


def test_equal_contents_give_equal_archives() -> None:
    files = {"b": (0o644, b"1"), "a": (0o755, b"2")}
    assert cpio_archive(files) == cpio_archive(dict(reversed(files.items())))


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_guests_scripts_are_valid_for_its_shell(name: str) -> None:
    done = subprocess.run(["busybox", "sh", "-n"], input=guest_file(name), capture_output=True, check=False)
    assert done.stderr == b""


def test_every_tpm_command_of_the_unlock_script_states_its_own_length() -> None:
    """TPM 2.0 commands carry their size in bytes 2 to 5; the script writes them by hand."""
    script = guest_file("unlock").decode().replace("${nonce}", "00" * 16).replace("${session}", "00" * 4)
    script = script.replace("$mark", "00" * 32)
    commands = [word for line in io.StringIO(script) for word in line.split('"') if word.startswith(("8001", "8002"))]
    assert len(commands) == 4
    for command in commands:
        assert int(command[4:12], 16) == len(bytes.fromhex(command))


# What a host could write in place of the header it made, with the key slot that the right passphrase opens kept.
_CRYPT = {
    "type": "crypt", "offset": "16777216", "size": "4096", "iv_tweak": "0", "encryption": "aes-xts-plain64",
    "sector_size": 4096,
}  # fmt: skip


def _null_cipher(metadata: Any) -> None:
    metadata["segments"]["0"]["encryption"] = "cipher_null-ecb"


def _null_key_slot(metadata: Any) -> None:
    metadata["keyslots"]["0"]["area"]["encryption"] = "cipher_null-ecb"


def _plain_behind_a_sector(metadata: Any) -> None:
    plain = {"type": "linear", "offset": "16781312", "size": "dynamic"}
    metadata["segments"] = {"0": _CRYPT, "1": plain}


def _self_encrypting_disk(metadata: Any) -> None:
    metadata["segments"]["0"] = {"type": "hw-opal", "offset": "16777216", "size": "dynamic"}


def _another_place(metadata: Any) -> None:
    metadata["segments"]["0"] |= {"offset": str(16777216 + 4096), "iv_tweak": "8"}


def _integrity(metadata: Any) -> None:
    setting = {"type": "none", "journal_encryption": "none", "journal_integrity": "none"}
    metadata["segments"]["0"]["integrity"] = setting


def _accepted(tmp_path: Path, change: Callable[[Any], None]) -> bool:
    """Whether the guest's check accepts a right header after `change` of its metadata (LUKS2 specification, 2)."""
    header = bytearray(luks.format_header(Secret(bytes(range(64))), Secret(bytes(range(32)))))
    for copy in (0, 0x4000):
        (size,) = struct.unpack_from(">Q", header, copy + 8)
        metadata = json.loads(bytes(header[copy + 4096 : copy + size]).rstrip(b"\0"))
        change(metadata)
        header[copy + 4096 : copy + size] = json.dumps(metadata).encode().ljust(size - 4096, b"\0")
        header[copy + 448 : copy + 512] = bytes(64)
        header[copy + 448 : copy + 480] = hashlib.sha256(header[copy : copy + size]).digest()
    (tmp_path / "header").write_bytes(header + bytes(1024 * 1024))
    dump = ["/usr/sbin/cryptsetup", "luksDump", "--dump-json-metadata", str(tmp_path / "header")]
    (tmp_path / "json").write_bytes(subprocess.run(dump, capture_output=True, check=True).stdout)
    check = re.search(r"^as_made\(\) \{\n.*?^\}\n", guest_file("unlock").decode(), re.DOTALL | re.MULTILINE)
    assert check is not None
    script = f"{check.group()}as_made {tmp_path / 'json'}"
    return subprocess.run(["busybox", "sh", "-c", script], check=False).returncode == 0


def test_the_guest_accepts_the_header_that_hosts_make(tmp_path: Path) -> None:
    assert _accepted(tmp_path, lambda _metadata: None)


@pytest.mark.parametrize(
    "change",
    [_null_cipher, _null_key_slot, _plain_behind_a_sector, _self_encrypting_disk, _another_place, _integrity],
    ids=lambda change: change.__name__.strip("_"),
)
def test_the_guest_refuses_any_other_header(tmp_path: Path, change: Callable[[Any], None]) -> None:
    assert not _accepted(tmp_path, change)
