"""What a boot log says of each program and driver that was loaded."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.baseline import boot_from_reference_log
from hgs.attestation.errors import LogUnsafe, Malformed
from hgs.attestation.modules import LoadedModule
from hgs.attestation.sipa import SipaType, encode_container, encode_text, encode_tlv
from tests.hgs.attestation.boots import Boot, facts
from tests.hgs.attestation.samples import sample

SVN, ORIGINAL_NAME = 0x7000B, 0x7000D
WHOLE = b"".join(
    (
        encode_text(SipaType.FILE_PATH, "\\Windows\\System32\\drivers\\foo.sys"),
        encode_tlv(SipaType.IMAGE_SIZE, (4096).to_bytes(8, "little")),
        encode_tlv(SipaType.HASH_ALGORITHM_ID, (0x800C).to_bytes(4, "little")),
        encode_tlv(SipaType.AUTHENTICODE_HASH, b"\x0f" * 32),
        encode_tlv(SipaType.IMAGE_VALIDATED, b"\x01"),
        encode_text(SipaType.AUTHORITY_ISSUER, "Contoso CA"),
        encode_text(SipaType.AUTHORITY_PUBLISHER, "Contoso"),
        encode_tlv(SipaType.AUTHORITY_SERIAL, b"\x33\x01"),
        encode_tlv(SipaType.AUTHORITY_SHA1_THUMBPRINT, b"\xaa" * 20),
        encode_tlv(SVN, (3).to_bytes(4, "little")),  # type: ignore[arg-type]
        encode_text(ORIGINAL_NAME, "foo.sys"),  # type: ignore[arg-type]
        encode_tlv(SipaType.IMAGE_BASE, bytes(8)),
        encode_tlv(0x7FFFF, b"of the future"),
    )
)


def test_a_module_is_read_whole_and_unknown_records_are_skipped() -> None:
    module = LoadedModule.parse(WHOLE)
    assert module == LoadedModule(
        path="\\Windows\\System32\\drivers\\foo.sys",
        authenticode_hash="0f" * 32,
        hash_algorithm="sha256",
        image_size=4096,
        issuer="Contoso CA",
        publisher="Contoso",
        serial="3301",
        thumbprint="aa" * 20,
        validated=True,
        svn=3,
        original_name="foo.sys",
    )
    assert module.name == "foo.sys"


def test_what_is_not_stated_is_not_invented() -> None:
    module = LoadedModule.parse(b"")
    assert (module.name, module.image_size, module.validated, module.svn) == ("", None, None, None)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (encode_tlv(SipaType.FILE_PATH, b"odd"), "not UTF-16"),
        (encode_text(SipaType.FILE_PATH, "a\nb"), "unprintable"),
        (encode_tlv(SipaType.IMAGE_SIZE, bytes(4)), "image size has a wrong size"),
        (encode_tlv(SipaType.IMAGE_VALIDATED, b"\x02"), "neither 0 nor 1"),
        (encode_text(SipaType.FILE_PATH, "a") * 2, "two records of its path"),
        (encode_text(SipaType.FILE_PATH, "a")[:-1], "cut short"),
        (b"\x01\x00", "cut short"),
    ],
)
def test_a_module_in_an_odd_encoding_is_malformed(record: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        LoadedModule.parse(record)


@given(st.binary(max_size=120), st.integers(0, len(WHOLE)))
def test_any_bytes_are_a_module_or_malformed(data: bytes, cut: int) -> None:
    for candidate in (data, WHOLE[:cut] + data):
        with suppress(Malformed):
            LoadedModule.parse(candidate)


def test_a_boot_lists_its_modules_in_order_from_register_13_alone() -> None:
    modules = tuple(
        encode_container(SipaType.LOADED_MODULE_AGGREGATION, encode_text(SipaType.FILE_PATH, name))
        for name in ("b.sys", "a.sys", "b.sys")
    )
    boot = facts(Boot(modules=modules, extra_settings=modules))
    assert [module.path for module in boot.modules] == ["b.sys", "a.sys", "b.sys"]


def test_a_module_that_cannot_be_read_is_an_error_when_modules_are_asked_for() -> None:
    odd = encode_container(SipaType.LOADED_MODULE_AGGREGATION, encode_tlv(SipaType.FILE_PATH, b"odd"))
    boot = facts(Boot(modules=(odd,)))
    with pytest.raises(LogUnsafe, match="PCR 13 has a module that cannot be read"):
        _ = boot.modules


def test_a_real_hosts_modules_are_read() -> None:
    boot = boot_from_reference_log(sample("eventlogs/latitude-7520.bin"))
    assert len(boot.modules) == 87
    first, last = boot.modules[0], boot.modules[-1]
    assert (first.name, first.publisher, first.hash_algorithm, first.validated) == (
        "winload.efi",
        "Microsoft Windows",
        "sha256",
        True,
    )
    assert first.issuer == "Microsoft Windows Production PCA 2011"
    assert first.svn == 1
    assert (last.name, last.svn) == ("vpci.sys", None)
    assert all(len(module.authenticode_hash) == 64 and len(module.thumbprint) == 40 for module in boot.modules)
