"""``gf hgs key``: the guardian's keys, and what depends on them."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

import click

from hgs.cli.node import by_id, on_node
from portal.cli.failure import CliError
from portal.cli.output import Format, output_option, show_rows

if TYPE_CHECKING:
    from hgs.keyprotection.certificates import CertificateUse
    from hgs.keyprotection.secret import Secret
    from hgs.models import ServiceKey
    from hgs.selectors.dependents import Dependents
    from portal.kernel.actor import Actor

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)
_NAMED: Final = 10
"""Dependents that a refusal names."""


@click.group()
def key() -> None:
    """The guardian's keys: what tenants' key protectors are made for, and what opens those made before."""


@key.command("list")
@output_option
@on_node
def list_(actor: "Actor", output: Format) -> None:
    """List the keys: which tenants get, which open as well, how long their certificates last, what depends on them."""
    from django.utils import timezone

    from hgs.selectors.guardian_keys import guardian_key_views

    rows = [view.to_json() for view in guardian_key_views(actor, timezone.now())]
    columns = [("id", "ID"), ("use", "USE"), ("state", "STATE"), ("key", "KEY"), ("expiry", "CERTIFICATE")]
    columns += [("dependents", "DEPENDENTS"), ("pkcs11_uri", "TOKEN"), ("fingerprint", "SHA-256")]
    show_rows(rows, columns, output)


@key.command("add")
@click.option("--type", "use", type=click.Choice(["signing", "encryption"]), required=True, help="What it is for.")
@click.option("--pfx", type=_FILE, help="A PFX file (PKCS #12) with the key and its certificate.")
@click.option("--certificate", type=_FILE, help="The certificate, PEM or DER; alone: a renewed one of a key HGS has.")
@click.option("--key", "private_key", type=_FILE, help="The private key, PEM or DER; the same file as well.")
@click.option("--pkcs11", "uri", default="", help="The key stays in a token: pkcs11:token=…;object=… (RFC 7512).")
@click.option("--generate", is_flag=True, help="A fresh key.")
@click.option("--password-file", type=click.File("r"), help="The password of the file (- for standard input).")
@click.option("--primary", is_flag=True, help="Tenants get it from now on.")
@on_node
def add(
    actor: "Actor",
    use: "CertificateUse",
    pfx: Path | None,
    certificate: Path | None,
    private_key: Path | None,
    uri: str,
    generate: bool,
    password_file: IO[str] | None,
    primary: bool,
) -> None:
    """Add a key to sign or to decrypt: from a PFX file, from files, in a token, or a fresh one."""
    from hgs.commands import guardian_keys as commands

    shown = certificate.read_bytes() if certificate else b""
    if [bool(pfx), bool(private_key), bool(uri), generate].count(True) > 1 or (certificate and (pfx or generate)):
        raise CliError("More than one key is named.", "Give one of --pfx, --key, --pkcs11 and --generate.")
    if pfx:
        added = commands.add_from_pfx(actor, use, pfx.read_bytes(), _password(password_file, ask=True), primary=primary)
    elif private_key:
        password = _password(password_file, ask=False)
        added = commands.add_from_files(
            actor, use, shown or private_key.read_bytes(), private_key.read_bytes(), password, primary=primary
        )
    elif uri:
        added = commands.add_from_token(actor, use, uri, shown, primary=primary)
    elif generate:
        added = commands.generate_key(actor, use, primary=primary)
    elif shown:
        added = commands.add_renewed_certificate(actor, use, shown, primary=primary)
    else:
        raise CliError("No key is named.", "Give one of --pfx, --key, --pkcs11, --generate and --certificate.")
    _tell_added(added)


def _password(given: IO[str] | None, *, ask: bool) -> "Secret":
    from hgs.keyprotection.secret import Secret

    if given is not None:
        return Secret(given.read().strip("\r\n").encode())
    return Secret(click.prompt("Password", hide_input=True, default="", show_default=False).encode() if ask else b"")


def _tell_added(added: "ServiceKey") -> None:
    from hgs.keyprotection.certificates import grouped

    what = "is what tenants get from now on" if added.is_primary else "opens and signs; tenants get the primary one"
    click.echo(f"{added.get_purpose_display()} key {str(added.id)[:8]} was added and {what}.")
    click.echo(f"SHA-256: {grouped(added.fingerprint)}")


@key.command("new-pair")
@click.option("--primary", is_flag=True, help="Tenants get both from now on.")
@on_node
def new_pair(actor: "Actor", primary: bool) -> None:
    """Add a fresh key to sign and a fresh key to decrypt, in one step."""
    from hgs.commands import guardian_keys as commands

    for added in commands.new_pair(actor, primary=primary):
        _tell_added(added)


@key.command("primary")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@on_node
def primary(actor: "Actor", ids: tuple[str, ...]) -> None:
    """Give tenants these keys from now on: one to sign, one to decrypt, or both in one step."""
    from hgs.commands.guardian_keys import make_primary

    found = [_key(actor, text) for text in ids]
    make_primary(actor, *found)
    for one in found:
        click.echo(f"{one.get_purpose_display()}: tenants get the certificate {one.fingerprint[:16]}… from now on.")


@key.command("enable")
@click.argument("key_id", metavar="ID")
@on_node
def enable(actor: "Actor", key_id: str) -> None:
    """Let a key open and sign again, with every certificate of it."""
    from hgs.commands.guardian_keys import enable_key

    enable_key(actor, _key(actor, key_id))
    click.echo("The key opens and signs again.")


def _force(command: _F) -> _F:
    return click.option("--force", is_flag=True, help="Though something depends on it and is lost.")(command)


@key.command("disable")
@click.argument("key_id", metavar="ID")
@_force
@on_node
def disable(actor: "Actor", key_id: str, force: bool) -> None:
    """Let a key open and sign nothing, with every certificate of it. It can be enabled again."""
    from hgs.commands.guardian_keys import disable_key

    _or_say_what_is_lost(lambda: disable_key(actor, _key(actor, key_id), force=force))
    click.echo("The key opens and signs nothing any more. gf hgs key enable takes that back.")


@key.command("remove")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@_force
@on_node
def remove(actor: "Actor", ids: tuple[str, ...], force: bool) -> None:
    """Forget keys for ever, all of them or none."""
    from hgs.commands.guardian_keys import remove_keys

    found = [_key(actor, text) for text in ids]
    _or_say_what_is_lost(lambda: remove_keys(actor, *found, force=force))
    for one in found:
        stays = " The private key stays in its token." if one.pkcs11_uri else ""
        click.echo(f"{one.get_purpose_display()} key {one.fingerprint[:16]}… was removed.{stays}")


@key.command("dependents")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@output_option
@on_node
def dependents_(actor: "Actor", ids: tuple[str, ...], output: Format) -> None:
    """List what would not open without these keys; without an ID, without all that are not the primary ones."""
    from hgs.selectors.dependents import dependents
    from hgs.selectors.guardian_keys import guardian_key_rows

    keys = [_key(actor, text) for text in ids] or list(guardian_key_rows(actor).filter(is_primary=False))
    found = dependents(actor, keys)
    columns = [("kind", "KIND"), ("id", "ID"), ("name", "NAME"), ("owner_fingerprint", "OWNER")]
    show_rows([one.to_json() for one in found.first], [*columns, ("source", "SAID BY"), ("at", "AT")], output)
    if output == "table":
        click.echo(f"{found}. {_since(found)}", err=True)


def _since(found: "Dependents") -> str:
    said = f"at {found.reported_at:%Y-%m-%d %H:%M} UTC" if found.reported_at else "never"
    unnamed = f" {found.unnamed} releases by it named no machine." if found.unnamed else ""
    return f"The fabric last said what it keeps: {said}.{unnamed}"


def _or_say_what_is_lost(change: Callable[[], None]) -> None:
    from portal.kernel.errors import Conflict

    try:
        change()
    except Conflict as refused:
        if refused.code != "key-in-use":
            raise
        first: Any = refused.details["first"]
        lines = [f"{one['kind']} {one['id']} {one['name']}".strip() for one in first[:_NAMED]]
        count: Any = refused.details["count"]
        if count > len(lines):
            lines.append(f"and {count - len(lines)} more")
        raise CliError(refused.message, refused.advice, details=tuple(lines)) from refused


def _key(actor: "Actor", text: str) -> "ServiceKey":
    """A key of the guardian by its id or the SHA-256 of its certificate, or what either begins with."""
    from hgs.selectors.guardian_keys import guardian_key_rows

    rows = guardian_key_rows(actor)
    wanted = text.replace(" ", "").replace(":", "").lower()
    by_certificate = list(rows.filter(fingerprint__startswith=wanted)[:2]) if len(wanted) >= 8 else []
    return by_certificate[0] if len(by_certificate) == 1 else by_id(rows, text, "guardian key")


COMMANDS: Final[tuple[click.Command, ...]] = (key,)
