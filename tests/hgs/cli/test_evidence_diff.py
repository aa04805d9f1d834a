"""``gf evidence diff``: in HGS's terms for Windows, and event by event for every log."""

import json
from pathlib import Path
from typing import Any

from hgs.attestation.baseline import baseline_from_log
from hgs.attestation.tcglog import EV_EFI_ACTION, EventLogBuilder
from hgs.attestation.tpm import Algorithm
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.samples import sample
from tests.hgs.cli.evidence_files import answer, run

EV_IPL = 0xD


def diff(folder: Path, baseline: bytes, log: bytes, *options: str) -> tuple[int, dict[str, Any]]:
    (folder / "baseline").write_bytes(baseline)
    (folder / "log").write_bytes(log)
    plain = run("diff", folder / "baseline", folder / "log", *options)
    result = run("diff", folder / "baseline", folder / "log", "--json", *options)
    assert plain.exit_code == result.exit_code
    return result.exit_code, answer(result)


def boot(**changes: Any) -> bytes:
    return Boot(**changes).log().build().serialise()


def linux(*commands: str, banks: tuple[Algorithm, ...] = (Algorithm.SHA256,)) -> bytes:
    log = EventLogBuilder(banks)
    log.separators()
    for command in commands:
        log.measure(8, EV_IPL, f"grub_cmd: {command}\x00".encode())
    return log.build().serialise()


def test_a_log_is_the_same_as_itself(tmp_path: Path) -> None:
    for data in (boot(), linux("set a=1")):
        code, found = diff(tmp_path, data, data, "--exact")
        assert (code, found["same"], found["identical"]) == (0, True, True)
        assert not found["registers"]
        assert not found["events"]


def test_a_boot_counter_is_a_difference_that_hgs_does_not_mind(tmp_path: Path) -> None:
    code, found = diff(tmp_path, boot(), boot(boot_counter=99))
    assert code == 0
    assert found["same"]
    assert not found["identical"]
    assert [item["pcr"] for item in found["registers"]] == [12]
    assert "BOOTCOUNTER was 1, is 99" in found["events"][0]["says"]
    assert diff(tmp_path, boot(), boot(boot_counter=99), "--exact")[0] == 1


def test_what_hgs_minds_is_said_in_its_terms(tmp_path: Path) -> None:
    code, found = diff(tmp_path, boot(), boot(secure_boot=b"\x00", revoked=(b"\x01" * 32,), authority=b"another"))
    assert code == 1
    assert {item["subject"] for item in found["hgs"]["differences"]} == {"secure-boot", "authority", "dbx"}
    says = "\n".join(event["says"] for event in found["events"])
    assert "variable dbx lost 1 entry" in says
    assert "was: variable SecureBoot = 1 (on) · is: variable SecureBoot = 0 (off)" in says


def test_a_log_that_hgs_would_not_take_is_different(tmp_path: Path) -> None:
    code, found = diff(tmp_path, boot(), boot(markers=(12, 13)))
    assert code == 1
    assert found["hgs"]["differences"][0]["subject"] == "log"


def test_a_baseline_that_hgs_would_not_take_is_compared_by_events(tmp_path: Path) -> None:
    code, found = diff(tmp_path, boot(markers=(12, 13)), boot())
    assert code == 1
    assert found["hgs"]["comparable"] is False
    assert "PCR 14" in found["hgs"]["reason"]


def test_linux_logs_are_compared_event_by_event(tmp_path: Path) -> None:
    code, found = diff(tmp_path, linux("set a=1", "boot"), linux("set a=2", "insmod x", "boot"))
    assert code == 1
    assert found["hgs"]["comparable"] is False
    changes = {(event["change"], event["says"]) for event in found["events"]}
    assert changes == {
        ("changed", "was: GRUB command: set a=1 · is: GRUB command: set a=2"),
        ("added", "GRUB command: insmod x"),
    }
    _, back = diff(tmp_path, linux("set a=2", "insmod x", "boot"), linux("set a=1", "boot"))
    assert ("removed", "GRUB command: insmod x") in {(event["change"], event["says"]) for event in back["events"]}


def test_logs_of_other_banks_are_compared_by_their_data(tmp_path: Path) -> None:
    code, found = diff(tmp_path, linux("a", banks=(Algorithm.SHA1,)), linux("a", banks=(Algorithm.SHA256,)))
    assert code == 0
    assert any("no bank in common" in text for text in found["warnings"])


def test_long_histories_are_counted_instead_of_aligned(tmp_path: Path) -> None:
    log, other = EventLogBuilder(), EventLogBuilder()
    for number in range(1500):
        log.measure(8, EV_EFI_ACTION, str(number).encode())
        other.measure(8, EV_EFI_ACTION, str(number + 1).encode())
    code, found = diff(tmp_path, log.build().serialise(), other.build().serialise())
    assert code == 1
    assert len(found["events"]) <= 2


def test_a_stored_baseline_is_compared_with_a_log(tmp_path: Path) -> None:
    stored = json.dumps(baseline_from_log(boot()).to_json()).encode()
    assert diff(tmp_path, stored, boot(boot_counter=5))[0] == 0
    assert diff(tmp_path, stored, boot(debug=True))[0] == 1
    (tmp_path / "log").write_bytes(linux("a"))
    (tmp_path / "baseline").write_bytes(stored)
    assert run("diff", tmp_path / "baseline", tmp_path / "log").exit_code == 2


def test_what_cannot_be_read_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(boot())
    for data in (b"", b"{", b"{}", b"garbage"):
        (tmp_path / "bad").write_bytes(data)
        assert run("diff", tmp_path / "bad", tmp_path / "log").exit_code == 2
        assert run("diff", tmp_path / "log", tmp_path / "bad").exit_code == 2


def test_two_real_machines_differ_in_hgs_terms(tmp_path: Path) -> None:
    code, found = diff(tmp_path, sample("eventlogs/latitude-7520.bin"), sample("eventlogs/IMN-DELL-WBCL-BootCtrs.bin"))
    assert code == 1
    assert {"secure-boot", "authority", "dbx"} <= {item["subject"] for item in found["hgs"]["differences"]}
