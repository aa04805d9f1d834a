"""Attestation in host key mode ([MS-HGSA] 3.1.5.3): one request in, one reply out, verdict stored.

The protocol has no nonce: a request is a signature over two public keys and stays true for ever. Sending it again gains
nothing, because what comes back is a certificate for the identity key in it, which only that key's owner can use. That
the owner once was a registered host is all that this mode ever says.
"""

import logging
from datetime import datetime
from typing import Final

from hgs.attestation.domain import HostKeyOutcome, judge_host_key
from hgs.attestation.errors import AttestationError
from hgs.attestation.host_key import read_host_key
from hgs.attestation.replies import error_reply
from hgs.commands.answers import Answer
from hgs.commands.health_certificates import certify
from hgs.commands.verdicts import keep
from hgs.models import Attestation, HostKey, OperationMode
from hgs.wire import hgsa
from portal.kernel.durability import unhurried_transaction

log = logging.getLogger(__name__)

_ENCRYPTION: Final = hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
_Content = hgsa.AttestationProvidedContentType


def attest_host_key(message: hgsa.AttestationRequest, now: datetime, *, is_rehearsal: bool = False) -> Answer:
    """Answer an AttestationRequest with a host key. Raises Unavailable when HGS is not initialised."""
    identity_key = message.find(_Content.VIRTUAL_SECURE_MODE_IDENTITY_KEY)
    sent = message.find(_Content.HOST_KEY_PUBLIC_KEY)
    signature = message.find(_Content.HOST_KEY_SIGNATURE)
    if identity_key is None or sent is None or signature is None:
        return _unusable("The request lacks the identity key, the host key or the signature.")
    if message.requested != (_ENCRYPTION,):
        return _unusable("In host key mode there is one certificate to ask for: that of the encryption key.")
    try:
        host_key = read_host_key(sent)
    except AttestationError as error:
        return _unusable(error.message)
    known = HostKey.objects.filter(fingerprint=host_key.fingerprint).first()
    outcome = judge_host_key(known.name if known else "", host_key, sent, identity_key, signature)
    return _answer(host_key.fingerprint, outcome, now, is_rehearsal=is_rehearsal)


def _answer(fingerprint: str, outcome: HostKeyOutcome, now: datetime, *, is_rehearsal: bool) -> Answer:
    verdict = outcome.verdict
    keys = {_ENCRYPTION: outcome.key} if outcome.key is not None and not is_rehearsal else {}
    issued = certify(fingerprint, keys, now)
    attestation = Attestation(
        at=now,
        host_name=verdict.host_name,
        mode=OperationMode.HOST_KEY,
        is_rehearsal=is_rehearsal,
        identity=fingerprint,
        passed=verdict.passed,
        proven=outcome.is_signed,
        status=verdict.status.value,
        verdict=verdict.to_json(),
    )
    # What a power cut may take back, the host gets again by asking again.
    with unhurried_transaction():
        stored = keep(attestation, verdict, issued.values())
    if verdict.passed:
        return Answer(hgsa.HealthCertificateReply(tuple(issued.items())), stored)
    return Answer(error_reply(verdict), stored, verdict.summary)


def _unusable(reason: str) -> Answer:
    return Answer(hgsa.PayloadErrorReply(retryable=False), reason=reason)
