"""What the fabric does by the clock: notice silent hosts, renew attestations in time."""

from datetime import datetime, timedelta

from fabric.commands.hosts import ask_host_to_attest
from fabric.models import Host, HostState
from fabric.models.host import EXPIRY_WARNING, REPORT_LIFETIME
from portal.kernel.actor import system_actor

ASK_AGAIN_AFTER = timedelta(minutes=5)


def mark_silent_hosts(now: datetime) -> int:
    """Hosts that have not reported lately become unknown; returns how many."""
    return Host.objects.filter(state=HostState.ONLINE, last_report_at__lt=now - REPORT_LIFETIME).update(
        state=HostState.UNKNOWN
    )


def renew_attestations(now: datetime) -> int:
    """Ask online hosts to attest again before their certificate ends; returns how many were asked."""
    due = Host.objects.filter(state=HostState.ONLINE, passed=True, certificate_not_after__lt=now + EXPIRY_WARNING)
    asked = 0
    for host in due:
        if host.attestation_requested_at and now - host.attestation_requested_at < ASK_AGAIN_AFTER:
            continue
        ask_host_to_attest(system_actor("attestation"), host=host, reason="its health certificate ends soon", now=now)
        asked += 1
    return asked
