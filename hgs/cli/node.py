"""Django for a command on the HGS node, and who is acting there."""

import getpass
import os
import socket
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from portal.cli.failure import CliError

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet

    from portal.kernel.actor import Actor

_P = ParamSpec("_P")
_R = TypeVar("_R")
_M = TypeVar("_M", bound="Model")


def on_node(command: Callable[Concatenate["Actor", _P], _R]) -> Callable[_P, _R]:
    """Run a command with HGS's own database; the person at the terminal acts as an HGS administrator.

    Whoever can read the master key and the database of HGS needs no further permission.
    """

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        _set_up()
        return command(_actor(), *args, **kwargs)

    return run


def _set_up() -> None:
    os.environ.setdefault("GF_ROLE", "hgs")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    import django
    from django.apps import apps
    from django.core.exceptions import ImproperlyConfigured

    try:
        if not apps.ready:
            django.setup()
    except ImproperlyConfigured as error:
        raise CliError(str(error), "Run gf hgs on the HGS node, with the environment of HGS.") from error
    if not apps.is_installed("hgs"):
        raise CliError("This environment is not that of HGS.", "Run gf hgs with GF_ROLE=hgs, or without GF_ROLE.")


def _actor() -> "Actor":
    from portal.kernel.actor import Actor, ActorKind, Role

    name = f"{getpass.getuser()} at {socket.gethostname()}"[:150]
    return Actor(ActorKind.USER, f"uid:{os.getuid()}", name, frozenset({Role.HGS_ADMIN}), via="gf hgs")


def by_id(found: "QuerySet[_M]", text: str, what: str) -> _M:
    """The one object whose id is, or begins with, ``text`` (8 digits or more)."""
    wanted = text.lower()
    if len(wanted) < 8 or any(character not in "0123456789abcdef-" for character in wanted):
        raise CliError(f"{text} is not the id of {_a(what)}.", "Give the id, or at least its first 8 digits.")
    matches = _matches(found, wanted)
    if len(matches) != 1:
        raise CliError(f"There is no {what} {text}." if not matches else f"Several ids begin with {text}.")
    return matches[0]


def _matches(found: "QuerySet[_M]", wanted: str) -> list[_M]:
    try:
        return list(found.filter(pk=UUID(wanted)))
    except ValueError:
        digits = wanted.replace("-", "")
        ids: list[Any] = [
            pk for pk in found.values_list("pk", flat=True) if str(pk).replace("-", "").startswith(digits)
        ]
        return list(found.filter(pk__in=ids[:2]))


def _a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def by_name(found: "QuerySet[_M]", name: str, what: str, listing: str = "") -> _M:
    """The one object of that name, whatever its case. ``listing``: what lists them, after ``gf hgs``."""
    match = found.filter(name__iexact=name).first()
    if match is None:
        raise CliError(f"There is no {what} named {name}.", f"List them: gf hgs {listing}" if listing else "")
    return match
