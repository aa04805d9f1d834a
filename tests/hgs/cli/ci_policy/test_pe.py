"""PE files are hashed as signing tools hash them, and no file breaks the reader."""

import hashlib
import re
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hgs.cli.ci_policy.pe import NotAnImage, read_image
from tests.hgs.cli.ci_policy.images import CONSOLE, NATIVE, Signing, every_cut, real_images, small_pe


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    return Signing(tmp_path_factory.mktemp("signing"))


def saved(folder: Path, data: bytes, name: str = "foo.sys") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_the_hash_leaves_out_checksum_and_signature_directory(tmp_path: Path) -> None:
    data = small_pe(extra=b"12345678")
    checksum, directory = 64 + 24 + 64, 64 + 24 + 112 + 32
    kept = data[:checksum] + data[checksum + 4 : directory] + data[directory + 8 :]
    image = read_image(saved(tmp_path, data))
    assert image.sha256 == hashlib.sha256(kept).digest()
    assert image.sha1 == hashlib.sha1(kept, usedforsecurity=False).digest()
    changed = bytearray(data)
    struct.pack_into("<I", changed, checksum, 0x1234)
    assert read_image(saved(tmp_path, bytes(changed))).sha256 == image.sha256
    changed[-1] ^= 1
    assert read_image(saved(tmp_path, bytes(changed))).sha256 != image.sha256


@pytest.mark.parametrize(
    ("subsystem", "name", "drivers"),
    [
        (NATIVE, "a.dll", True),
        (CONSOLE, "a.exe", False),
        (CONSOLE, "a.SYS", True),
        (10, "a.efi", True),
        (16, "w", True),
    ],
)
def test_drivers_are_told_from_programs(tmp_path: Path, subsystem: int, name: str, drivers: bool) -> None:
    assert read_image(saved(tmp_path, small_pe(subsystem=subsystem), name)).drivers is drivers


@pytest.mark.parametrize("extra", [b"", b"1", b"1234567", b"12345678"])
@pytest.mark.parametrize("tool", ["osslsigncode", "sbsign"])
def test_a_signed_file_has_the_hash_that_was_signed(tmp_path: Path, signing: Signing, tool: str, extra: bytes) -> None:
    plain = read_image(saved(tmp_path, small_pe(extra=extra)))
    options = ("-h", "sha256") if tool == "osslsigncode" else ()
    signed = read_image(getattr(signing, tool)(plain.path, tmp_path / "signed.sys", *options))
    assert signed.signatures[0].digest == signed.sha256 == plain.sha256
    assert signed.note == ""


def test_real_files_have_the_hash_that_signing_tools_compute(tmp_path: Path, signing: Signing) -> None:
    images = real_images()
    if not images:
        pytest.skip("there are no PE files on this machine")
    for number, path in enumerate(images[::2]):
        signed = signing.osslsigncode(path, tmp_path / f"{number}.exe", "-h", "sha256")
        found = re.search(r"Calculated message digest\s*:\s*([0-9A-F]{64})", signing.verify(signed))
        assert found, path
        assert read_image(path).sha256.hex() == found[1].lower(), path
        assert read_image(signed).signatures[0].digest.hex() == found[1].lower()


def test_a_signature_tells_publisher_authority_and_usages(tmp_path: Path, signing: Signing) -> None:
    path = signing.osslsigncode(saved(tmp_path, small_pe()), tmp_path / "signed.sys", "-h", "sha256")
    (signature,) = read_image(path).signatures
    assert signature.publisher == "Foo Inc."
    assert signature.authority is not None
    assert signature.authority.name == "Test PCA 2026"
    assert signature.authority.tbs == hashlib.sha256(signing.authority.tbs_certificate_bytes).digest()
    assert signature.ekus == {"1.3.6.1.5.5.7.3.3"}
    facts = signature.facts()
    assert (facts.publisher, facts.issuer, facts.complete) == ("Foo Inc.", "Test PCA 2026", False)


def test_a_second_signature_is_found_inside_the_first(tmp_path: Path, signing: Signing) -> None:
    first = signing.osslsigncode(saved(tmp_path, small_pe()), tmp_path / "first.sys", "-h", "sha256")
    second = signing.osslsigncode(first, tmp_path / "second.sys", "-h", "sha1", "-nest")
    image = read_image(second)
    assert [item.digest for item in image.signatures] == [image.sha256, image.sha1]


def test_a_signature_for_other_content_does_not_count(tmp_path: Path, signing: Signing) -> None:
    data = bytearray(signing.osslsigncode(saved(tmp_path, small_pe()), tmp_path / "signed.sys").read_bytes())
    data[0x200] ^= 1
    image = read_image(saved(tmp_path, bytes(data)))
    assert image.signatures == ()
    assert image.note == "its signature is for other content"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no PE file"),
        (b"text", "no PE file"),
        (b"MZ", "no sound PE file"),
        (b"MZ" + bytes(500), "no sound PE file"),
        (small_pe()[:0x300], "lie outside"),
        (small_pe().replace(struct.pack("<I", 0x200) * 2, struct.pack("<II", 0x200, 0x100), 1), "overlap"),
    ],
)
def test_what_is_no_image_has_a_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(NotAnImage, match=reason):
        read_image(saved(tmp_path, data))


def test_a_folder_or_a_pipe_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(NotAnImage, match="no regular file"):
        read_image(tmp_path)


def test_a_signed_file_cut_short_or_changed_never_breaks_the_reader(tmp_path: Path, signing: Signing) -> None:
    data = signing.osslsigncode(saved(tmp_path, small_pe()), tmp_path / "signed.sys").read_bytes()
    for cut in every_cut(data, 37):
        with suppress(NotAnImage):
            read_image(saved(tmp_path, cut))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 0x3FF), st.integers(0, 255)), max_size=8))
def test_any_change_gives_an_image_or_a_reason(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(small_pe())
    for at, value in changes:
        data[at] = value
    with suppress(NotAnImage):
        assert len(read_image(saved(tmp_path, bytes(data))).sha256) == 32
