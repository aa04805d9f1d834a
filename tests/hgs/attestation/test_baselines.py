"""Baselines: what is compared, what is not, and in which words a difference is told."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from hgs.attestation.baseline import (
    Baseline,
    ChangeKind,
    baseline_from_log,
    baseline_of,
    boot_from_reference_log,
    compare,
    reference_warnings,
)
from hgs.attestation.efi import EFI_GLOBAL, EfiVariable
from hgs.attestation.errors import Malformed, TooLarge
from hgs.attestation.policies import NamedBaseline, PolicySet, evaluate_policies
from hgs.attestation.tcglog import EV_EFI_GPT_EVENT, EV_EFI_VARIABLE_BOOT, parse_log, replay
from hgs.attestation.tpm import Algorithm
from hgs.attestation.verdict import Outcome
from tests.hgs.attestation.boots import OWNER, REVOKED, Boot, facts, judge, registered
from tests.hgs.attestation.samples import sample
from tests.hgs.attestation.tpm_hosts import Manufacturer


@pytest.fixture
def good(healthy: Boot) -> Boot:
    return healthy


@pytest.mark.parametrize(
    "same",
    [{"boot_counter": 99}, {"transfers": (1,)}, {"ci_digests": ("ab" * 32,)}, {"locality": 3}, {"iommu": False}],
)
def test_what_baselines_do_not_speak_of_does_not_break_them(good: Boot, same: dict[str, Any]) -> None:
    assert compare(baseline_of(facts(good)), facts(replace(good, **same))) == ()


def boot_entries(*names: str, order: tuple[int, ...]) -> tuple[tuple[int, int, bytes], ...]:
    """What firmware measures of its boot menu: BootOrder and Boot0000 … in PCR 1, the disk's partitions in PCR 5."""
    variable = EfiVariable(EFI_GLOBAL, "BootOrder", b"".join(number.to_bytes(2, "little") for number in order))
    entries = [EfiVariable(EFI_GLOBAL, f"Boot{at:04X}", name.encode()) for at, name in enumerate(names)]
    measured = [(1, EV_EFI_VARIABLE_BOOT, item.serialise()) for item in (variable, *entries)]
    return (*measured, (5, EV_EFI_GPT_EVENT, " ".join(names).encode()))


@pytest.mark.parametrize(
    "changed",
    [
        boot_entries("Windows Boot Manager", "Network", order=(1, 0)),
        boot_entries("Windows Boot Manager", "Network", "USB stick", order=(0, 1, 2)),
        boot_entries("Windows Boot Manager on another disk", order=(0,)),
    ],
    ids=["boot order", "another boot entry", "another disk"],
)
def test_a_changed_boot_menu_changes_registers_and_breaks_no_baseline(
    good: Boot, changed: tuple[tuple[int, int, bytes], ...]
) -> None:
    before = replace(good, firmware=boot_entries("Windows Boot Manager", "Network", order=(0, 1)))
    after = replace(good, firmware=changed, boot_counter=before.boot_counter + 1)
    registers = [replay(boot.log().build(), Algorithm.SHA256) for boot in (before, after)]
    assert {1, 12} <= {pcr for pcr in registers[0] if registers[0][pcr] != registers[1][pcr]} <= {1, 5, 12}
    assert compare(baseline_of(facts(before)), facts(after)) == ()
    assert judge(after, registered(before), "SecureBootSettings").outcome is Outcome.PASSED


NAME = "Dell R750 2026-03"
THIRD = b"\x03" * 32


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            {"secure_boot": b"\x00"},
            [
                (
                    "secure-boot",
                    "changed",
                    "off",
                    "Secure Boot is off, compared with on in the baseline Dell R750 2026-03.",
                )
            ],
        ),
        (
            {"debug": True},
            [("debug", "changed", "on", "Debugging is on, compared with off in the baseline Dell R750 2026-03.")],
        ),
        (
            {"revoked": REVOKED[:1]},
            [
                (
                    "dbx",
                    "removed",
                    f"sha256:{REVOKED[1].hex()}",
                    "The Secure Boot database dbx lost the entry sha256 020202020202…, "
                    "compared with the baseline Dell R750 2026-03.",
                )
            ],
        ),
        (
            {"revoked": (*REVOKED, THIRD)},
            [
                (
                    "dbx",
                    "added",
                    f"sha256:{THIRD.hex()}",
                    "The Secure Boot database dbx gained the entry sha256 030303030303…, "
                    "compared with the baseline Dell R750 2026-03.",
                )
            ],
        ),
        (
            {"custom_policy": b"\x06" * 32},
            [
                (
                    "custom-policy",
                    "removed",
                    f"000b:00000000:{'05' * 32}",
                    "The custom Secure Boot policy sha256 050505050505… (000b, 00000000) is gone, "
                    "compared with the baseline Dell R750 2026-03.",
                ),
                (
                    "custom-policy",
                    "added",
                    f"000b:00000000:{'06' * 32}",
                    "The custom Secure Boot policy sha256 060606060606… (000b, 00000000) is new, "
                    "compared with the baseline Dell R750 2026-03.",
                ),
            ],
        ),
    ],
)
def test_every_difference_is_named_with_the_baseline(
    good: Boot, change: dict[str, Any], found: list[tuple[str, str, str, str]]
) -> None:
    differences = compare(baseline_of(facts(good)), facts(replace(good, **change)), NAME)
    assert [(one.subject, one.kind.value, one.item, one.sentence) for one in differences] == found


def test_every_entry_that_is_missing_is_a_difference_of_its_own(good: Boot) -> None:
    differences = compare(baseline_of(facts(good)), facts(replace(good, revoked=())), NAME)
    assert [one.item for one in differences] == [f"sha256:{entry.hex()}" for entry in REVOKED]


def test_a_new_authority_is_named_by_the_subject_of_its_certificate(good: Boot) -> None:
    certificate = Manufacturer("Contoso Option ROM CA").root
    differences = compare(baseline_of(facts(good)), facts(replace(good, authority=certificate)), NAME)
    new, gone = sorted(differences, key=lambda one: one.kind)
    digest = hashlib.sha256(OWNER.bytes_le + certificate).hexdigest()
    assert (new.subject, new.kind, new.item) == ("authority", ChangeKind.ADDED, f"db:{digest}")
    assert new.sentence == (
        f"The new authority Contoso Option ROM CA (db, sha256 {digest[:12]}…) allowed a boot program, "
        "compared with the baseline Dell R750 2026-03."
    )
    assert gone.kind is ChangeKind.REMOVED
    assert "allowed no boot program any more" in gone.sentence


def test_the_nearest_baseline_is_named_with_what_differs(good: Boot) -> None:
    far = baseline_of(facts(replace(good, secure_boot=b"\x00", debug=True, revoked=())))
    policies = registered(good)
    policies = replace(policies, baselines=(NamedBaseline("Far", far), *policies.baselines))
    result = judge(replace(good, revoked=REVOKED[:1]), policies, "SecureBootSettings")
    sentence = "The Secure Boot database dbx lost the entry sha256 020202020202…, compared with the baseline Acme R1."
    assert result.evidence == {"nearest_baseline": "Acme R1", "differences": "1", "difference_1": sentence}
    assert result.sentence == (
        f"{sentence} The boot matches no TPM baseline; Acme R1 is the nearest. If the change is meant, capture this "
        "boot as a new baseline; otherwise set the firmware back."
    )
    assert judge(good, policies, "SecureBootSettings").evidence == {"baseline": "Acme R1"}


def test_a_long_list_of_differences_is_cut_in_the_sentence_and_counted(good: Boot) -> None:
    many = replace(good, revoked=tuple(bytes([number]) * 32 for number in range(1, 41)))
    result = judge(good, registered(many), "SecureBootSettings")
    assert result.evidence["differences"] == "38"
    assert result.sentence.count("compared with the baseline Acme R1") == 5
    assert "There are 33 more." in result.sentence
    assert result.evidence["difference_20"]
    assert "difference_21" not in result.evidence


def test_a_baseline_survives_storage(good: Boot) -> None:
    baseline = baseline_from_log(good.log().build().serialise())
    assert Baseline.from_json(baseline.to_json()) == baseline
    assert "dbx" in baseline.databases
    with pytest.raises(Malformed):
        Baseline.from_json({"secure_boot": True})


def test_a_poor_reference_host_is_warned_of(good: Boot) -> None:
    assert reference_warnings(facts(good)) == ()
    poor = replace(good, secure_boot=b"\x00", iommu=False, debug=True, ci_digests=(), transfers=())
    assert len(reference_warnings(facts(poor))) == 4
    assert len(reference_warnings(facts(replace(poor, debug=True, transfers=(1,))))) == 4


def test_a_file_that_is_no_log_is_no_baseline() -> None:
    with pytest.raises(Malformed):
        baseline_from_log(b"not a log at all, but long enough to hold a header")
    with pytest.raises(TooLarge):
        baseline_from_log(bytes(600 * 1024))


def test_a_real_log_as_baseline_matches_itself() -> None:
    data = sample("eventlogs/latitude-7520.bin")
    boot = boot_from_reference_log(data)
    assert compare(baseline_from_log(data), boot) == ()
    failed = {check.code for check in evaluate_policies(boot, PolicySet()) if check.outcome is Outcome.FAILED}
    assert failed == {
        "SecureBootEnabled",
        "SecureBootSettings",
        "SystemIntegrityCiKnownGood",
        "IommuEnabled",
        "PagefileEncryptionEnabled",
        "NoHibernation",
        "NoDumps",
        "DumpEncryption",
    }
    assert parse_log(data).header is not None
