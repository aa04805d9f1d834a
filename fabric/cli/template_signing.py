"""`gf template protect | inspect | verify`: what a publisher does with a disk, without a portal."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric.disks.catalog import CATALOG_MAX, SignedCatalog, parse_catalog
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record

if TYPE_CHECKING:
    from fabric.publishing.signing_keys import Signer

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
WRITABLE = click.Path(dir_okay=False, path_type=Path)
_FIELDS = (
    ("disk_name", "Disk name"),
    ("version", "Version"),
    ("signer", "Signing certificate (SHA-256)"),
    ("subject", "Signed by"),
    ("boot_certificate", "Boot certificate (SHA-256)"),
    ("disk_length", "Disk length (bytes)"),
    ("volumes", "Covered"),
)
_DISK_FIELDS = (
    ("disk", "Disk"), ("container", "Container"), ("length", "Length (bytes)"), ("data", "Of it in the file (bytes)"),
    ("partitions", "Partitions"), ("file_system", "Operating system volume"), ("verdict", "Can be signed"),
)  # fmt: skip


@click.command()
@click.option("--disk", type=EXISTING, required=True, help="Disk to sign: VHDX, VHD, qcow2 or raw.")
@click.option("--name", required=True, help="Disk name that shielding data will trust.")
@click.option("--version", required=True, help="Version a.b.c.d, each part below 65536.")
@click.option("--pfx", type=EXISTING, help="Signing certificate and key in one PFX file.")
@click.option("--certificate", type=EXISTING, help="Signing certificate, PEM or DER.")
@click.option("--key", type=EXISTING, help="Its private key, PEM.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line opens PFX, key or token; else asked for.")
@click.option("--token", help="Its private key in a token: pkcs11:token=NAME;object=NAME.")
@click.option("--module", type=EXISTING, help="The token's PKCS #11 module.")
@click.option("--boot-certificate", type=EXISTING, help="PEM; boot-certificate.pem beside the disk otherwise.")
@click.option("--catalog", type=WRITABLE, required=True, help="Volume signature catalog to write.")
@click.option("--out", "-o", type=WRITABLE, help="Write a VHDX of the disk too, for publishing.")
@click.option("--fresh", is_flag=True, help="Use nothing of a run that was stopped.")
def protect(
    disk: Path, name: str, version: str, pfx: Path | None, certificate: Path | None, key: Path | None,
    passphrase_file: Path | None, token: str | None, module: Path | None, boot_certificate: Path | None, catalog: Path,
    out: Path | None, fresh: bool,
) -> None:  # fmt: skip
    """Sign a template disk: check it, hash what boots, write its volume signature catalog.

    The disk is not changed. When you stop this with Ctrl-C or the machine fails, the same command goes on where it was.
    """
    from fabric.publishing import signing
    from fabric.publishing.signing_keys import load_certificate
    from fabric.publishing.template_builder import BOOT_CERTIFICATE_FILE

    boot = boot_certificate or disk.parent / BOOT_CERTIFICATE_FILE
    signer = _signer(pfx, certificate, key, passphrase_file, token, module)
    order = signing.ToSign(disk, name, version, signer, load_certificate(boot), catalog, out)
    with _progress("Hashing") as report:
        signed = signing.sign_template(order, report, fresh)
    click.echo(f"{catalog}: {signed.disk_name} {signed.version}, signer {signed.signer_fingerprint.hex()}")


def _signer(
    pfx: Path | None, certificate: Path | None, key: Path | None, passphrase_file: Path | None, token: str | None,
    module: Path | None,
) -> Signer:  # fmt: skip
    from fabric.publishing import signing_keys

    if pfx and not (certificate or key or token):
        return signing_keys.from_pfx(pfx, _secret("Passphrase of the PFX file", passphrase_file).encode())
    if certificate and token and module and not (pfx or key):
        return signing_keys.from_token(token, module, lambda: _secret("PIN of the token", passphrase_file), certificate)
    if certificate and key and not (pfx or token):
        passphrase = _secret("", passphrase_file).encode() if passphrase_file else None
        if passphrase is None and b"ENCRYPTED" in key.read_bytes()[:4096]:
            passphrase = _secret("Passphrase of the key", None).encode()
        return signing_keys.from_pem(certificate, key, passphrase)
    raise click.UsageError("name the signing key by --pfx, by --certificate and --key, or by --certificate and --token")


def _secret(question: str, file: Path | None) -> str:
    if file is not None:
        lines = file.read_text().splitlines()
        if len(lines) != 1 or not lines[0]:
            raise CliError(f"{file} does not hold one line.")
        return lines[0]
    if not sys.stdin.isatty():
        raise CliError(f"{question} is needed, and there is no terminal to ask on.", "Give it by --passphrase-file.")
    return str(click.prompt(question, hide_input=True, err=True))


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Bytes per second and the time left, on a terminal; nothing elsewhere."""
    begun, shown = time.monotonic(), 0.0
    before: list[int] = []

    def report(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if not before:
            before.append(done)
        if not sys.stderr.isatty() or (now - shown < 0.2 and done < total):
            return
        shown = now
        rate = (done - before[0]) / max(now - begun, 1e-6)
        left = f"{(total - done) / rate:.0f} s left" if rate else "…"
        click.echo(f"\r\033[K{what}: {done * 100 // total} %, {rate / 1e6:.0f} MB/s, {left}", nl=False, err=True)

    try:
        yield report
    finally:
        if shown:
            click.echo("\r\033[K", nl=False, err=True)


@click.command()
@click.argument("file", type=EXISTING)
@output_option
def inspect(file: Path, output: Format) -> None:
    """Show what a volume signature catalog says, after checking its signature; or whether a disk can be signed."""
    with file.open("rb") as stream:
        is_catalog = stream.read(32).startswith(b"<VolumeSignatureCatalog")
    if is_catalog:
        show_record(_facts(load_catalog(file)), _FIELDS, output)
    else:
        show_record(_disk_facts(file), _DISK_FIELDS, output)


@click.command()
@click.argument("disk", type=EXISTING)
@click.option("--catalog", type=EXISTING, required=True, help="The disk's volume signature catalog.")
def verify(disk: Path, catalog: Path) -> None:
    """Compare every covered byte of a disk with its catalog."""
    from fabric.publishing.signing import verify_template

    signed = load_catalog(catalog)
    with _progress("Comparing") as report:
        verify_template(disk, signed, report)
    click.echo(f"{disk} is {signed.disk_name} {signed.version} as it was signed.")


def load_catalog(path: Path) -> SignedCatalog:
    """Read a catalog and check its signature. Raises `CliError`, `CatalogError`."""
    if path.stat().st_size > CATALOG_MAX:
        raise CliError(f"{path} is too large to be a volume signature catalog.")
    return parse_catalog(path.read_bytes()).verify()


def _facts(signed: SignedCatalog) -> dict[str, Any]:
    catalog = signed.catalog
    return {
        "disk_name": signed.disk_name,
        "version": signed.version,
        "signer": signed.signer_fingerprint.hex(),
        "subject": signed.certificate.subject.rfc4514_string(),
        "boot_certificate": hashlib.sha256(catalog.boot_certificate).hexdigest(),
        "disk_length": catalog.disk_length,
        "volumes": [f"{item.role.value}: bytes {item.offset} + {item.length}" for item in catalog.volumes],
    }


def _disk_facts(path: Path) -> dict[str, Any]:
    from fabric.disks.errors import DiskError
    from fabric.publishing.errors import PublishingError
    from fabric.publishing.images import container_of, open_image
    from fabric.publishing.inspection import inspect_disk, partition_table

    facts: dict[str, Any] = {"disk": str(path), "container": container_of(path).value, "file_system": ""}
    with open_image(path) as disk:
        facts |= {"length": disk.layout.length, "data": disk.layout.data_length, "partitions": []}
        try:
            parts = partition_table(disk).partitions
            facts["partitions"] = [
                f"{item.name or item.type_id}: bytes {item.offset} + {item.length}" for item in parts
            ]
            facts["file_system"] = inspect_disk(disk, None).file_system.value
        except (DiskError, PublishingError) as error:
            return facts | {"verdict": f"no: {error.message} {error.advice}".rstrip()}
    return facts | {"verdict": "yes"}


COMMANDS = (protect, inspect, verify)
