"""``gf hgs admin``: who may sign in to HGS."""

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

import click

from hgs.cli.node import on_node
from portal.cli.output import Format, output_option, show_record, show_rows

if TYPE_CHECKING:
    from portal.kernel.actor import Actor

_F = TypeVar("_F", bound=Callable[..., Any])
_PASSWORD: Final = ("password", "Password (shown once)")


def _password_option(command: _F) -> _F:
    return click.option(
        "--password-file",
        type=click.File("r"),
        help="File that holds the password (- for standard input). Without it a password is generated and shown once.",
    )(command)


def _password(given: IO[str] | None) -> tuple[str, str]:
    """The password, and what of it is shown: nothing of one that was given."""
    from hgs.commands.administrators import generate_password

    text = given.read().strip("\r\n") if given else ""
    if text:
        return text, ""
    made = generate_password()
    return made, made


@click.group()
def admin() -> None:
    """People of HGS: administrators and reviewers."""


@admin.command("add")
@click.argument("name")
@click.option("--reviewer", is_flag=True, help="May read, and change nothing.")
@_password_option
@output_option
@on_node
def add(actor: "Actor", name: str, reviewer: bool, password_file: IO[str] | None, output: Format) -> None:
    """Add a person to HGS's own accounts."""
    from hgs.commands.administrators import add_administrator

    password, shown = _password(password_file)
    add_administrator(actor, name, password, reviewer=reviewer)
    record = {"name": name, "role": "reviewer" if reviewer else "administrator", "password": shown}
    show_record(record, [("name", "Name"), ("role", "Role"), _PASSWORD], output)


@admin.command("list")
@output_option
@on_node
def list_(actor: "Actor", output: Format) -> None:
    """List people, with their role and whether they may sign in."""
    from hgs.selectors.people import people
    from portal.kernel.actor import Role

    rows = [
        {
            "name": user.username,
            "role": "administrator" if user.role == Role.HGS_ADMIN.value else "reviewer",
            "enabled": user.is_active,
            "last_sign_in": user.last_login.isoformat(timespec="seconds") if user.last_login else None,
        }
        for user in people(actor)
    ]
    columns = [("name", "NAME"), ("role", "ROLE"), ("enabled", "ENABLED"), ("last_sign_in", "LAST SIGN-IN")]
    show_rows(rows, columns, output)


@admin.command("password")
@click.argument("name")
@_password_option
@output_option
@on_node
def password_(actor: "Actor", name: str, password_file: IO[str] | None, output: Format) -> None:
    """Give a person a new password; their sessions end."""
    from hgs.commands.administrators import set_password

    password, shown = _password(password_file)
    set_password(actor, name, password)
    show_record({"name": name, "password": shown}, [("name", "Name"), _PASSWORD], output)


@admin.command("disable")
@click.argument("name")
@on_node
def disable(actor: "Actor", name: str) -> None:
    """Let a person sign in no more; their sessions end at once."""
    from hgs.commands.administrators import set_enabled

    click.echo(f"{name} is disabled." if set_enabled(actor, name, False) else f"{name} was disabled already.")


@admin.command("enable")
@click.argument("name")
@on_node
def enable(actor: "Actor", name: str) -> None:
    """Let a person who was disabled sign in again."""
    from hgs.commands.administrators import set_enabled

    click.echo(f"{name} is enabled." if set_enabled(actor, name, True) else f"{name} was enabled already.")


COMMANDS: Final[tuple[click.Command, ...]] = (admin,)
