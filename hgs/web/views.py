"""The pages of the HGS console."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from hgs.models import PolicyVersion
from hgs.selectors import guardian_keys, keys, overview, policies, trust
from hgs.trace import Result, trace
from hgs.web.access import context, page
from hgs.wire.kps import METADATA_PATH
from portal.kernel.actor import Actor


@page
def show_overview(request: HttpRequest, actor: Actor) -> HttpResponse:
    """What this HGS is and how it fares."""
    values = context(actor, "overview", service=overview.service(actor), metadata_path=METADATA_PATH)
    return render(request, "hgs/overview.html", values)


@page
def list_baselines(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Baselines."""
    values = context(actor, "baselines", artefacts=trust.baselines(actor))
    return render(request, "hgs/baselines.html", values)


@page
def list_ci_policies(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Code integrity policies."""
    values = context(actor, "ci-policies", artefacts=trust.ci_policies(actor))
    return render(request, "hgs/ci_policies.html", values)


@page
def list_dump_keys(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Keys that memory dumps may be encrypted to."""
    values = context(actor, "dump-keys", artefacts=trust.dump_keys(actor), versions=PolicyVersion)
    return render(request, "hgs/dump_keys.html", values)


@page
def list_policies(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The built-in policies and their state."""
    values = context(actor, "policies", policies=policies.policies(actor))
    return render(request, "hgs/policies.html", values)


@page
def list_keys(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The guardian's keys, the other certificates of HGS, and the TPM makers it trusts."""
    values = context(
        actor,
        "keys",
        guardian=guardian_keys.guardian_key_views(actor, timezone.now()),
        certificates=keys.certificates(actor, of_guardian=False),
        deny_issued_before=overview.deny_issued_before(actor),
        offline_starts=overview.offline_starts(actor),
        signers=keys.signers(actor),
        tpm_roots=trust.tpm_roots(actor),
    )
    return render(request, "hgs/keys.html", values)


@page
def show_diagnostics(request: HttpRequest, actor: Actor) -> HttpResponse:
    """What the diagnostics say; what passed as well where the address asks for it."""
    report = trace(actor)
    detailed = request.GET.get("detailed") == "yes"
    values = context(
        actor,
        "diagnostics",
        report=report,
        detailed=detailed,
        findings=report.shown(detailed=detailed),
        passed=report.count(Result.PASS),
    )
    return render(request, "hgs/diagnostics.html", values)
