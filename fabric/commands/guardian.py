"""Noticing that HGS has another guardian."""

from datetime import datetime

from fabric.models import GuardianInForce
from fabric.selectors.guardian import fabric_guardian
from portal.kernel import audit
from portal.kernel.actor import system_actor


def note_guardian(now: datetime) -> GuardianInForce:
    """Ask HGS for its guardian and keep what it says; a change of its keys becomes an audit event.

    Raises `Unavailable` where HGS does not answer; what was known stays.
    """
    seen = fabric_guardian()
    before = GuardianInForce.objects.first()
    changed = before is None or before.pair != seen.pair
    kept, _ = GuardianInForce.objects.update_or_create(
        pk=GuardianInForce.SINGLETON,
        defaults={
            "fingerprint": seen.fingerprint,
            "guardian_fingerprint": seen.guardian_fingerprint,
            "encryption_fingerprint": seen.encryption_fingerprint,
            "pair": seen.pair,
            "since": now if before is None or changed else before.since,
            "seen_at": now,
        },
    )
    if changed and before is not None:
        audit.record(
            system_actor("guardian"), "guardian:changed", target_type="guardian", target_id=seen.guardian_fingerprint,
            scope="fabric", summary="HGS has another primary pair of guardian keys: owners are to re-grant what "
            "was made for the earlier one",
            data={"guardian": seen.guardian_fingerprint, "encryption": seen.encryption_fingerprint,
                  "before": before.guardian_fingerprint, "encryption_before": before.encryption_fingerprint},
        )  # fmt: skip
    return kept
