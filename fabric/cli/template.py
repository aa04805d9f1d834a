"""`gf template`: build, sign, inspect and publish template disks. Building and signing need no portal."""

from __future__ import annotations

from pathlib import Path

import click

from fabric.cli import template_in_portal
from fabric.cli.template_build import build_linux
from fabric.cli.template_signing import COMMANDS, load_catalog
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_record, show_rows

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
WRITABLE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
TEMPLATES = "/api/v1/template-disks"
_COLUMNS = (
    ("family", "FAMILY"), ("release", "RELEASE"), ("name", "NAME"), ("version", "VERSION"),
    ("signer_subject", "SIGNED BY"), ("state", "STATE"), ("id", "ID"),
)  # fmt: skip
_PUBLISHED = (
    ("id", "Id"), ("name", "Name"), ("version", "Version"), ("family", "Family"), ("release", "Release"),
    ("state", "State"), ("on_offer", "Offered to tenants"),
)  # fmt: skip
_SHOWN = (
    *_PUBLISHED, ("description", "Description"), ("signer_subject", "Signed by"),
    ("signer_fingerprint", "Signing certificate (SHA-256)"), ("disk_size", "Size (bytes)"),
    ("disk_sha256", "Disk, SHA-256"), ("catalog_sha256", "Catalog, SHA-256"), ("covers", "Covered"),
    ("published_at", "Published"), ("used_by", "Used by"),
)  # fmt: skip


@click.group()
def template() -> None:
    """Template disks: what shielded virtual machines are made from."""


template.add_command(build_linux)


@template.command()
@click.option("--out", "-o", type=FOLDER, required=True, help="Folder for template.raw and boot-certificate.pem.")
@click.option("--cache", type=FOLDER, default=Path("var/cache"), show_default=True, help="Where fetched kernels stay.")
@click.option("--size", type=click.IntRange(64, 8192), default=128, show_default=True, help="MiB of the OS partition.")
def build(out: Path, cache: Path, size: int) -> None:
    """Build an unsigned template disk from this distribution's kernel and tools."""
    from fabric.publishing.template_builder import build_template

    built = build_template(out, cache, size, lambda text: click.echo(f"… {text}", err=True))
    click.echo(f"{built.disk} (Linux {built.kernel_release}), boot certificate {built.boot_certificate}")


@template.command()
@click.argument("name")
@click.option("--out", "-o", type=FOLDER, required=True, help="Folder for signing.pem and signing.key.")
def certificate(name: str, out: Path) -> None:
    """Make a certificate and key that sign template disks. Whoever has the key can make disks that pass."""
    from fabric.publishing.certificates import write_signing_certificate

    fingerprint = write_signing_certificate(name, out)
    click.echo(f"{out / 'signing.pem'} and {out / 'signing.key'}; fingerprint {fingerprint}")


@template.command()
@click.argument("disk", type=EXISTING)
@click.option("--catalog", type=EXISTING, required=True, help="The disk's volume signature catalog.")
@click.option("--description", default="", help="What tenants read beside the name.")
@click.option("--family", default="", help="What tenants find it by; the catalog's name otherwise.")
@click.option("--release", default="", help="Its release; the catalog's version otherwise.")
@output_option
def publish(disk: Path, catalog: Path, description: str, family: str, release: str, output: Format) -> None:
    """Upload a signed disk and its catalog to the portal; name and version are the catalog's.

    Run again after an interruption, it goes on where it stopped.
    """
    from fabric.cli.library import publish_template

    load_catalog(catalog)
    words = {"description": description, "family": family, "release": release}
    show_record(publish_template(disk, catalog, words), _PUBLISHED, output)


@template.command("list")
@output_option
def list_templates(output: Format) -> None:
    """List the portal's template disks."""
    from portal.cli.rest import RestClient

    with RestClient() as portal:
        show_rows(list(portal.items(f"{TEMPLATES}/")), _COLUMNS, output)


@template.command()
@click.argument("name")
@output_option
def show(name: str, output: Format) -> None:
    """Show one template disk (NAME:VERSION or id): its facts, what its catalog covers, and who uses it."""
    from fabric.cli.library import template_facts

    show_record(template_facts(name), _SHOWN, output)


@template.command("set")
@click.argument("name")
@click.option("--family", help="What tenants find it by; empty takes it off their list.")
@click.option("--release", help="Its release; empty takes it off their list.")
@click.option("--description", help="What tenants read beside the name.")
@output_option
def set_words(name: str, output: Format, **words: str | None) -> None:
    """Change how a template disk (NAME:VERSION or id) is offered to tenants."""
    from fabric.cli.library import describe_template

    changes = {key: value for key, value in words.items() if value is not None}
    if not changes:
        raise CliError("There is nothing to change.", "Give --family, --release or --description.")
    show_record(describe_template(name, changes), _PUBLISHED, output)


@template.command()
@click.argument("name")
def retire(name: str) -> None:
    """Offer a template (NAME:VERSION or id) to nobody any more; what was made from it goes on."""
    _switch(name, "retire")


@template.command()
@click.argument("name")
def unretire(name: str) -> None:
    """Offer a retired template (NAME:VERSION or id) again."""
    _switch(name, "unretire")


def _switch(name: str, verb: str) -> None:
    from fabric.cli.library import one_template
    from portal.cli.rest import RestClient

    with RestClient() as portal:
        answer = portal.post(f"{TEMPLATES}/{one_template(portal, name)['id']}/{verb}/")
    click.echo(f"{answer['name']} {answer['version']} is {answer['state']}.")


@template.command("catalog")
@click.argument("template_id")
@click.option("--out", "-o", type=WRITABLE, required=True, help="File to write.")
def fetch_catalog(template_id: str, out: Path) -> None:
    """Fetch a template's volume signature catalog from the portal and check its signature."""
    from portal.cli.rest import RestClient

    with RestClient() as portal:
        portal.download(f"{TEMPLATES}/{template_id}/catalog/", out)
    signed = load_catalog(out)
    click.echo(f"{out}: {signed.disk_name} {signed.version}, signer {signed.signer_fingerprint.hex()}")


for signing_command in (*COMMANDS, *template_in_portal.COMMANDS):
    template.add_command(signing_command)
