"""The fabric's states as shapes, words and colours."""

from datetime import datetime

from fabric.models import (
    AttestationState,
    Host,
    HostState,
    SigningState,
    Submission,
    SubmissionState,
    TemplateDisk,
    TemplateSigning,
    TemplateState,
)
from portal.web import status
from portal.web.status import Status


def attestation(host: Host, now: datetime) -> Status:
    """What HGS says of a host."""
    if host.in_local_mode:
        return status.unknown("Local mode", "it has no HGS, and nothing protects VMs from it")
    match host.attestation_state(now):
        case AttestationState.ATTESTED:
            return status.attested()
        case AttestationState.EXPIRING:
            return status.expiring("Expiring", f"until {host.certificate_not_after:%H:%M} UTC")
        case AttestationState.EXPIRED:
            return status.expiring("Expired", "it gets no keys")
        case AttestationState.REFUSED:
            return status.refused("Refused", _why(host))
        case _:
            return status.unknown("Not attested yet")


def connection(host: Host, now: datetime) -> Status:
    """Whether a host's agent reports."""
    if host.last_report_at is None:
        return status.unknown("Never reported")
    if host.state == HostState.ONLINE and host.reported_within(now):
        return status.running("Online")
    return status.unknown("Unknown", f"as of {host.last_report_at:%H:%M} UTC")


def template(disk: TemplateDisk) -> Status:
    """Whether new VMs may be made from a disk."""
    if disk.is_on_offer:
        return status.running("Available")
    if disk.state == TemplateState.AVAILABLE:
        return status.warning("Not offered", "It has no family or no release.")
    return status.stopped("Retired")


def signing(begun: TemplateSigning) -> Status:
    """How far the signing of a template disk is."""
    match begun.state:
        case SigningState.PUBLISHED:
            return status.running("Published")
        case SigningState.SIGNING:
            return status.in_progress("Being signed", begun.job.percent if begun.job else None)
        case SigningState.STOPPED:
            return status.stopped("Cancelled")
        case SigningState.FAILED:
            return status.failed("Failed", begun.job.error_message if begun.job else "")
        case _:
            return status.pending("Draft")


def submission(sent: Submission) -> Status:
    """HGS's answer to a submission."""
    match sent.state:
        case SubmissionState.APPROVED:
            return status.running("Approved")
        case SubmissionState.REJECTED:
            return status.failed("Rejected")
        case _:
            return status.in_progress("Waiting for an HGS administrator")


def check(outcome: str) -> Status:
    """One check of a verdict."""
    match outcome:
        case "passed":
            return status.running("Passed")
        case "failed":
            return status.failed("Failed")
        case _:
            return status.stopped("Skipped")


def _why(host: Host) -> str:
    """The first failed check's sentence of the last verdict, if its row was fetched along."""
    last = host.last_attestation
    if last is None:
        return ""
    failed = [one.get("sentence", "") for one in last.checks if one.get("outcome") == "failed"]
    return f"{failed[0]}{f' ({len(failed) - 1} more)' if len(failed) > 1 else ''}" if failed else last.status
