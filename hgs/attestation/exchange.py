"""The server's side of the RTPM exchange as pure functions (``docs/formats/rtpm.md``).

Round 1: the host shows its endorsement key and an attestation key; :func:`begin` answers with a credential that only
the TPM holding both can open, a nonce, and the server's own state, sealed.
Round 2: the host echoes the state with the opened secret, a quote, the boot log and its certified identity key;
:func:`finish` gives a verdict, and the keys to certify when the host passed.

The server keeps nothing between the rounds. A context must not be finished twice: the caller records
``Outcome.context_id`` until ``Outcome.expires_at`` and refuses a second one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from hgs.attestation import evidence
from hgs.attestation import judgement as j
from hgs.attestation.endorsement import EndorsementKey, EndorsementTrust
from hgs.attestation.errors import PayloadInvalid
from hgs.attestation.identity_evidence import CertifiedKey, check_identity_key, check_signing_key
from hgs.attestation.judgement import EvidenceFailed, Judgement
from hgs.attestation.policies import PolicySet, evaluate_policies
from hgs.attestation.sealed_state import ExchangeState, StateRefused, open_state, seal_state
from hgs.attestation.sipa import MeasuredBoot
from hgs.attestation.tpm import (
    PublicKey,
    TpmtPublic,
    make_credential,
    name_of,
    serialise_selections,
)
from hgs.attestation.verdict import Verdict
from hgs.wire.hgsa import AttestationResultType
from hgs.wire.rtpm import BlobType, RtpmContext

STATE_LIFETIME: Final = timedelta(seconds=120)
"""How long a host has between the rounds."""
SECRET_SIZE: Final = 32
NONCE_SIZE: Final = 32

_ROUND_1: Final = frozenset({BlobType.AK_PUBLIC})
_ROUND_2: Final = frozenset(
    {
        BlobType.ACTIVATED_SECRET,
        BlobType.QUOTE,
        BlobType.QUOTE_SIGNATURE,
        BlobType.WBCL,
        BlobType.IDENTITY_KEY,
        BlobType.IDENTITY_CERTIFY,
        BlobType.IDENTITY_CERTIFY_SIGNATURE,
    }
)
_SIGNING_KEY: Final = (BlobType.SIGNING_KEY, BlobType.SIGNING_CERTIFY, BlobType.SIGNING_CERTIFY_SIGNATURE)
_OPTIONAL_1: Final = frozenset({BlobType.DEVICE_INFO})
_OPTIONAL_2: Final = frozenset({BlobType.DEVICE_INFO, BlobType.PCR_VALUES, *_SIGNING_KEY})
_ENCRYPTION, _SIGNING, _INTERMEDIATE = (
    AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE,
    AttestationResultType.VSM_IDENTITY_SIGNING_KEY_CERTIFICATE,
    AttestationResultType.VSM_CA_INTERMEDIATE_CERTIFICATE,
)


@dataclass(frozen=True)
class Challenge:
    """Round 1 went well: the context to send as RtpmActiveContext."""

    context: RtpmContext
    context_id: UUID
    ek_hash: str
    host_name: str


@dataclass(frozen=True)
class Refusal:
    """Round 1 ended the attestation: a failed verdict."""

    verdict: Verdict


@dataclass(frozen=True)
class Outcome:
    """Round 2's answer. ``keys`` (by result type, only those requested) is empty unless ``verdict.passed``.

    ``context_id`` and ``expires_at`` are set once the state was proven to be ours: the caller refuses a second use.
    """

    verdict: Verdict
    keys: Mapping[AttestationResultType, PublicKey] = field(default_factory=dict)
    context_id: UUID | None = None
    expires_at: datetime | None = None
    log: bytes = b""
    """The boot log as received, when the quote confirmed it (for "capture as new baseline")."""


def is_first_round(context: RtpmContext) -> bool:
    """Whether a request opens an exchange (no state yet): then :func:`begin`, otherwise :func:`finish`."""
    return context.state is None


def begin(
    session_id: UUID,
    endorsement: EndorsementKey,
    context: RtpmContext,
    *,
    trust: EndorsementTrust,
    seal_keys: Sequence[bytes],
    now: datetime,
    random_bytes: Callable[[int], bytes],
    protocol_version: int = 2,
) -> Challenge | Refusal:
    """Answer round 1.

    ``seal_keys``: 32-byte keys shared by all nodes, newest first. ``protocol_version``: of MS-HGSA, 1 or 2, as the
    verdict shall say. Raises ``PayloadInvalid`` or ``Malformed`` for a
    request that is not round 1 (the caller answers PayloadErrorReply).
    """
    if context.state is not None:
        raise PayloadInvalid("The first request of an exchange carries no state.")
    blobs = _blobs(context, _ROUND_1, _OPTIONAL_1)
    ak = TpmtPublic.parse(blobs[BlobType.AK_PUBLIC])
    result = Judgement(endorsement.ek_hash, protocol_version=protocol_version)
    try:
        evidence.check_endorsement(result, endorsement, trust, now)
        evidence.check_attestation_key(result, ak)
    except EvidenceFailed:
        return Refusal(result.ended())
    secret, nonce = random_bytes(SECRET_SIZE), random_bytes(NONCE_SIZE)
    credential, encrypted_secret = make_credential(endorsement.public, name_of(ak), secret, random_bytes)
    state = ExchangeState(
        context_id=UUID(bytes=random_bytes(16), version=4),
        expires_at=now + STATE_LIFETIME,
        ek_hash=endorsement.ek_hash,
        nonce=nonce,
        secret_mac=evidence.secret_mac(nonce, secret),
        ak_public=ak.serialise(),
    )
    answer = RtpmContext(
        seal_state(state, session_id, seal_keys, random_bytes),
        (
            (BlobType.CREDENTIAL, credential),
            (BlobType.ENCRYPTED_SECRET, encrypted_secret),
            (BlobType.NONCE, nonce),
            (BlobType.PCR_SELECTION, serialise_selections((evidence.QUOTED_SELECTION,))),
        ),
    )
    return Challenge(answer, state.context_id, endorsement.ek_hash, result.host_name)


def finish(
    session_id: UUID,
    endorsement: EndorsementKey,
    context: RtpmContext,
    *,
    requested: Sequence[AttestationResultType],
    trust: EndorsementTrust,
    policies: PolicySet,
    seal_keys: Sequence[bytes],
    now: datetime,
    protocol_version: int = 2,
) -> Outcome:
    """Answer round 2. Raises ``PayloadInvalid`` for a request that is not round 2.

    Evidence that does not hold ends the examination with its status; when all of it holds, every policy is evaluated.
    """
    if context.state is None:
        raise PayloadInvalid("The second request of an exchange echoes the server's state.")
    if not requested:
        raise PayloadInvalid("The request asks for no certificate.")
    blobs = _blobs(context, _ROUND_2, _OPTIONAL_2)
    checks = j.TPM_CHECKS_WITH_REPORT if _INTERMEDIATE in requested else j.TPM_CHECKS
    result = Judgement(endorsement.ek_hash, checks=checks, protocol_version=protocol_version)
    examination = _Examination(result, endorsement, blobs)
    try:
        evidence.check_endorsement(result, endorsement, trust, now)
        examination.open_state(context.state, session_id, seal_keys, now)
        examination.run(requested)
    except EvidenceFailed:
        return examination.outcome(result.ended(retryable=examination.expired))
    if examination.boot is None:
        raise PayloadInvalid("The exchange did not reach the boot log.")
    verdict = result.decided(evaluate_policies(examination.boot, policies))
    keys = {kind: key for kind, key in examination.keys.items() if kind in requested}
    return examination.outcome(verdict, keys if verdict.passed else {})


def _blobs(context: RtpmContext, wanted: frozenset[BlobType], optional: frozenset[BlobType]) -> dict[BlobType, bytes]:
    blobs = dict(context.blobs)
    for kind in sorted(wanted - blobs.keys()):
        raise PayloadInvalid(f"The request lacks the blob {kind.name}.")
    for kind in sorted(blobs.keys() - wanted - optional):
        raise PayloadInvalid(f"The blob {kind.name} has no place in this request.")
    return blobs


def _signing_key(blobs: Mapping[BlobType, bytes]) -> CertifiedKey | None:
    sent = [blobs[kind] for kind in _SIGNING_KEY if kind in blobs]
    if 0 < len(sent) < len(_SIGNING_KEY):
        raise PayloadInvalid("An identity signing key comes with its certification and the signature over that.")
    return CertifiedKey(*sent) if sent else None


class _Examination:
    """Round 2's evidence, one check after another; keeps what later checks and the answer need."""

    def __init__(self, result: Judgement, endorsement: EndorsementKey, blobs: Mapping[BlobType, bytes]) -> None:
        self._result = result
        self._endorsement = endorsement
        self._blobs = blobs
        self._signing_key = _signing_key(blobs)
        self._state: ExchangeState | None = None
        self._log_confirmed = False
        self.expired = False
        self.boot: MeasuredBoot | None = None
        self.keys: dict[AttestationResultType, PublicKey] = {}

    def open_state(self, sealed: bytes, session_id: UUID, seal_keys: Sequence[bytes], now: datetime) -> None:
        """The state is ours, of this session and host, and not too old."""
        try:
            state = open_state(sealed, session_id, seal_keys)
        except StateRefused as error:
            raise self._result.refuse_for(j.STATE, error) from error
        if now >= state.expires_at:
            self.expired = True
            raise self._result.refuse(j.STATE, "The host took too long between the two requests. Start again.")
        if state.ek_hash != self._endorsement.ek_hash:
            raise self._result.refuse(j.STATE, "The exchange was begun with another endorsement key.")
        self._state = state
        self._result.passed(j.STATE, "The exchange was begun by this HGS for this host.")

    def run(self, requested: Sequence[AttestationResultType]) -> None:
        """Everything the TPM has to prove."""
        result, blobs, state = self._result, self._blobs, self._state
        if state is None:
            raise PayloadInvalid("The exchange has no state.")
        ak = TpmtPublic.parse(state.ak_public)
        evidence.check_attestation_key(result, ak)
        evidence.check_activation(result, state, blobs[BlobType.ACTIVATED_SECRET])
        quote = evidence.check_quote(result, state, ak, blobs[BlobType.QUOTE], blobs[BlobType.QUOTE_SIGNATURE])
        boot = evidence.check_log(result, quote, blobs[BlobType.WBCL], blobs.get(BlobType.PCR_VALUES))
        self.boot, self._log_confirmed = boot, True
        sent = CertifiedKey(
            blobs[BlobType.IDENTITY_KEY],
            blobs[BlobType.IDENTITY_CERTIFY],
            blobs[BlobType.IDENTITY_CERTIFY_SIGNATURE],
        )
        self._certify(_ENCRYPTION, check_identity_key(result, state, ak, boot, sent))
        signing = check_signing_key(result, state, ak, boot, self._signing_key, wanted=_SIGNING in requested)
        self._certify(_SIGNING, signing)
        if _INTERMEDIATE in requested:
            sentence = (
                "A certificate of the virtual secure mode's own authority needs a report whose structure is not "
                "public, so this HGS cannot check it. Ask for the identity keys' certificates."
            )
            raise result.refuse(j.VSM_REPORT, sentence)

    def _certify(self, kind: AttestationResultType, key: PublicKey | None) -> None:
        if key is not None:
            self.keys[kind] = key

    def outcome(self, verdict: Verdict, keys: Mapping[AttestationResultType, PublicKey] | None = None) -> Outcome:
        """The answer with what is known so far."""
        state = self._state
        return Outcome(
            verdict,
            keys or {},
            context_id=state.context_id if state else None,
            expires_at=state.expires_at if state else None,
            log=self._blobs[BlobType.WBCL] if self._log_confirmed else b"",
        )


__all__ = [
    "STATE_LIFETIME",
    "Challenge",
    "Outcome",
    "Refusal",
    "begin",
    "finish",
    "is_first_round",
]
