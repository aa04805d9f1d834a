"""What the portal says of a host that asks no HGS."""

from django.utils import timezone

from fabric.web import statuses
from tests.cast import Cast, make_host


def test_a_host_in_local_mode_is_shown_as_one_that_protects_nothing(cast: Cast) -> None:
    host = make_host("hv01", last_report={"status": "NotConfigured"})
    shown = statuses.attestation(host, timezone.now())
    assert shown.word == "Local mode"
    assert "nothing protects VMs" in shown.reason
