"""Hosts that do not attest: which, for what reason, and what to do about it."""

from collections.abc import Iterable
from datetime import timedelta
from textwrap import shorten
from typing import Final

from django.db.models import OuterRef, Subquery

from hgs.attestation.verdict import AttestationStatus as Status
from hgs.attestation.verdict import AttestationSubStatus as Sub
from hgs.attestation.verdict import Verdict
from hgs.models import Attestation, DomainHost, HostKey, OperationMode, TpmHost
from hgs.trace.findings import TPM_MODE, Diagnostic, Facts, Told, counted, named, passed, warning

RECENT: Final = timedelta(hours=24)

REMEDIES: Final = {
    Sub.BITLOCKER.value: "Encrypt the host's OS volume with the TPM, or disable Hgs_BitLockerEnabled.",
    Sub.CODE_INTEGRITY_POLICY.value: "Deploy a registered CI policy on the host, or submit and approve the one it has.",
    Sub.DEBUG_MODE.value: "Turn debuggers off on the host and restart it.",
    Sub.DUMPS_ENABLED.value: "Turn memory dumps off on the host and restart it.",
    Sub.DUMP_ENCRYPTION.value: "Turn the encryption of memory dumps on, on the host.",
    Sub.DUMP_ENCRYPTION_KEY.value: "Use a registered key, or register the host's: gf hgs dump-key add",
    Sub.FULL_BOOT.value: "Restart the host: it resumed from sleep or hibernation.",
    Sub.HIBERNATION_ENABLED.value: "Turn hibernation off on the host (powercfg /h off) and restart it.",
    Sub.HYPERVISOR_ENFORCED_CI.value: "Turn hypervisor-enforced code integrity on, on the host, and restart it.",
    Sub.IOMMU.value: "Turn the IOMMU on in the host's firmware and require DMA protection.",
    Sub.PAGEFILE_ENCRYPTION.value: "Turn the encryption of the page file on, on the host.",
    Sub.SECURE_BOOT.value: "Turn Secure Boot on in the host's firmware.",
    Sub.SECURE_BOOT_SETTINGS.value: "If the boot is as it should be, capture it: gf hgs capture --host NAME",
    Sub.TCG_LOG_VERIFICATION.value: "Restart the host; update its firmware if that does not help.",
    Sub.VIRTUAL_SECURE_MODE.value: "Turn virtualization-based security on, on the host, and restart it.",
}
_OTHERWISE: Final = "Look at its last attestation: gf hgs attestations --host NAME"


_KNOWN: Final[dict[OperationMode, tuple[type[TpmHost] | type[DomainHost] | type[HostKey], str]]] = {
    OperationMode.TPM: (TpmHost, "ek_hash"),
    OperationMode.ACTIVE_DIRECTORY: (DomainHost, "identity"),
    OperationMode.HOST_KEY: (HostKey, "fingerprint"),
}
"""Whoever may attest in each mode, and the field that holds its identity."""


def _latest(facts: Facts) -> dict[str, Attestation | None]:
    """The last attestation of each known host in the mode in force, by name."""
    model, identity = _KNOWN[facts.mode]
    last = Attestation.objects.filter(
        identity=OuterRef(identity), mode=facts.mode, proven=True, is_rehearsal=False
    ).order_by("-at")
    hosts = dict(
        model._default_manager.annotate(last_id=Subquery(last.values("pk")[:1])).values_list("name", "last_id")
    )
    found = Attestation.objects.in_bulk([pk for pk in hosts.values() if pk])
    return {name: found.get(pk) for name, pk in hosts.items()}


def never_attested(facts: Facts) -> Iterable[Told]:
    """Hosts that are registered and never came."""
    found = _latest(facts)
    missing = [name for name, last in found.items() if last is None]
    if missing:
        yield warning(
            f"Registered, and never attested in this mode: {named(missing)}.",
            "Attest on the host: gf host attest NAME",
        )
    elif found:
        yield passed("Every registered host has attested.")


def refused(facts: Facts) -> Iterable[Told]:
    """Hosts whose last attestation did not pass; one reason alone is named with what mends it."""
    found = {name: last for name, last in _latest(facts).items() if last is not None}
    bad = {name: last for name, last in found.items() if not last.passed}
    for name, last in bad.items():
        verdict = Verdict.from_json(last.verdict)
        checks = verdict.failed_checks
        if len(checks) == 1:
            remedy = REMEDIES.get(checks[0].sub_status.value, _OTHERWISE).replace("NAME", name)
            yield warning(f"{name} is refused for one reason alone: {_short(checks[0].sentence)}", remedy)
        else:
            reasons = ", ".join(item.value for item in verdict.sub_statuses)
            yield warning(
                f"{name} is refused for {len(checks)} reasons ({reasons}): {_short(verdict.summary)}",
                _OTHERWISE.replace("NAME", name),
            )
    if found and not bad:
        yield passed(f"The last attestation passed, of {counted(len(found), 'host')}.")


def _short(sentence: str) -> str:
    """The beginning of what may be long; the verdict has all of it."""
    return shorten(sentence, 240, placeholder=" …")


def expired(facts: Facts) -> Iterable[Told]:
    """Hosts whose certificate ran out without another attempt."""
    late = [
        name
        for name, last in _latest(facts).items()
        if last is not None
        and last.passed
        and last.certificate_not_after is not None
        and last.certificate_not_after <= facts.now
    ]
    if late:
        yield warning(
            f"The health certificate ran out, and nobody asked for another: {named(late)}.",
            "The host is off, or does not reach HGS. Check there: gf host diagnose NAME",
        )


def strangers(facts: Facts) -> Iterable[Told]:
    """TPMs that tried and are not registered."""
    tried = (
        Attestation.objects.filter(
            mode=OperationMode.TPM,
            is_rehearsal=False,
            host_name="",
            status=Status.UNAUTHORIZED_HOST.value,
            at__gt=facts.now - RECENT,
        )
        .exclude(identity__in=TpmHost.objects.values("ek_hash"))
        .values_list("identity", flat=True)
    )
    if identities := set(tried):
        yield warning(
            f"{counted(len(identities), 'TPM')} that HGS does not know tried to attest in the last 24 hours "
            f"({named((identity[:12] + '…' for identity in identities), most=4)}).",
            "If they are hosts of yours, submit their identities and approve them: gf hgs approvals",
        )


DIAGNOSTICS: Final = (
    Diagnostic("never-attested", "Hosts that never attested", "Hosts", never_attested),
    Diagnostic("refused-hosts", "Refused hosts", "Hosts", refused),
    Diagnostic("expired-hosts", "Expired hosts", "Hosts", expired),
    Diagnostic("unknown-tpms", "Unknown TPMs", "Hosts", strangers, TPM_MODE),
)
