"""Attestation: one message of a host in, one reply out, and the verdict stored.

The exchange itself is pure (:mod:`hgs.attestation.exchange`); here it meets the database: what HGS trusts, which
exchanges are used up, the signer of health certificates. Several HGS nodes over one database share all of it.
"""

import logging
import os
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from hgs.attestation import exchange
from hgs.attestation.ekcert import parse_ek_certificate
from hgs.attestation.endorsement import EndorsementKey, endorsement_from_certificate, endorsement_from_public
from hgs.attestation.errors import AttestationError
from hgs.attestation.replies import error_reply
from hgs.attestation.tpm import TpmtPublic
from hgs.commands.answers import Answer
from hgs.commands.health_certificates import certify
from hgs.commands.verdicts import store
from hgs.models import PolicyVersion, TpmHost, UsedContext
from hgs.selectors import keys, trust
from hgs.selectors.configuration import configuration
from hgs.wire import hgsa, rtpm
from hgs.wire.errors import WireError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evidence:
    """What both protocol versions come down to."""

    session_id: UUID
    requested: tuple[hgsa.AttestationResultType, ...]
    endorsement: EndorsementKey
    context: rtpm.RtpmContext
    version: PolicyVersion
    is_rehearsal: bool


def attest(message: hgsa.Message, now: datetime, *, is_rehearsal: bool = False) -> Answer:
    """Answer one message of the RTPM exchange, of version 1 or 2 ([MS-HGSA] 3.1.5.1).

    A rehearsal is judged and stored like an attestation, and gives no certificate.

    Raises Unavailable when HGS is not initialised.
    """
    configuration()
    if isinstance(message, hgsa.TpmRequestInitial):
        return _answer_initial(message)
    try:
        evidence = _evidence(message, is_rehearsal)
    except (AttestationError, WireError) as error:
        return Answer(hgsa.PayloadErrorReply(retryable=False), reason=error.message)
    if evidence is None:
        return Answer(hgsa.PayloadErrorReply(retryable=False), reason="The message is not one of this exchange.")
    try:
        return _begin(evidence, now) if evidence.context.state is None else _finish(evidence, now)
    except (AttestationError, WireError) as error:
        return Answer(hgsa.PayloadErrorReply(retryable=False), reason=error.message)


def _evidence(message: hgsa.Message, is_rehearsal: bool) -> Evidence | None:
    if isinstance(message, hgsa.AttestationRequest):
        certificate = message.find(hgsa.AttestationProvidedContentType.ENDORSEMENT_KEY_CERTIFICATE)
        context = message.find(hgsa.AttestationProvidedContentType.RTPM_CONTEXT)
        if certificate is None or context is None:
            return None
        endorsement = endorsement_from_certificate(certificate)
        parsed, version = rtpm.parse_context(context), PolicyVersion.V2
        return Evidence(message.session_id, message.requested, endorsement, parsed, version, is_rehearsal)
    if isinstance(message, hgsa.TpmRequestContinue):
        endorsement = _registered(endorsement_from_public(TpmtPublic.parse(message.rtpm_public_endorsement_key)))
        parsed, version = rtpm.parse_context(message.rtpm_new_context), PolicyVersion.V1
        return Evidence(message.session_id, message.requested, endorsement, parsed, version, is_rehearsal)
    return None


def _registered(endorsement: EndorsementKey) -> EndorsementKey:
    """Version 1 sends a bare key; its certificate is the one that was approved with the host."""
    known = TpmHost.objects.filter(ek_hash=endorsement.ek_hash).values_list("ek_certificate", flat=True).first()
    certificate = None if known is None else parse_ek_certificate(bytes(known))
    return EndorsementKey(endorsement.public, endorsement.spki, certificate)


def _answer_initial(message: hgsa.TpmRequestInitial) -> Answer:
    """Version 1 asks first whether the endorsement key is known; nothing is stored yet."""
    try:
        endorsement = endorsement_from_public(TpmtPublic.parse(message.rtpm_public_endorsement_key))
    except AttestationError as error:
        return Answer(hgsa.PayloadErrorReply(retryable=False), reason=error.message)
    if trust.find_host(endorsement.ek_hash) is None:
        return Answer(hgsa.UnauthorizedErrorReply(retryable=False), reason="The endorsement key is not registered.")
    return Answer(hgsa.TpmReplyContinue(rtpm.RtpmContext().serialise()))


def _begin(evidence: Evidence, now: datetime) -> Answer:
    answer = exchange.begin(
        evidence.session_id,
        evidence.endorsement,
        evidence.context,
        trust=trust.endorsement_trust(),
        seal_keys=keys.exchange_state_keys(),
        now=now,
        random_bytes=os.urandom,
    )
    if isinstance(answer, exchange.Challenge):
        return Answer(hgsa.TpmReplyContinue(answer.context.serialise()))
    with transaction.atomic():
        stored = store(answer.verdict, now, version=evidence.version, is_rehearsal=evidence.is_rehearsal)
    return Answer(error_reply(answer.verdict), stored, answer.verdict.summary)


def _finish(evidence: Evidence, now: datetime) -> Answer:
    outcome = exchange.finish(
        evidence.session_id,
        evidence.endorsement,
        evidence.context,
        requested=evidence.requested,
        trust=trust.endorsement_trust(),
        policies=trust.policy_set(),
        seal_keys=keys.exchange_state_keys(),
        now=now,
    )
    certificates = {} if evidence.is_rehearsal else certify(outcome.verdict.ek_hash, outcome.keys, now)
    with transaction.atomic():
        if not _use_up(outcome, now):
            return Answer(hgsa.RtpmErrorReply(retryable=True), reason="The exchange was finished before: a replay.")
        stored = store(
            outcome.verdict,
            now,
            version=evidence.version,
            certificates=certificates.values(),
            log=outcome.log,
            is_rehearsal=evidence.is_rehearsal,
        )
    if outcome.verdict.passed:
        return Answer(hgsa.HealthCertificateReply(tuple(certificates.items())), stored)
    return Answer(error_reply(outcome.verdict), stored, outcome.verdict.summary)


def _use_up(outcome: exchange.Outcome, now: datetime) -> bool:
    """Note that this exchange is over; False when it was over before, whichever node answered then."""
    UsedContext.objects.filter(expires_at__lt=now).delete()
    if outcome.context_id is None or outcome.expires_at is None:
        return not outcome.verdict.passed  # nothing that passed may be without an identity
    try:
        with transaction.atomic():
            UsedContext(id=outcome.context_id, expires_at=outcome.expires_at).save(force_insert=True)
    except IntegrityError:
        return False
    return True
