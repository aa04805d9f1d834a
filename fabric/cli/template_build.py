"""`gf template build-linux`: a template disk that boots Debian."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("build-linux")
@click.option("--out", "-o", type=FOLDER, required=True, help="Folder for template.raw and boot-certificate.pem.")
@click.option("--cache", type=FOLDER, default=Path("var/cache"), show_default=True, help="Where fetched packages stay.")
@click.option("--suite", help="Suite such as bookworm; this machine's otherwise.")
@click.option("--mirror", "mirrors", multiple=True, help="Archive's address or sources.list line; apt's own otherwise.")
@click.option("--include", "include", multiple=True, help="Package to add; may be repeated or a list with commas.")
@click.option(
    "--size", type=click.IntRange(512, 8192), default=1024, show_default=True, help="MiB of the OS partition."
)
@click.option("--refresh", is_flag=True, help="Fetch packages anew although the cache has them.")
def build_linux(
    out: Path, cache: Path, suite: str | None, mirrors: tuple[str, ...], include: tuple[str, ...], size: int,
    refresh: bool,
) -> None:  # fmt: skip
    """Build an unsigned template disk that boots Debian with systemd and an SSH server."""
    from fabric.publishing.debian_template import DebianChoice, build_debian_template

    packages = tuple(name for item in include for name in item.split(",") if name)
    choice = DebianChoice(suite, mirrors, packages, size, refresh)
    built = build_debian_template(out, cache, choice, lambda text: click.echo(f"… {text}", err=True))
    click.echo(f"{built.disk} (Linux {built.kernel_release}), boot certificate {built.boot_certificate}")
