"""The host's side of attestation: both rounds with HGS, and the health certificate that comes of them.

States have the original's names. What HGS said last is kept in the state folder, so that the agent, the command line
and the diagnosis tell the same story.
"""

import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import AttestationFailed, StateError, TpmError
from fabric.hyperv.locks import Busy, exclusive
from fabric.hyperv.refusals import explain
from fabric.hyperv.state import read_json, write_json, write_whole
from fabric.hyperv.tpm import KeyBlob, TpmSession, open_tpm
from hgs.attestation.errors import AttestationError
from hgs.attestation.tpm import Algorithm, TpmtPublic, parse_selections, to_cryptography_key
from hgs.attestation.verdict import AttestationStatus
from hgs.client import AttestationAnswer, AttestationClient, HgsError
from hgs.wire import hgsa
from hgs.wire.errors import RtpmError
from hgs.wire.rtpm import BlobType, RtpmContext, parse_context

RENEW_BELOW: Final = 0.25
"""A certificate with less than this share of its life left is renewed."""
_LOCK_SECONDS: Final = 60.0
_ENCRYPTION = hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
_TPM_DEVICE_INFO = struct.pack(">IIII", 1, hgsa.TpmVersion.TPM_20, hgsa.TpmInterfaceType.EMULATOR, 0)


@dataclass(frozen=True, slots=True)
class AttestationState:
    """What the host knows about its last attestation. Times are ISO 8601 in UTC, or None.

    `message` and `advice` are for people; `failing` names what did not hold, as HGS told the host.
    """

    status: str = AttestationStatus.UNKNOWN.value
    sub_statuses: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    attestation_id: str | None = None
    at: str | None = None
    certificate_not_before: str | None = None
    certificate_not_after: str | None = None
    reason: str = ""
    message: str = "The host has not attested since it started."
    advice: str = ""

    @property
    def passed(self) -> bool:
        return self.status == AttestationStatus.PASSED

    def as_of(self, now: datetime) -> "AttestationState":
        """The same, with a certificate that has run out said to be `Expired`."""
        if self.passed and self.certificate_not_after and now >= datetime.fromisoformat(self.certificate_not_after):
            return replace(self, status=AttestationStatus.EXPIRED.value, message="The health certificate has run out.")
        return self

    def needs_renewal(self, now: datetime) -> bool:
        """Whether there is no certificate, or one with too little of its life left."""
        if not (self.passed and self.certificate_not_before and self.certificate_not_after):
            return True
        start, end = (datetime.fromisoformat(at) for at in (self.certificate_not_before, self.certificate_not_after))
        return (end - now) < (end - start) * RENEW_BELOW


ClientFactory = Callable[[str], AttestationClient]


class Attestor:
    """Attests one host and keeps what came of it."""

    def __init__(self, config: HostConfig, connect: ClientFactory = AttestationClient) -> None:
        self._config = config
        self._state = config.state
        self._connect = connect

    def current(self) -> AttestationState:
        """The last known state, as of now."""
        stored = read_json(self._state.attestation)
        return (_from_json(stored) if stored else AttestationState()).as_of(datetime.now(UTC))

    def forget(self) -> None:
        """A boot ends what the last one earned: its identity key is gone."""
        self._state.health_certificate.unlink(missing_ok=True)
        self._state.attestation.unlink(missing_ok=True)

    def health_certificate(self) -> bytes:
        """A valid health certificate (DER), from the last attestation or a new one.

        Raises `AttestationFailed` with the state's name as its code, for people who read why nothing started.
        """
        state = self.current()
        if state.needs_renewal(datetime.now(UTC)):
            renewed = self.attest("certificate-needed")
            # A refusal ends a certificate; a failure to ask does not, while the old one is valid.
            state = renewed if renewed.passed or not state.passed else self.current()
        if not state.passed:
            raise AttestationFailed(_code(state.status), f"This host is not attested: {state.message}", state.advice)
        return self._state.require(self._state.health_certificate, "health certificate")

    def attest(self, reason: str) -> AttestationState:
        """Attest now, whatever is kept. Never raises for what HGS, the network or the TPM did: the state says it."""
        before = self.current()
        try:
            with exclusive(self._state.attestation_lock, seconds=_LOCK_SECONDS, what="The host's attestation"):
                state, certificate = self._attempt()
                state = replace(state, reason=reason[:200], at=datetime.now(UTC).isoformat())
                return self._keep(state, certificate, before)
        except Busy as error:
            return replace(before, message=error.message, advice=error.advice)

    def _keep(self, state: AttestationState, certificate: bytes | None, before: AttestationState) -> AttestationState:
        if state.status == AttestationStatus.TRANSIENT_ERROR and before.passed:
            # Not reaching HGS takes nothing from a host that is attested until a known time.
            state = replace(before, at=state.at, reason=state.reason, message=state.message, advice=state.advice)
        elif certificate is None:
            self._state.health_certificate.unlink(missing_ok=True)
        else:
            write_whole(self._state.health_certificate, certificate)
        write_json(self._state.attestation, asdict(state))
        return state

    def _attempt(self) -> tuple[AttestationState, bytes | None]:
        client: AttestationClient | None = None
        try:
            client = self._connect(self._config.hgs_url)
            return self._exchange(client)
        except HgsError as error:
            return _failed(AttestationStatus.TRANSIENT_ERROR, error.message, error.advice), None
        except (TpmError, StateError, Busy) as error:
            return _failed(AttestationStatus.TPM_ERROR, error.message, error.advice), None
        except (RtpmError, AttestationError) as error:
            advice = "Check that host and HGS are of the same version."
            return _failed(AttestationStatus.TRANSIENT_ERROR, f"The answer of HGS is wrong: {error}", advice), None
        finally:
            if client:
                client.close()

    def _exchange(self, client: AttestationClient) -> tuple[AttestationState, bytes | None]:
        session_id = uuid4()
        attestation_key = KeyBlob.parse(self._state.require(self._state.attestation_key, "attestation key"))
        identity_key = KeyBlob.parse(self._state.require(self._state.identity_key, "identity key"))
        with self._tpm() as tpm:
            endorsement = tpm.ek_certificate()

        def ask(context: RtpmContext) -> AttestationAnswer:
            provided = (
                (hgsa.AttestationProvidedContentType.ENDORSEMENT_KEY_CERTIFICATE, endorsement),
                (hgsa.AttestationProvidedContentType.RTPM_CONTEXT, context.serialise()),
            )
            return client.attest(hgsa.AttestationRequest(session_id, (_ENCRYPTION,), provided))

        answer = ask(RtpmContext(None, ((BlobType.AK_PUBLIC, attestation_key.public_area),)))
        if isinstance(answer.reply, hgsa.TpmReplyContinue):
            challenge = parse_context(answer.reply.rtpm_active_context)
            log = self._state.require(self._state.boot_log, "boot log")
            with self._tpm() as tpm:
                blobs = _evidence(tpm, attestation_key, identity_key, log, challenge)
            answer = ask(RtpmContext(challenge.state, blobs))
        if isinstance(answer.reply, hgsa.HealthCertificateReply):
            return _certified(answer, answer.reply, identity_key)
        return _refused(answer), None

    def _tpm(self) -> Any:
        return open_tpm(self._config.tcti, self._state.tpm_lock)


def _evidence(
    tpm: TpmSession, attestation_key: KeyBlob, identity_key: KeyBlob, log: bytes, challenge: RtpmContext
) -> tuple[tuple[BlobType, bytes], ...]:
    """Round 2: everything HGS asked for, over its nonce."""
    nonce, pcrs = _blob(challenge, BlobType.NONCE), _selected(_blob(challenge, BlobType.PCR_SELECTION))
    credential, encrypted = _blob(challenge, BlobType.CREDENTIAL), _blob(challenge, BlobType.ENCRYPTED_SECRET)
    secret = tpm.activate(attestation_key, credential, encrypted)
    quote, quote_signature = tpm.quote(attestation_key, nonce, pcrs)
    certified, certify_signature = tpm.certify_identity(attestation_key, identity_key, nonce)
    values = tpm.read_pcrs(pcrs)
    return (
        (BlobType.ACTIVATED_SECRET, secret),
        (BlobType.QUOTE, quote),
        (BlobType.QUOTE_SIGNATURE, quote_signature),
        (BlobType.PCR_VALUES, b"".join(values[pcr] for pcr in sorted(values))),
        (BlobType.WBCL, log),
        (BlobType.IDENTITY_KEY, identity_key.public_area),
        (BlobType.IDENTITY_CERTIFY, certified),
        (BlobType.IDENTITY_CERTIFY_SIGNATURE, certify_signature),
        (BlobType.DEVICE_INFO, _TPM_DEVICE_INFO),
    )


def _blob(context: RtpmContext, kind: BlobType) -> bytes:
    data = context.find(kind)
    if data is None:
        raise RtpmError(f"HGS sent no {kind.name.lower().replace('_', ' ')}.")
    return data


def _selected(selection: bytes) -> tuple[int, ...]:
    """The PCRs that HGS wants quoted; only the SHA-256 bank, since no other is active."""
    selections = parse_selections(selection)
    if len(selections) != 1 or selections[0].hash is not Algorithm.SHA256:
        raise RtpmError("HGS asks for PCRs of another bank than SHA-256.")
    return selections[0].pcrs


def _certified(
    answer: AttestationAnswer, reply: hgsa.HealthCertificateReply, identity_key: KeyBlob
) -> tuple[AttestationState, bytes | None]:
    der = reply.find(_ENCRYPTION)
    try:
        certificate = x509.load_der_x509_certificate(der or b"")
        certified = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ValueError as error:
        raise RtpmError("The health certificate cannot be read.") from error
    ours = to_cryptography_key(TpmtPublic.parse(identity_key.public_area))
    if certified != ours.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise RtpmError("The health certificate is for another key than this host's identity key.")
    state = AttestationState(
        status=AttestationStatus.PASSED.value,
        attestation_id=str(answer.attestation_id) if answer.attestation_id else None,
        certificate_not_before=certificate.not_valid_before_utc.isoformat(),
        certificate_not_after=certificate.not_valid_after_utc.isoformat(),
        message="HGS has attested this host.",
    )
    return state, der


def _refused(answer: AttestationAnswer) -> AttestationState:
    refusal = explain(answer)
    return AttestationState(
        status=refusal.status.value,
        sub_statuses=refusal.sub_statuses,
        failing=refusal.failing,
        attestation_id=str(answer.attestation_id) if answer.attestation_id else None,
        message=refusal.message,
        advice=refusal.advice,
    )


def _failed(status: AttestationStatus, message: str, advice: str) -> AttestationState:
    return AttestationState(status=status.value, message=message, advice=advice)


def _from_json(value: dict[str, Any]) -> AttestationState:
    fields = {**value, **{key: tuple(value.get(key) or ()) for key in ("sub_statuses", "failing")}}
    try:
        return AttestationState(**fields)
    except TypeError:
        return AttestationState()


def _code(status: str) -> str:
    """`InsecureHostConfiguration` -> `host-insecure-host-configuration`."""
    return "host-" + "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in status).lstrip("-")
