"""What may be believed of a boot log, and what an attacker who writes it cannot do."""

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.efi import EFI_GLOBAL, EfiVariable
from hgs.attestation.errors import LogUnsafe, Malformed
from hgs.attestation.sipa import (
    MeasuredBoot,
    SipaType,
    SiPolicyInfo,
    VsmKey,
    encode_boolean,
    encode_container,
    encode_number,
    encode_text,
    encode_tlv,
    measured_boot,
    parse_custom_policy,
    read_leaves,
)
from hgs.attestation.tcglog import (
    EV_EFI_ACTION,
    EV_EVENT_TAG,
    EV_SEPARATOR,
    Event,
    EventLogBuilder,
    accept_reference_log,
    parse_log,
)
from hgs.attestation.tpm import Algorithm
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.samples import sample


def facts(log: EventLogBuilder) -> MeasuredBoot:
    return measured_boot(accept_reference_log(log.build()))


def relabelled(log: EventLogBuilder, wanted: Callable[[Event], bool], kind: int) -> EventLogBuilder:
    """The same measurements with another event type: what an attacker may write without touching a register."""
    copy = EventLogBuilder()
    for event in log.build().events:
        copy.record(event.pcr, kind if wanted(event) else event.type, event.digests, event.data)
    return copy


# ---- real logs -----------------------------------------------------------------------------------------------------


def test_a_real_host_with_vsm_gives_its_facts() -> None:
    log = parse_log(sample("eventlogs/latitude-7520.bin"))
    boot = measured_boot(accept_reference_log(log))
    assert boot.transfers == (1, 5)
    assert [policy.label for policy in boot.ci_policies] == ["DriverSiPolicy.p7b 10.0.21250.0"]
    assert boot.ci_policies[0].digest.hex().startswith("21c6ab350d9e8fa3")
    assert boot.identity_keys[0].serialise().hex().startswith("01000000000800000300000000010000010001c38215d5")
    assert boot.identity_signing_keys[0].serialise().hex().startswith("01000000000800000300000000010000010001d2c7cdd8")
    assert not boot.secure_boot.enabled
    assert not boot.debugging
    assert boot.never_zero(SipaType.VBS_HVCI_POLICY)


def test_a_real_host_with_secure_boot_gives_its_authorities() -> None:
    log = parse_log(sample("eventlogs/IMN-DELL-WBCL-BootCtrs.bin"))
    boot = measured_boot(accept_reference_log(log))
    assert boot.secure_boot.enabled
    names = [authority.description for authority in boot.secure_boot.authorities]
    assert names == ["Microsoft Corporation UEFI CA 2011", "Microsoft Windows Production PCA 2011"]
    assert len(boot.secure_boot.dbx) == 268
    assert not boot.identity_keys


def test_a_real_sha1_log_is_read_too() -> None:
    log = parse_log(sample("eventlogs/windows_gcp_shielded_vm.eventlog.bin"))
    boot = measured_boot(accept_reference_log(log, Algorithm.SHA1))
    assert boot.transfers == (1,)
    assert boot.custom_policies == ("000b:00000000:c8600dc5ed573a39547d11bb82fcd0390dd3d805e23cd11320ede902d146d49b",)


def test_a_real_linux_log_has_no_windows_facts() -> None:
    log = parse_log(sample("eventlogs/binary_bios_measurements-secureboot.bin"))
    with pytest.raises(LogUnsafe, match="end marker"):
        measured_boot(accept_reference_log(log))


# ---- markers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [12, 13, 14])
def test_a_register_without_end_marker_makes_the_log_unusable(missing: int) -> None:
    markers = [pcr for pcr in (12, 13, 14) if pcr != missing]
    with pytest.raises(LogUnsafe, match=f"PCR {missing} has no end marker"):
        facts(Boot(markers=markers).log())


def test_a_second_marker_is_an_error() -> None:
    with pytest.raises(LogUnsafe, match="second end marker"):
        facts(Boot(after_markers=((12, EV_SEPARATOR, b"WBCL"),)).log())


def test_records_after_the_marker_are_not_boot_state() -> None:
    late = encode_boolean(SipaType.BOOT_DEBUGGING, True)
    idk = encode_tlv(SipaType.VSM_IDK_INFO, VsmKey((1 << 2047) + 1, 65537).serialise())
    boot = facts(Boot(after_markers=((12, EV_EVENT_TAG, late), (12, EV_EVENT_TAG, idk), (13, 99, b"junk"))).log())
    assert not boot.debugging
    assert not boot.identity_keys


def test_a_marker_under_another_type_is_an_error() -> None:
    log = relabelled(Boot().log(), lambda event: event.data == b"WBCL", EV_EVENT_TAG)
    with pytest.raises(LogUnsafe, match="another event type"):
        facts(log)


# ---- relabelling and digests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [EV_SEPARATOR, EV_EFI_ACTION, 1, 0xD, 0xFFFFFFFF])
@pytest.mark.parametrize("pcr", [12, 13, 14])
def test_a_relabelled_record_is_an_error_not_an_absence(pcr: int, kind: int) -> None:
    log = relabelled(Boot().log(), lambda event: event.pcr == pcr and event.data != b"WBCL", kind)
    with pytest.raises(LogUnsafe, match=f"PCR {pcr}"):
        facts(log)


def test_relabelling_records_of_register_7_changes_nothing() -> None:
    honest = Boot(secure_boot=b"\x00").log()
    for kind in (EV_SEPARATOR, EV_EFI_ACTION, 0x800000E0, 77):
        assert facts(relabelled(honest, lambda event: event.pcr == 7, kind)).secure_boot == facts(honest).secure_boot


@pytest.mark.parametrize("pcr", [7, 12, 13, 14])
def test_data_that_was_not_digested_is_an_error(pcr: int) -> None:
    log = EventLogBuilder()
    for event in Boot().log().build().events:
        data = event.data + b"!" if event.pcr == pcr and event.data != b"WBCL" else event.data
        log.record(event.pcr, event.type, event.digests, data)
    with pytest.raises(LogUnsafe, match=f"PCR {pcr}"):
        facts(log)


def test_what_is_not_a_record_is_an_error() -> None:
    for junk in (b"", b"abc", struct.pack("<II", 1, 99) + b"short", encode_boolean(SipaType.TEST_SIGNING, True) * 2):
        with pytest.raises(LogUnsafe, match="PCR 12"):
            facts(Boot(extra_settings=(junk,)).log())


@pytest.mark.parametrize("payload", [b"", b"\x02", b"\x00\x00"])
def test_a_flag_in_an_odd_encoding_is_an_error(payload: bytes) -> None:
    with pytest.raises(LogUnsafe, match="BOOT_DEBUGGING"):
        facts(Boot(extra_settings=(encode_tlv(SipaType.BOOT_DEBUGGING, payload),)).log())


def test_unknown_record_types_are_skipped() -> None:
    assert facts(Boot(extra_settings=(encode_tlv(0x000FFFFF, b"future"),)).log()).flags == facts(Boot().log()).flags


# ---- latches -------------------------------------------------------------------------------------------------------


def test_a_bad_flag_is_not_reset_by_a_later_record() -> None:
    boot = facts(replace(Boot(debug=True), extra_settings=(encode_boolean(SipaType.BOOT_DEBUGGING, False),)).log())
    assert boot.ever(SipaType.BOOT_DEBUGGING)
    assert boot.debugging


def test_a_good_flag_is_not_restored_by_a_later_record() -> None:
    boot = facts(Boot(iommu=False, extra_settings=(encode_boolean(SipaType.VBS_IOMMU_REQUIRED, True),)).log())
    assert not boot.always(SipaType.VBS_IOMMU_REQUIRED)


def test_what_was_never_measured_is_neither_good_nor_bad() -> None:
    boot = facts(Boot().log())
    assert not boot.measured(SipaType.SAFE_MODE)
    assert not boot.always(SipaType.SAFE_MODE)
    assert not boot.ever(SipaType.SAFE_MODE)
    assert not boot.never_zero(SipaType.BITLOCKER_UNLOCK)


def test_an_identity_key_outside_register_12_does_not_count() -> None:
    log = EventLogBuilder()
    record = encode_tlv(SipaType.VSM_IDK_INFO, VsmKey((1 << 2047) + 1, 65537).serialise())
    log.measure(13, EV_EVENT_TAG, record)
    for event in Boot().log().build().events:
        log.record(*event)
    assert not facts(log).identity_keys


# ---- register 7 ----------------------------------------------------------------------------------------------------


def test_secure_boot_must_be_on_wherever_it_was_measured() -> None:
    log = Boot(secure_boot=b"\x00").log()
    variable = EfiVariable(EFI_GLOBAL, "SecureBoot", b"\x01").serialise()
    log.measure(7, 0x80000001, variable)
    assert not facts(log).secure_boot.enabled


def test_secure_boot_measured_only_after_the_separator_does_not_count() -> None:
    log = EventLogBuilder()
    for event in Boot().log().build().events:
        if not (event.pcr == 7 and b"S\x00e\x00c\x00u\x00r\x00e\x00B" in event.data):
            log.record(*event)
    assert facts(log).secure_boot.state == "not measured"
    log.measure(7, 0x80000001, EfiVariable(EFI_GLOBAL, "SecureBoot", b"\x01").serialise())
    assert not facts(log).secure_boot.enabled


def test_firmware_debug_mode_is_seen() -> None:
    log = Boot().log()
    log.measure(7, EV_EFI_ACTION, b"UEFI Debug Mode")
    assert facts(log).debugging


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x01", b"\x01\x02", bytes(4)])
def test_content_of_register_7_that_cannot_be_accounted_for_is_an_error(data: bytes) -> None:
    log = Boot().log()
    log.measure(7, EV_SEPARATOR, data)
    with pytest.raises(LogUnsafe, match="PCR 7"):
        facts(log)


# ---- encodings -----------------------------------------------------------------------------------------------------


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20), st.binary(min_size=1, max_size=64))
def test_code_integrity_records_survive(name: str, digest: bytes) -> None:
    policy = SiPolicyInfo(name, (10, 0, 1, 65535), 0x000B, digest)
    assert SiPolicyInfo.parse(policy.serialise()) == policy


@given(st.integers(1 << 2047, (1 << 2048) - 1), st.sampled_from([3, 65537]))
def test_identity_records_survive(modulus: int, exponent: int) -> None:
    key = VsmKey(modulus, exponent)
    assert VsmKey.parse(key.serialise()) == key


@given(st.binary(max_size=120))
def test_any_bytes_are_a_record_or_malformed(data: bytes) -> None:
    for parse in (read_leaves, SiPolicyInfo.parse, VsmKey.parse, parse_custom_policy):
        with suppress(Malformed):
            parse(data)


def test_containers_are_opened_to_a_bounded_depth() -> None:
    leaf = encode_number(SipaType.BOOT_COUNTER, 5)
    nested = encode_container(SipaType.TRUST_BOUNDARY, encode_container(SipaType.LOADED_MODULE_AGGREGATION, leaf))
    for with_modules in (False, True):
        leaves = read_leaves(nested, with_modules=with_modules)
        assert leaves.values == [(SipaType.BOOT_COUNTER, (5).to_bytes(8, "little"))]
        assert leaves.modules == ([leaf] if with_modules else [])
    for _ in range(6):
        nested = encode_container(SipaType.TRUST_BOUNDARY, nested)
    with pytest.raises(Malformed, match="deep"):
        read_leaves(nested)
    modules = leaf
    for _ in range(7):
        modules = encode_container(SipaType.LOADED_MODULE_AGGREGATION, modules)
    with pytest.raises(Malformed, match="deep"):
        read_leaves(modules, with_modules=True)


def test_text_is_utf16_with_a_terminating_zero() -> None:
    assert encode_text(SipaType.SYSTEM_ROOT, "\\W")[8:] == b"\\\x00W\x00\x00\x00"
