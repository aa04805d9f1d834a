"""PE files: small ones made here, real ones of this machine, and signatures by real signing tools."""

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NATIVE, CONSOLE = 1, 3
_HEADERS = 0x200


def small_pe(content: bytes = b"code", *, subsystem: int = NATIVE, extra: bytes = b"") -> bytes:
    """A 64-bit PE file with one section, and ``extra`` bytes after it."""
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 240, 0x22)
    optional = struct.pack("<HBBIIIII", 0x20B, 1, 0, 0x200, 0, 0, 0x1000, 0x1000)
    optional += struct.pack(
        "<QIIHHHHHHIIIIHH", 0x140000000, 0x1000, 0x200, 6, 0, 0, 0, 6, 0, 0, 0x2000, _HEADERS, 0, subsystem, 0
    )
    optional += struct.pack("<QQQQII", 0x100000, 0x1000, 0x100000, 0x1000, 0, 16) + bytes(128)
    section = struct.pack("<8sIIIIIIHHI", b".text", len(content), 0x1000, 0x200, _HEADERS, 0, 0, 0, 0, 0x60000020)
    return (dos + coff + optional + section).ljust(_HEADERS, b"\0") + content.ljust(0x200, b"\0") + extra


def real_images() -> list[Path]:
    """PE files that are on most machines: boot programs, and launchers that Python's packaging tools bring."""
    roots = [Path(item) for item in sys.path if item.endswith("site-packages")]
    found = [*Path("/usr/lib/systemd/boot/efi").glob("*.efi*"), *Path("/usr/lib/shim").glob("*.efi")]
    for root in roots:
        found += [*root.glob("pip/_vendor/distlib/*.exe"), *root.glob("setuptools/*.exe")]
    return sorted(found)


class Signing:
    """A root, an authority below it and a publisher, as files for the signing tools."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root, root_key = _certificate("Test Root", None, None)
        self.authority, authority_key = _certificate("Test PCA 2026", self.root, root_key)
        self.leaf, self._key = _certificate("Foo Inc.", self.authority, authority_key, leaf=True)
        key = self._key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        (folder / "leaf.key").write_bytes(key)
        (folder / "leaf.pem").write_bytes(self.leaf.public_bytes(Encoding.PEM))
        chain = (self.leaf, self.authority)
        (folder / "chain.pem").write_bytes(b"".join(item.public_bytes(Encoding.PEM) for item in chain))
        (folder / "root.pem").write_bytes(self.root.public_bytes(Encoding.PEM))

    def osslsigncode(self, source: Path, target: Path, *options: str) -> Path:
        """Sign with the whole chain. Skips where the tool is missing."""
        self._run(
            "osslsigncode", "sign", *options, "-certs", "chain.pem", "-key", "leaf.key", "-in", source, "-out", target
        )
        return target

    def sbsign(self, source: Path, target: Path) -> Path:
        """Sign with the publisher's certificate alone. Skips where the tool is missing."""
        self._run("sbsign", "--key", "leaf.key", "--cert", "leaf.pem", "--output", target, source)
        return target

    def verify(self, target: Path) -> str:
        """What osslsigncode finds in a signed file."""
        return self._run("osslsigncode", "verify", "-CAfile", "root.pem", "-in", target)

    def _run(self, tool: str, *arguments: str | Path) -> str:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on this machine")
        command = [tool, *map(str, arguments)]
        found = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout


def _certificate(
    name: str, issuer: x509.Certificate | None, issuer_key: rsa.RSAPrivateKey | None, *, leaf: bool = False
) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2056, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=not leaf, path_length=None), critical=True)
    )
    if leaf:
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256()), key


def every_cut(data: bytes, step: int) -> Iterator[bytes]:
    """The file cut short at many places."""
    for size in range(0, len(data), step):
        yield data[:size]
