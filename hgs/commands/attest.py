"""Attestation: one message of a host in, one reply out, and the verdict stored.

The exchange itself is pure (:mod:`hgs.attestation.exchange`); here it meets the database: what HGS trusts, which
exchanges are used up, the signer of health certificates. Several HGS nodes over one database share all of it.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import IntegrityError

from hgs.attestation import exchange
from hgs.attestation.ekcert import parse_ek_certificate
from hgs.attestation.endorsement import (
    EndorsementKey,
    EndorsementTrust,
    KnownHost,
    endorsement_from_certificate,
    endorsement_from_public,
)
from hgs.attestation.errors import AttestationError
from hgs.attestation.replies import error_reply
from hgs.attestation.tpm import TpmtPublic
from hgs.commands.answers import Answer
from hgs.commands.health_certificates import certify
from hgs.commands.verdicts import store
from hgs.models import Attestation, PolicyVersion, TpmHost, UsedContext
from hgs.selectors.in_force import InForce, in_force
from hgs.wire import hgsa, rtpm
from hgs.wire.errors import WireError
from portal.kernel.durability import unhurried_transaction
from portal.kernel.prepared import PARAMETER, PreparedObject
from portal.kernel.prepared_writes import PreparedInsert

log = logging.getLogger(__name__)

_HOST: Final = PreparedObject(
    TpmHost, lambda hosts: hosts.filter(ek_hash=PARAMETER).defer("ek_public", "approved_at", "approved_by")
)
_USED: Final = PreparedInsert(UsedContext)

SWEEP_ONE_IN: Final = 64
"""Used contexts that have expired are swept at one attestation in so many."""


@dataclass(frozen=True)
class Evidence:
    """What both protocol versions come down to. ``host``: the row of the endorsement key, of whichever version."""

    session_id: UUID
    requested: tuple[hgsa.AttestationResultType, ...]
    endorsement: EndorsementKey
    host: TpmHost | None
    context: rtpm.RtpmContext
    version: PolicyVersion
    is_rehearsal: bool
    found: InForce

    @property
    def trust(self) -> EndorsementTrust:
        """Which host this may be, in the version that it speaks, and the TPM makers it may come from."""
        host, makers = self.host, self.found.trusted.authorities
        known = None
        if host is not None:
            only_by = "" if host.policy_version == self.version else PolicyVersion(host.policy_version).label
            known = KnownHost(host.name, without_certificate=not host.ek_certificate, only_by=only_by)
        return EndorsementTrust({self.endorsement.ek_hash: known}.get, makers.roots, makers.intermediates)


def attest(message: hgsa.Message, now: datetime, found: InForce | None = None, *, is_rehearsal: bool = False) -> Answer:
    """Answer one message of the RTPM exchange, of version 1 or 2 ([MS-HGSA] 3.1.5.1).

    Only hosts and artefacts of the message's version count. A rehearsal is judged and stored like an attestation, and
    gives no certificate. Raises Unavailable when HGS is not initialised.
    """
    found = found or in_force()
    try:
        if isinstance(message, hgsa.TpmRequestInitial):
            return _answer_initial(message)
        evidence = _evidence(message, found, is_rehearsal)
        if evidence is None:
            return Answer(hgsa.PayloadErrorReply(retryable=False), reason="The message is not one of this exchange.")
        return _begin(evidence, now) if evidence.context.state is None else _finish(evidence, now)
    except (AttestationError, WireError) as error:
        return Answer(hgsa.PayloadErrorReply(retryable=False), reason=error.message)


def _evidence(message: hgsa.Message, found: InForce, is_rehearsal: bool) -> Evidence | None:
    if isinstance(message, hgsa.AttestationRequest):
        certificate = message.find(hgsa.AttestationProvidedContentType.ENDORSEMENT_KEY_CERTIFICATE)
        content = message.find(hgsa.AttestationProvidedContentType.RTPM_CONTEXT)
        if certificate is None or content is None:
            return None
        context, endorsement = rtpm.parse_context(content), endorsement_from_certificate(certificate)
        host, version = _row(endorsement), PolicyVersion.V2
    elif isinstance(message, hgsa.TpmRequestContinue):
        context = rtpm.parse_context(message.rtpm_new_context)
        endorsement = _bare(message)
        host, version = _row(endorsement), PolicyVersion.V1
        endorsement = _with_certificate(endorsement, host)
    else:
        return None
    return Evidence(message.session_id, message.requested, endorsement, host, context, version, is_rehearsal, found)


def _bare(message: hgsa.TpmRequestInitial | hgsa.TpmRequestContinue) -> EndorsementKey:
    return endorsement_from_public(TpmtPublic.parse(message.rtpm_public_endorsement_key))


def _row(endorsement: EndorsementKey) -> TpmHost | None:
    return _HOST.first(endorsement.ek_hash)


def _with_certificate(endorsement: EndorsementKey, host: TpmHost | None) -> EndorsementKey:
    """Version 1 sends a bare key; its certificate is the one that was approved with the host, if there is one."""
    if host is None or not host.ek_certificate:
        return endorsement
    return EndorsementKey(endorsement.public, endorsement.spki, parse_ek_certificate(bytes(host.ek_certificate)))


def _answer_initial(message: hgsa.TpmRequestInitial) -> Answer:
    """Version 1 asks first whether the endorsement key is known; nothing is stored yet."""
    host = _row(_bare(message))
    if host is None or host.policy_version != PolicyVersion.V1:
        return Answer(hgsa.UnauthorizedErrorReply(retryable=False), reason="The endorsement key is not registered.")
    return Answer(hgsa.TpmReplyContinue(rtpm.RtpmContext().serialise()))


def _begin(evidence: Evidence, now: datetime) -> Answer:
    answer = exchange.begin(
        evidence.session_id,
        evidence.endorsement,
        evidence.context,
        trust=evidence.trust,
        seal_keys=evidence.found.trusted.exchange_state_keys,
        now=now,
        random_bytes=os.urandom,
        protocol_version=evidence.version,
    )
    if isinstance(answer, exchange.Challenge):
        return Answer(hgsa.TpmReplyContinue(answer.context.serialise()))
    with unhurried_transaction():
        stored = _store(evidence, exchange.Outcome(answer.verdict), now)
    return Answer(error_reply(answer.verdict), stored, answer.verdict.summary)


def _finish(evidence: Evidence, now: datetime) -> Answer:
    trusted = evidence.found.trusted
    outcome = exchange.finish(
        evidence.session_id,
        evidence.endorsement,
        evidence.context,
        requested=evidence.requested,
        trust=evidence.trust,
        policies=trusted.policies[evidence.version],
        seal_keys=trusted.exchange_state_keys,
        now=now,
        protocol_version=evidence.version,
    )
    issued = {} if evidence.is_rehearsal else certify(outcome.verdict.ek_hash, outcome.keys, now, evidence.found)
    stored = _store_once(evidence, outcome, now, issued.values())
    if stored is None:
        return Answer(hgsa.RtpmErrorReply(retryable=True), reason="The exchange was finished before: a replay.")
    if outcome.verdict.passed:
        return Answer(hgsa.HealthCertificateReply(tuple(issued.items())), stored)
    return Answer(error_reply(outcome.verdict), stored, outcome.verdict.summary)


def _store_once(
    evidence: Evidence, outcome: exchange.Outcome, now: datetime, issued: Iterable[bytes]
) -> Attestation | None:
    """Store what the exchange came to and note that it is over; None when it was over before, on whichever node."""
    context_id, expires_at = outcome.context_id, outcome.expires_at
    if context_id is None or expires_at is None:
        if outcome.verdict.passed:  # nothing that passed may be without an identity
            raise AssertionError("An exchange without an identity has passed.")
        with unhurried_transaction():
            return _store(evidence, outcome, now, issued)
    try:
        # What a power cut may take back here, the host shows again: at worst an exchange of the last two minutes is
        # answered a second time, with another certificate for the same key of the same host.
        with unhurried_transaction():
            _USED.save(UsedContext(id=context_id, expires_at=expires_at))
            stored = _store(evidence, outcome, now, issued)
            if stored.id.int % SWEEP_ONE_IN == 0:
                UsedContext.objects.filter(expires_at__lt=now).delete()
            return stored
    except IntegrityError:
        if UsedContext.objects.filter(pk=context_id).exists():
            return None
        raise


def _store(evidence: Evidence, outcome: exchange.Outcome, now: datetime, issued: Iterable[bytes] = ()) -> Attestation:
    return store(
        outcome.verdict,
        now,
        host=evidence.host,
        version=evidence.version,
        certificates=issued,
        log=outcome.log,
        is_rehearsal=evidence.is_rehearsal,
    )
