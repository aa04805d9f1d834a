"""EFI images: sections and the hash that firmware uses, checked against the signing tool."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.disks.efi_image import EfiImageError, parse_efi_image

STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")


@pytest.fixture(scope="module")
def stub() -> bytes:
    if not STUB.exists():
        pytest.skip("the package systemd-boot-efi is not installed")
    return STUB.read_bytes()


def test_sections_are_read(stub: bytes) -> None:
    image = parse_efi_image(stub)
    assert b"systemd-stub" in (image.contents(".sdmagic") or b"")
    assert image.contents(".linux") is None


def test_the_hash_is_the_one_the_signing_tool_signs(stub: bytes, tmp_path: Path) -> None:
    source, key, certificate, signed = (tmp_path / name for name in ("s.efi", "k.pem", "c.pem", "out.efi"))
    source.write_bytes(stub)
    subject = ["-subj", "/CN=t/", "-keyout", key, "-out", certificate]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject], check=True, capture_output=True
    )
    subprocess.run(
        ["sbsign", "--key", key, "--cert", certificate, "--output", signed, source], check=True, capture_output=True
    )
    image = parse_efi_image(signed.read_bytes())
    # The signature holds the hash of the image (SpcIndirectDataContent) in clear.
    offset, length = image.certificates
    assert image.authenticode_hash() in image.data[offset : offset + length]


@given(st.binary(max_size=2000))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(EfiImageError):
        parse_efi_image(noise)


@given(st.data())
def test_a_damaged_image_never_fails_in_another_way(data: st.DataObject) -> None:
    image = bytearray(STUB.read_bytes()[:4096]) if STUB.exists() else bytearray(4096)
    for _ in range(data.draw(st.integers(1, 8))):
        image[data.draw(st.integers(0, len(image) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = parse_efi_image(bytes(image))
    except EfiImageError:
        return
    parsed.authenticode_hash()


def test_data_behind_the_signatures_is_refused(stub: bytes, tmp_path: Path) -> None:
    image = parse_efi_image(stub)
    changed = bytearray(stub)
    changed[image.security_entry_offset : image.security_entry_offset + 8] = (
        len(stub).to_bytes(4, "little") + b"\x08\0\0\0"
    )
    with pytest.raises(EfiImageError, match="at its end"):
        parse_efi_image(bytes(changed) + bytes(16))
