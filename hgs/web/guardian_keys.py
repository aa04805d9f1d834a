"""The guardian's keys in the console: a new pair, one from a file, and the way of an old one out of use."""

from typing import Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from hgs.commands import guardian_keys as commands
from hgs.keyprotection.certificates import CertificateUse, grouped
from hgs.keyprotection.secret import Secret
from hgs.models import ServiceKey
from hgs.selectors.dependents import Dependents, dependents
from hgs.selectors.guardian_keys import guardian_key, guardian_key_rows, guardian_key_view
from hgs.web.access import context, deed, form, page
from hgs.web.lists import uploaded
from hgs.web.questions import Question, ask, done, is_meant
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid

_BACK: Final = "hgs:keys"
_TYPED: Final = 8
"""Digits of the fingerprint that name a key to people."""


def _named(key: ServiceKey) -> str:
    return f"{commands.USES[key.purpose]} key {grouped(key.fingerprint[:_TYPED])}"


@page
def show_dependents(request: HttpRequest, actor: Actor, key_id: UUID) -> HttpResponse:
    """What would open no more without a key."""
    key = guardian_key(actor, key_id)
    view = guardian_key_view(key, timezone.now())
    return render(request, "hgs/dependents.html", context(actor, "keys", key=view, name=_named(key)))


@deed(_BACK)
def add(request: HttpRequest, actor: Actor) -> str:
    """Add a key from a PFX file."""
    use = _use(request.POST.get("use", ""))
    password = Secret(request.POST.get("password", "").encode())
    added = commands.add_from_pfx(
        actor, use, uploaded(request, "file"), password, primary=request.POST.get("primary") == "yes"
    )
    more = "Tenants get it from now on." if added.is_primary else "It opens and signs; tenants get the primary one."
    return f"The {_named(added)} was added. {more}"


def _use(text: str) -> CertificateUse:
    for use in commands.PURPOSES:
        if use == text:
            return use
    raise Invalid("key-use", "It is not said what the key is for.", "Choose signing or encryption.")


@form(_BACK)
def new_pair(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Add a fresh key of each kind."""
    if request.method == "POST":
        primary = request.POST.get("choice") == "yes"
        pair = commands.new_pair(actor, primary=primary)
        fate = "Tenants get both from now on." if primary else "Tenants get the primary ones as before."
        return done(request, f"Added: the {_named(pair[0])} and the {_named(pair[1])}. {fate}", _BACK)
    question = Question(
        "Add a new pair of keys?",
        "Add the pair",
        _BACK,
        "keys",
        [
            "HGS makes a key to sign and a key to decrypt. The private keys are encrypted under its master key.",
            "Once they are the primary ones, tenants get them with the metadata. Those before stay enabled and open "
            "the key protectors that name them, until owners have granted the new guardian access.",
        ],
        choice="Make them the primary ones at once",
        is_chosen=True,
    )
    return ask(request, actor, question)


@form(_BACK)
def make_primary(request: HttpRequest, actor: Actor, key_id: UUID) -> HttpResponse:
    """Give tenants another key."""
    key = guardian_key(actor, key_id)
    other = _made_together(actor, key)
    if request.method == "POST":
        both = [key, other] if other is not None and request.POST.get("choice") == "yes" else [key]
        commands.make_primary(actor, *both)
        return done(request, f"Tenants get the {' and the '.join(_named(one) for one in both)} from now on.", _BACK)
    question = Question(
        f"Make the {_named(key)} the primary one?",
        "Make it primary",
        _BACK,
        "keys",
        [
            "Tenants get it with the metadata from now on, and key protectors that are made from then on name it.",
            "The one before stays enabled and opens the key protectors that name it.",
        ],
        choice=f"The {_named(other)} as well, which was made with it" if other else "",
        is_chosen=True,
    )
    return ask(request, actor, question)


def _made_together(actor: Actor, key: ServiceKey) -> ServiceKey | None:
    """The key of the other kind that was made at the same moment, where it can be the primary one."""
    rows = guardian_key_rows(actor).filter(created_at=key.created_at, is_enabled=True, is_primary=False)
    return rows.exclude(purpose=key.purpose).first()


@deed(_BACK)
def enable(_request: HttpRequest, actor: Actor, key_id: UUID) -> str:
    """Let a key open and sign again."""
    key = guardian_key(actor, key_id)
    commands.enable_key(actor, key)
    return f"The {_named(key)} opens and signs again."


@form(_BACK)
def disable(request: HttpRequest, actor: Actor, key_id: UUID) -> HttpResponse:
    """Let a key open and sign nothing."""
    key = guardian_key(actor, key_id)
    found = dependents(actor, [key])
    question = Question(
        f"Disable the {_named(key)}?",
        "Disable it",
        _BACK,
        "keys",
        ["It opens and signs nothing from the next request on, on every node. It can be enabled again."],
        dependents=found,
        typed=_typed(key) if found.count else "",
        is_danger=True,
    )
    if request.method == "POST":
        commands.disable_key(actor, key, force=is_meant(request, question))
        return done(request, f"The {_named(key)} was disabled.{_lost(found)}", _BACK)
    return ask(request, actor, question)


@form(_BACK)
def remove(request: HttpRequest, actor: Actor, key_id: UUID) -> HttpResponse:
    """Forget a key for ever."""
    key = guardian_key(actor, key_id)
    found = dependents(actor, [key])
    fate = (
        "HGS forgets the key; it stays in its token."
        if key.pkcs11_uri
        else "Its private key is deleted. Without a copy of it, what names it never opens again."
    )
    question = Question(
        f"Remove the {_named(key)}?",
        "Remove it",
        _BACK,
        "keys",
        [fate],
        dependents=found,
        typed=_typed(key),
        is_danger=True,
    )
    if request.method == "POST":
        commands.remove_keys(actor, key, force=is_meant(request, question))
        return done(request, f"The {_named(key)} was removed.{_lost(found)}", _BACK)
    return ask(request, actor, question)


def _typed(key: ServiceKey) -> str:
    return key.fingerprint[:_TYPED].upper()


def _lost(found: Dependents) -> str:
    return f" Lost with it: {found}." if found.count else ""
