"""What HGS has stored, as one JSON object: ``python -m bench.attestation.stored`` in HGS's role."""

import json
import sys

import django


def main() -> None:
    """Counts of attestations and their audit events, and whether the chain of audit events is whole."""
    django.setup()
    from django.db.models import Q

    from hgs.commands.verdicts import KEPT_PER_HOST
    from hgs.models import Attestation
    from portal.kernel import audit
    from portal.kernel.models import AuditEvent

    kept = Attestation.objects.filter(passed=True).exclude(Q(certificate_serial="") | Q(log=None))
    found = {
        "attestations": kept.count(),
        "failed": Attestation.objects.filter(passed=False).count(),
        "audit_events": AuditEvent.objects.filter(event="attestation:passed").count(),
        "kept_per_host": KEPT_PER_HOST,
        "chain_broken_at": audit.verify_chain(),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
