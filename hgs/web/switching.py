"""Changes of what HGS demands, each asked for with a dry run: which hosts would fare otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from hgs.commands.mode import ineffective, set_mode, unready
from hgs.commands.policies import set_policy_enabled
from hgs.commands.signers import renew_signer
from hgs.commands.trust import remove_artefact, set_artefact_enabled
from hgs.models import Baseline, CiPolicy, DumpKey, OperationMode, ServiceConfiguration
from hgs.selectors import trust
from hgs.selectors.attestations import MODES
from hgs.selectors.configuration import configuration
from hgs.selectors.dry_run import mode_forecast
from hgs.selectors.policies import switchable
from hgs.selectors.policy_dry_run import artefact_forecast, policy_forecast
from hgs.web.access import context, form, page
from hgs.web.lists import one_of
from hgs.web.questions import Question, ask, done
from portal.kernel.actor import Actor
from portal.kernel.errors import NotFound

Artefact = Baseline | CiPolicy | DumpKey


# ---- policies ------------------------------------------------------------------------------------------------------


@form("hgs:policies")
def switch_policy(request: HttpRequest, actor: Actor, name: str, enabled: bool) -> HttpResponse:
    """Enable or disable a built-in policy."""
    word = "enabled" if enabled else "disabled"
    if request.method == "POST":
        changed = set_policy_enabled(actor, name, enabled)
        return done(request, f"{changed} {word}. It counts from the next attestation on.", "hgs:policies")
    policy = switchable(name, enabled)
    verb = "Enable" if enabled else "Disable"
    sentence = policy.meaning if enabled else f"HGS stops demanding: {policy.meaning}"
    question = Question(
        f"{verb} {policy.name}?",
        f"{verb} {policy.name}",
        "hgs:policies",
        "policies",
        [sentence, "It counts from the next attestation on; certificates that were given last for at most 8 hours."],
        forecast=policy_forecast(actor, name, enabled),
        is_danger=not enabled,
    )
    return ask(request, actor, question)


# ---- baselines, CI policies, dump keys -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    noun: str
    route: str
    find: Callable[[Actor, UUID], Artefact]


_KINDS: Final = {
    "baseline": _Kind("baseline", "hgs:baselines", trust.baseline),
    "ci-policy": _Kind("CI policy", "hgs:ci-policies", trust.ci_policy),
    "dump-key": _Kind("dump key", "hgs:dump-keys", lambda actor, pk: one_of(trust.dump_keys(actor), pk, "dump key")),
}


@form("hgs:overview")
def switch_artefact(request: HttpRequest, actor: Actor, kind: str, artefact_id: UUID, enabled: bool) -> HttpResponse:
    """Enable or disable a baseline, CI policy or dump key."""
    known = _KINDS[kind]
    artefact = known.find(actor, artefact_id)
    if request.method == "POST":
        set_artefact_enabled(actor, artefact, enabled)
        word = "enabled" if enabled else "disabled"
        return done(request, f"{known.noun[0].upper()}{known.noun[1:]} {artefact.name} {word}.", known.route)
    verb = "Enable" if enabled else "Disable"
    question = Question(
        f"{verb} {known.noun} {artefact.name}?",
        f"{verb} {artefact.name}",
        known.route,
        known.route.removeprefix("hgs:"),
        ["It counts from the next attestation on; certificates that were given last for at most 8 hours."],
        forecast=artefact_forecast(actor, artefact, enabled),
        is_danger=not enabled,
    )
    return ask(request, actor, question)


@form("hgs:overview")
def forget_artefact(request: HttpRequest, actor: Actor, kind: str, artefact_id: UUID) -> HttpResponse:
    """Remove a baseline, CI policy or dump key."""
    known = _KINDS[kind]
    artefact = known.find(actor, artefact_id)
    if request.method == "POST":
        name = artefact.name
        remove_artefact(actor, artefact)
        return done(request, f"{known.noun[0].upper()}{known.noun[1:]} {name} removed.", known.route)
    question = Question(
        f"Remove {known.noun} {artefact.name}?",
        f"Remove {artefact.name}",
        known.route,
        known.route.removeprefix("hgs:"),
        ["It is forgotten. To have it back, it must be submitted and approved again."],
        forecast=artefact_forecast(actor, artefact, False),
        is_danger=True,
    )
    return ask(request, actor, question)


# ---- mode ----------------------------------------------------------------------------------------------------------


@page
def show_mode(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The mode in force, and the others with what is registered for them."""
    found = ServiceConfiguration.objects.first()
    if found is None:
        return render(request, "hgs/mode.html", context(actor, "mode", modes=()))
    current = OperationMode(found.mode)
    modes = [(key, mode, mode is current, _MEANING[mode]) for key, mode in MODES.items()]
    return render(request, "hgs/mode.html", context(actor, "mode", modes=modes, stays=ineffective(current)))


@form("hgs:mode")
def change_mode(request: HttpRequest, actor: Actor, key: str) -> HttpResponse:
    """Switch the mode; asked for with a dry run over every known host."""
    mode = MODES.get(key)
    if mode is None:
        raise NotFound("no-such-mode", "There is no such mode.")
    if request.method == "POST":
        change = set_mode(actor, mode)
        was = f"HGS attests in {mode.label} mode now." if change.is_change else f"HGS was in {mode.label} mode already."
        return done(request, " ".join([was, *change.warnings]), "hgs:mode")
    question = Question(
        f"{mode.label} mode: which hosts would pass?",
        f"Switch to {mode.label} mode" if configuration().mode != mode else "",
        "hgs:mode",
        "mode",
        ["A switch counts at once, on every node: hosts of the mode before get no more certificates and no keys."],
        notes=(*unready(mode), *ineffective(mode)),
        mode_forecast=mode_forecast(actor, mode),
        is_danger=True,
    )
    return ask(request, actor, question)


_MEANING: Final = {
    OperationMode.TPM: "Hosts prove by their TPM who they are, how they booted and which code they run.",
    OperationMode.ACTIVE_DIRECTORY: "Hosts show by a Kerberos ticket that they are members of a registered group.",
    OperationMode.HOST_KEY: "Hosts sign with a registered key. Nothing is said about how they booted.",
}


# ---- the attestation signer ----------------------------------------------------------------------------------------


@form("hgs:keys")
def renew(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Replace the attestation signer now."""
    if request.method == "POST":
        compromised = request.POST.get("choice") == "yes"
        renew_signer(actor, timezone.now(), compromised=compromised)
        fate = " The one before is trusted no longer; hosts attest again by themselves." if compromised else ""
        return done(request, f"A new attestation signer signs health certificates from now on.{fate}", "hgs:keys")
    sentences = [
        "HGS renews its signer by itself well before it ends.",
        "The signer before signs nothing more. What it signed stays valid until it ends, at most 8 hours, unless its "
        "key may be known to others: then nothing that it signed counts from now on, and hosts get keys again once "
        "they have attested again, which they do by themselves.",
    ]
    question = Question(
        "Renew the attestation signer?",
        "Renew the signer",
        "hgs:keys",
        "keys",
        sentences,
        choice="The signer's key may be known to others: trust nothing that it signed",
        is_danger=True,
    )
    return ask(request, actor, question)
