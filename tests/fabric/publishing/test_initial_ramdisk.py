"""The archives and trees a template is made of."""

import io
import subprocess

import pytest

from fabric.publishing.initial_ramdisk import cpio_archive, guest_file

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
