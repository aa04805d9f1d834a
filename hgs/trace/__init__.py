"""Diagnostics of this HGS, as an administrator runs them when hosts do not attest, or to know that they will.

Each diagnostic is one small function that looks at one thing and tells what it found, with the remedy. It runs only in
the modes in which it means something: what does not apply is not mentioned, so nothing raises a false alarm.
"""

import logging
from collections.abc import Iterable

from django.db import DatabaseError
from django.utils import timezone

from hgs.attestation.errors import AttestationError
from hgs.models import OperationMode, ServiceConfiguration
from hgs.policy import Action, may
from hgs.trace import artefacts, certificates, clocks, hosts, people, service
from hgs.trace.findings import Diagnostic, Facts, Finding, Report, Result, failed, passed
from portal.kernel.actor import Actor
from portal.kernel.errors import DomainError
from portal.kernel.policy import require

__all__ = ["Finding", "Report", "Result", "trace"]

log = logging.getLogger(__name__)

DIAGNOSTICS: tuple[Diagnostic, ...] = (
    *service.DIAGNOSTICS,
    *people.DIAGNOSTICS,
    *artefacts.DIAGNOSTICS,
    *certificates.DIAGNOSTICS,
    *clocks.DIAGNOSTICS,
    *hosts.DIAGNOSTICS,
)
_DATABASE = ("database", "Database", "Service")


def trace(actor: Actor) -> Report:
    """Run every diagnostic that means something in the mode in force; changes nothing."""
    require(may(actor, Action.READ))
    now = timezone.now()
    try:
        configuration = ServiceConfiguration.objects.first()
    except DatabaseError as error:
        remedy = "Check HGS_DATABASE_URL, that the database runs, and that its schema is up to date: manage.py migrate."
        told = failed(f"The database does not answer: {type(error).__name__}.", remedy)
        return Report(now, None, (Finding(*_DATABASE, told),))
    found = [Finding(*_DATABASE, passed("The database answers."))]
    if configuration is None:
        told = failed("This HGS is not initialised.", "Run gf hgs init with the mode, for example --trust-tpm.")
        return Report(now, None, (*found, Finding("initialised", "Initialised", "Service", told)))
    mode = OperationMode(configuration.mode)
    facts = Facts(now, mode)
    for diagnostic in DIAGNOSTICS:
        if mode in diagnostic.modes:
            found += _run(diagnostic, facts)
    return Report(now, mode, tuple(found))


def _run(diagnostic: Diagnostic, facts: Facts) -> Iterable[Finding]:
    """What one diagnostic tells; what it meets keeps no other from looking."""
    try:
        told = list(diagnostic.look(facts))
    except (DatabaseError, DomainError, AttestationError, OSError) as error:
        told = [failed(f"This could not be looked at: {error}", "Look at the log of this node, at this minute.")]
        log.exception("a diagnostic could not be run")
    return [Finding(diagnostic.code, diagnostic.title, diagnostic.group, each) for each in told]
