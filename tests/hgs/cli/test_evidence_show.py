"""``gf evidence show``: boot logs as firmware and tools write them, replayed and put into words."""

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hgs.attestation.efi import EFI_GLOBAL, EfiVariable
from hgs.attestation.tcglog import (
    EV_EFI_ACTION,
    EV_EFI_BOOT_SERVICES_APPLICATION,
    EV_EFI_GPT_EVENT,
    EV_EFI_VARIABLE_BOOT,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_EVENT_TAG,
    EV_NO_ACTION,
    EV_SEPARATOR,
    Event,
    EventLog,
    EventLogBuilder,
    replay,
)
from hgs.attestation.tpm import HASH_NAMES, Algorithm
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.samples import index, sample
from tests.hgs.cli.evidence_files import answer, run

EV_IPL = 0xD
SHA256 = Algorithm.SHA256
LOG = Boot(locality=3).log().build()


def show(folder: Path, data: bytes, *, code: int = 0) -> dict[str, Any]:
    path = folder / "log"
    path.write_bytes(data)
    assert run("show", path).exit_code == code
    result = run("show", path, "--json")
    assert result.exit_code == code
    found = answer(result)
    assert list(found) == ["pcrs", "events", "sipa", "warnings"]
    return found


def sentences(found: dict[str, Any]) -> str:
    return "\n".join(str(event["says"]) for event in found["events"])


def built(*events: tuple[int, int, bytes]) -> bytes:
    log = EventLogBuilder()
    log.separators()
    for pcr, kind, data in events:
        log.measure(pcr, kind, data)
    return log.build().serialise()


@pytest.mark.parametrize("entry", index("eventlogs"), ids=lambda entry: str(entry["file"]))
def test_real_logs_replay_to_what_the_tpm_reported(entry: dict[str, Any], tmp_path: Path) -> None:
    found = show(tmp_path, sample(entry["file"]))
    assert found["pcrs"] == entry["replayed_pcrs"]
    records = len(found["events"]) - (entry["format"] == "crypto-agile")
    assert records in (entry["events"], entry["events"] - 1)
    for bank, values in (entry.get("tpm_pcrs") or {}).items():
        for pcr, value in found["pcrs"][bank].items():
            assert values[pcr] == value
    for name, value in (entry["sipa_facts"] or {}).items():
        if name.startswith("0x"):
            continue
        if ".." not in json.dumps(value):
            assert found["sipa"][name] == value, name


def test_a_log_replays_as_the_server_replays_it(tmp_path: Path) -> None:
    found = show(tmp_path, LOG.serialise())
    expected = {str(pcr): value.hex() for pcr, value in sorted(replay(LOG, SHA256).items())}
    assert found["pcrs"] == {"sha256": expected}
    assert found["warnings"] == []


@pytest.mark.parametrize("banks", [(Algorithm.SHA384,), (Algorithm.SHA1, Algorithm.SHA512), tuple(HASH_NAMES)])
def test_every_bank_is_replayed(banks: tuple[Algorithm, ...], tmp_path: Path) -> None:
    log = EventLogBuilder(banks, locality=4)
    log.separators()
    log.measure(7, EV_EFI_ACTION, b"action")
    data = log.build()
    found = show(tmp_path, data.serialise())
    for bank in banks:
        expected = {str(pcr): value.hex() for pcr, value in sorted(replay(data, bank).items())}
        assert found["pcrs"][HASH_NAMES[bank]] == expected


def test_a_bank_of_sm3_is_replayed(tmp_path: Path) -> None:
    digest = hashlib.new("sm3", b"\x00" * 4).digest()
    event = Event(7, EV_SEPARATOR, ((0x12, digest),), bytes(4))
    spec = struct.pack("<16sIBBBBI", b"Spec ID Event03\x00", 0, 0, 2, 0, 2, 1) + struct.pack("<HHB", 0x12, 32, 0)
    log = EventLog(Event(0, EV_NO_ACTION, ((4, bytes(20)),), spec), ((0x12, 32),), (event,))
    found = show(tmp_path, log.serialise())
    assert found["pcrs"] == {"sm3_256": {"7": hashlib.new("sm3", bytes(32) + digest).hexdigest()}}


def test_a_log_in_the_format_of_tpm_1_2_is_read(tmp_path: Path) -> None:
    digest = hashlib.sha1(bytes(4), usedforsecurity=False).digest()
    events = tuple(Event(pcr, EV_SEPARATOR, ((4, digest),), bytes(4)) for pcr in range(8))
    found = show(tmp_path, EventLog(None, ((4, 20),), events).serialise())
    expected = hashlib.sha1(bytes(20) + digest, usedforsecurity=False).hexdigest()
    assert found["pcrs"] == {"sha1": {str(pcr): expected for pcr in range(8)}}
    assert found["warnings"] == []


@pytest.mark.parametrize(
    "around",
    [
        lambda data: len(data).to_bytes(4, "little") + data,
        lambda data: data + bytes(1000),
        lambda data: data + b"\xff" * 1000,
        lambda data: len(data).to_bytes(4, "little") + data + bytes(8),
    ],
    ids=["length", "zeros", "ones", "length and zeros"],
)
def test_what_capture_tools_put_around_a_log_is_taken_off(around: Any, tmp_path: Path) -> None:
    found = show(tmp_path, around(LOG.serialise()))
    assert found["pcrs"]["sha256"]["12"] == replay(LOG, SHA256)[12].hex()
    assert found["warnings"]


def test_only_the_first_of_several_logs_is_read(tmp_path: Path) -> None:
    one = len(LOG.serialise()).to_bytes(4, "little") + LOG.serialise()
    found = show(tmp_path, one + one)
    assert len(found["events"]) == len(LOG.events) + 1
    assert any("Another log follows" in text for text in found["warnings"])


def test_a_log_that_is_cut_short_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    data = LOG.serialise()
    found = show(tmp_path, data[:-3], code=1)
    assert len(found["events"]) == len(LOG.events)
    assert any("cut short" in text for text in found["warnings"])


@pytest.mark.parametrize("data", [b"", b"x", bytes(100), b"This is a text and no log at all.\n" * 40, b"\xff" * 100])
def test_what_is_no_log_is_unusable(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    for arguments in ((), ("--json",)):
        result = run("show", path, *arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert not result.stdout


def test_a_file_that_is_not_there_or_too_large_is_unusable(tmp_path: Path) -> None:
    assert run("show", tmp_path / "none").exit_code == 2
    assert run("show", tmp_path).exit_code == 2
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(9 * 1024 * 1024)
    result = run("show", large)
    assert result.exit_code == 2
    assert "limit" in result.stderr


# ---- words ---------------------------------------------------------------------------------------------------------


def test_secure_boot_and_windows_are_put_into_words(tmp_path: Path) -> None:
    found = show(tmp_path, LOG.serialise())
    text = sentences(found)
    assert "variable SecureBoot = 1 (on)" in text
    assert "variable dbx = 2 hashes" in text
    assert "the TPM was started from locality 3" in text
    assert found["sipa"]["TRANSFER_CONTROL"] == [1, 5]
    assert found["sipa"]["BOOTDEBUGGING"] == 0
    path = tmp_path / "log"
    assert "TRANSFER_CONTROL = to the hypervisor's loader" in run("show", path).stdout


def load_option(description: str, path: str) -> bytes:
    name = (path + "\x00").encode("utf-16-le")
    node = b"\x04\x04" + (len(name) + 4).to_bytes(2, "little") + name + b"\x7f\xff\x04\x00"
    return struct.pack("<IH", 1, len(node)) + (description + "\x00").encode("utf-16-le") + node


def test_boot_entries_images_and_partitions_are_put_into_words(tmp_path: Path) -> None:
    option = load_option("Windows Boot Manager", "\\EFI\\Boot\\x.efi")
    path = option[6 + 2 * len("Windows Boot Manager") + 2 :]
    image = struct.pack("<QQQQ", 1, 4096, 0, len(path)) + path
    partition = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le + bytes(16) + struct.pack("<QQQ", 34, 99, 0)
    partition += "ESP".encode("utf-16-le").ljust(72, b"\x00")
    header = b"EFI PART" + bytes(48) + UUID(int=7).bytes_le + struct.pack("<QIII", 2, 128, 128, 0)
    gpt = header + struct.pack("<Q", 1) + partition
    found = show(
        tmp_path,
        built(
            (1, EV_EFI_VARIABLE_BOOT, EfiVariable(EFI_GLOBAL, "BootOrder", b"\x02\x00\x00\x00").serialise()),
            (1, EV_EFI_VARIABLE_BOOT, EfiVariable(EFI_GLOBAL, "Boot0002", option).serialise()),
            (4, EV_EFI_BOOT_SERVICES_APPLICATION, image),
            (5, EV_EFI_GPT_EVENT, gpt),
        ),
    )
    text = sentences(found)
    assert "boot variable BootOrder = 0002, 0000" in text
    assert "Boot0002 = Windows Boot Manager: \\EFI\\Boot\\x.efi" in text
    assert "boot program \\EFI\\Boot\\x.efi, 4096 bytes" in text
    assert f"partition table of disk {UUID(int=7)}: ESP" in text


@pytest.mark.parametrize(
    ("pcr", "kind", "data", "words"),
    [
        (8, EV_IPL, b"grub_cmd: set timeout=5\x00", "GRUB command: set timeout=5"),
        (8, EV_IPL, b"kernel_cmdline: /vmlinuz ro\x00", "kernel command line: /vmlinuz ro"),
        (9, EV_IPL, b"(hd0,gpt2)/vmlinuz\x00", "file read by the boot program: (hd0,gpt2)/vmlinuz"),
        (14, EV_IPL, b"MokList\x00", "the machine owner's keys (MokList)"),
        (12, EV_IPL, "root=/dev/vda ro\x00".encode("utf-16-le"), "root=/dev/vda ro"),
        (9, EV_EVENT_TAG, struct.pack("<II", 0x8F3B22EC, 13) + b"Linux initrd\x00", "initial RAM disk"),
        (9, EV_EVENT_TAG, b"LOADED_IMAGE::LoadOptions\x00", "LOADED_IMAGE::LoadOptions"),
        (11, EV_IPL, b".linux\x00", "section .linux of the unified kernel image"),
    ],
)
def test_what_linux_boot_programs_measure_is_put_into_words(
    pcr: int, kind: int, data: bytes, words: str, tmp_path: Path
) -> None:
    assert words in sentences(show(tmp_path, built((pcr, kind, data))))


def test_nothing_in_a_log_can_steer_a_terminal(tmp_path: Path) -> None:
    evil = "\x1b[2J\x9bA‮"
    data = built((8, EV_IPL, b"grub_cmd: " + evil.encode()), (7, EV_EFI_ACTION, evil.encode()))
    (tmp_path / "log").write_bytes(data)
    out = run("show", tmp_path / "log").stdout
    assert not set("\x1b\x9b‮") & set(out)


# ---- warnings ------------------------------------------------------------------------------------------------------


def warned(folder: Path, data: bytes, code: int = 0) -> str:
    return "\n".join(show(folder, data, code=code)["warnings"])


def test_an_event_whose_digest_is_not_of_its_data_is_told(tmp_path: Path) -> None:
    log = EventLogBuilder()
    log.separators()
    log.measure(7, EV_EFI_VARIABLE_DRIVER_CONFIG, EfiVariable(EFI_GLOBAL, "SecureBoot", b"\x01").serialise())
    true = log.build()
    last = true.events[-1]._replace(data=EfiVariable(EFI_GLOBAL, "SecureBoot", b"\x00").serialise())
    lie = EventLog(true.header, true.algorithms, (*true.events[:-1], last))
    assert "not that of its data" not in warned(tmp_path, true.serialise())
    assert "not that of its data" in warned(tmp_path, lie.serialise())


def test_banks_that_disagree_about_an_event_are_told(tmp_path: Path) -> None:
    log = EventLogBuilder((Algorithm.SHA1, SHA256))
    log.separators()
    wrong = ((int(Algorithm.SHA1), hashlib.sha1(b"a", usedforsecurity=False).digest()), (int(SHA256), bytes(32)))
    log.record(7, EV_EFI_ACTION, wrong, b"a")
    assert "in one bank, and not in another" in warned(tmp_path, log.build().serialise())


def test_missing_and_repeated_separators_are_told(tmp_path: Path) -> None:
    log = EventLogBuilder()
    log.separators((0, 1, 2, 3, 4, 5, 6))
    assert "separator is missing in PCR 7" in warned(tmp_path, log.build().serialise())
    log.separators((6, 7))
    assert "more than one separator in PCR 6" in warned(tmp_path, log.build().serialise())


@pytest.mark.parametrize(
    ("boot", "words"),
    [
        (Boot(markers=(12, 13)), "PCR 14 has no end marker"),
        (Boot(after_markers=((12, EV_SEPARATOR, b"WBCL"),)), "second end marker"),
        (Boot(after_markers=((13, EV_EVENT_TAG, b"late"),)), "comes after the end marker"),
        (Boot(extra_settings=(b"no record",)), "is no record of Windows"),
    ],
)
def test_what_is_wrong_with_windows_part_is_told(boot: Boot, words: str, tmp_path: Path) -> None:
    assert words in warned(tmp_path, boot.log().build().serialise())


def test_a_relabelled_record_of_windows_is_told_and_still_read(tmp_path: Path) -> None:
    log = Boot(debug=True).log().build()
    events = tuple(
        event._replace(type=EV_IPL) if event.pcr == 12 and event.type == EV_EVENT_TAG else event for event in log.events
    )
    found = show(tmp_path, EventLog(log.header, log.algorithms, events).serialise())
    assert any("relabelled" in text for text in found["warnings"])
    assert found["sipa"]["BOOTDEBUGGING"] == 1


def test_facts_after_the_end_marker_do_not_count(tmp_path: Path) -> None:
    late = Boot(debug=True).log().build().events
    record = next(event.data for event in late if event.pcr == 12 and event.type == EV_EVENT_TAG)
    log = Boot(after_markers=((12, EV_EVENT_TAG, record),)).log().build()
    assert show(tmp_path, log.serialise())["sipa"]["BOOTDEBUGGING"] == 0


def test_a_trust_point_is_shown_and_not_extended(tmp_path: Path) -> None:
    log = Boot().log()
    empty = ((int(SHA256), bytes(32)),)
    quote = struct.pack("<II", 0x80080001, 4) + b"quot"
    log.record(0xFFFFFFFF, EV_NO_ACTION, empty, struct.pack("<II", 0xC0010004, len(quote)) + quote)
    found = show(tmp_path, log.build().serialise())
    assert found["events"][-1]["says"] == "Windows trust point, not measured (QUOTE)"
    assert found["warnings"] == []


def test_unknown_types_and_registers_are_told(tmp_path: Path) -> None:
    text = warned(tmp_path, built((7, 0x1234, b"x"), (30, EV_EFI_ACTION, b"x")))
    assert "unknown type" in text
    assert "30" in text


def test_a_repeated_or_impossible_startup_locality_is_told_and_left_out(tmp_path: Path) -> None:
    log = EventLogBuilder(locality=3)
    log.note(0, b"StartupLocality\x00\x04")
    log.separators()
    found = show(tmp_path, log.build().serialise())
    assert any("StartupLocality" in text for text in found["warnings"])
    start = bytes(31) + b"\x03"
    assert found["pcrs"]["sha256"]["0"] == hashlib.sha256(start + hashlib.sha256(bytes(4)).digest()).hexdigest()


def test_the_command_needs_no_django() -> None:
    code = "import sys; sys.modules['django'] = None; from hgs.cli.evidence import evidence; evidence(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "verify" in done.stdout
