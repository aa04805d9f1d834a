"""The host's side of attestation: it follows the mode of HGS, and keeps the health certificate that comes of it.

States have the original's names. What HGS said last is kept in the state folder, so that the agent, the command line
and the diagnosis tell the same story.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fabric.hyperv.config import HgsAddress, HostConfig
from fabric.hyperv.errors import AttestationFailed, KerberosError, StateError, TpmError
from fabric.hyperv.exchanges import ENCRYPTION, HostExchange
from fabric.hyperv.kerberos import service_principal
from fabric.hyperv.locks import Busy, exclusive
from fabric.hyperv.refusals import explain
from fabric.hyperv.state import read_json, write_json, write_whole
from hgs.attestation.errors import AttestationError
from hgs.attestation.verdict import MODE_AD, MODE_HOST_KEY, MODE_TPM, AttestationStatus
from hgs.client import AttestationAnswer, AttestationClient, HgsError, HgsRefused, HgsUnreachable
from hgs.wire import hgsa
from hgs.wire.errors import RtpmError, WireError

RENEW_BELOW: Final = 0.25
"""A certificate with less than this share of its life left is renewed."""
_LOCK_SECONDS: Final = 60.0
PRIMARY, FALLBACK = "primary", "fallback"
Mode = hgsa.AttestationOperationMode
MODE_NAMES: Final = {MODE_TPM: "TPM", MODE_AD: "Active Directory", MODE_HOST_KEY: "host key"}
"""The modes of attestation, as people call them."""
_WIRE_MODES: Final = {MODE_TPM: Mode.TPM, MODE_AD: Mode.ACTIVE_DIRECTORY, MODE_HOST_KEY: Mode.HOST_KEY}
_STORED_MODES: Final = {mode: name for name, mode in _WIRE_MODES.items()}


@dataclass(frozen=True, slots=True)
class AttestationState:
    """What the host knows about its last attestation. Times are ISO 8601 in UTC, or None.

    `message` and `advice` are for people; `failing` names what did not hold, as HGS told the host. `mode` is a key of
    `MODE_NAMES`, or empty where the host did not come to know it. `service` is the HGS it is about: `primary`,
    `fallback`, or empty in local mode. `unreachable`: that HGS gave no answer to the last attempt; `refused`: it did,
    and the answer was no.
    """

    status: str = AttestationStatus.UNKNOWN.value
    sub_statuses: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    mode: str = ""
    attestation_id: str | None = None
    at: str | None = None
    certificate_not_before: str | None = None
    certificate_not_after: str | None = None
    reason: str = ""
    message: str = "The host has not attested since it started."
    advice: str = ""
    service: str = ""
    unreachable: bool = False
    refused: bool = False

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


def out_of_service(error: HgsError) -> bool:
    """Whether HGS gave no answer: unreachable, too slow, or a server that says it cannot; never a refusal.

    Nor is it one that it is asked too often (HTTP 429): that is what a host meets which was refused again and again.
    """
    return isinstance(error, HgsUnreachable) or (isinstance(error, HgsRefused) and error.status >= 500)


class Attestor:
    """Attests one host with one HGS, the primary or the fallback, and keeps what came of it."""

    def __init__(
        self, config: HostConfig, connect: ClientFactory = AttestationClient, address: HgsAddress | None = None
    ) -> None:
        """`address`: that of the fallback; without it the primary is asked."""
        self._config = config
        self._state = config.state
        self._connect = connect
        self.service = FALLBACK if address else PRIMARY
        self.address = address or config.primary
        state = config.state
        self._stored = state.fallback_attestation if address else state.attestation
        self._certificate = state.fallback_health_certificate if address else state.health_certificate
        self._refusal = state.fallback_refusal if address else state.refusal

    def current(self) -> AttestationState:
        """The last known state, as of now."""
        stored = read_json(self._stored)
        state = _from_json(stored) if stored else AttestationState()
        return replace(state, service=self.service).as_of(datetime.now(UTC))

    def forget(self) -> None:
        """Drop the certificate and what is known about it."""
        self._certificate.unlink(missing_ok=True)
        self._stored.unlink(missing_ok=True)

    def kept_certificate(self) -> bytes:
        """The health certificate (DER) of the last attestation that passed. Raises `StateError`."""
        return self._state.require(self._certificate, "health certificate")

    def note_answer(self, trouble: str = "") -> None:
        """HGS answered a request for keys, or did not, with the sentence `trouble`; its certificate stays good."""
        if not trouble and not self.current().unreachable:
            return
        try:
            with exclusive(self._state.attestation_lock, seconds=_LOCK_SECONDS, what="The host's attestation"):
                message = trouble or "HGS has attested this host."
                write_json(self._stored, asdict(replace(self.current(), unreachable=bool(trouble), message=message)))
        except Busy:
            return  # an attestation is under way, which finds out itself

    def note_refusal(self, message: str) -> None:
        """This HGS said no: until it attests the host, no cached key may open (docs/hosts.md, offline mode)."""
        write_json(self._refusal, {"at": datetime.now(UTC).isoformat(), "message": message[:500]})

    @property
    def has_refused(self) -> bool:
        """Whether this HGS said no and has not attested the host since."""
        return self._refusal.exists()

    def last_refusal(self) -> str:
        """What it said then, and when, as far as the note of it can be read."""
        note = read_json(self._refusal) or {}
        return f"{note.get('message', 'what it was cannot be read any more')} ({note.get('at', 'at an unknown time')})"

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
            raise not_attested(state)
        return self.kept_certificate()

    def attest(self, reason: str) -> AttestationState:
        """Attest now, whatever is kept. Never raises for what HGS, the network or the TPM did: the state says it."""
        before = self.current()
        try:
            with exclusive(self._state.attestation_lock, seconds=_LOCK_SECONDS, what="The host's attestation"):
                state, certificate = self._attempt()
                at = datetime.now(UTC).isoformat()
                state = replace(state, reason=reason[:200], at=at, service=self.service)
                return self._keep(state, certificate, before)
        except Busy as error:
            return replace(before, message=error.message, advice=error.advice)

    def _keep(self, state: AttestationState, certificate: bytes | None, before: AttestationState) -> AttestationState:
        if state.status == AttestationStatus.TRANSIENT_ERROR and before.passed:
            # Not reaching HGS takes nothing from a host that is attested until a known time.
            state = replace(
                before,
                at=state.at,
                reason=state.reason,
                message=state.message,
                advice=state.advice,
                unreachable=state.unreachable,
            )
        elif certificate is None:
            self._certificate.unlink(missing_ok=True)
        else:
            write_whole(self._certificate, certificate)
            self._refusal.unlink(missing_ok=True)
        if state.refused:
            self.note_refusal(state.message)
        write_json(self._stored, asdict(state))
        return state

    def rehearse(self, mode: str) -> AttestationState:
        """Ask HGS how it would judge this host in `mode` (one of `MODES`); nothing is kept, no certificate is given."""
        state, _ = self._attempt(_WIRE_MODES[mode])
        meaning = f"This host would pass in {MODE_NAMES[mode]} mode." if state.passed else state.message
        return replace(state, reason="rehearsal", at=datetime.now(UTC).isoformat(), message=meaning)

    def _attempt(self, rehearsed: Mode | None = None) -> tuple[AttestationState, bytes | None]:
        client: AttestationClient | None = None
        try:
            client = self._connect(self.address.attestation)
            return self._exchange(client, rehearsed)
        except HgsError as error:
            failed = _failed(AttestationStatus.TRANSIENT_ERROR, error.message, error.advice)
            return replace(failed, unreachable=out_of_service(error)), None
        except KerberosError as error:
            return _failed(AttestationStatus.TRANSIENT_ERROR, error.message, error.advice, MODE_AD), None
        except (TpmError, StateError, Busy) as error:
            return _failed(AttestationStatus.TPM_ERROR, error.message, error.advice), None
        except (WireError, AttestationError) as error:
            advice = "Check that host and HGS are of the same version."
            return _failed(AttestationStatus.TRANSIENT_ERROR, f"The answer of HGS is wrong: {error}", advice), None
        finally:
            if client:
                client.close()

    def _exchange(self, client: AttestationClient, rehearsed: Mode | None) -> tuple[AttestationState, bytes | None]:
        """In the mode of HGS, which may change while the host asks: then once more, in the new one."""
        named = self._config.hgs_principal if self.service == PRIMARY else ""
        principal = service_principal(self.address.attestation, named)
        exchange = HostExchange(self._config, client, principal, rehearsal=rehearsed is not None)
        mode = rehearsed or client.get_info().operation_mode
        answer = exchange.run(mode)
        if isinstance(answer.reply, hgsa.OperationModeErrorReply) and answer.reply.expected_operation_mode != mode:
            mode = answer.reply.expected_operation_mode
            answer = exchange.run(mode)
        if not isinstance(answer.reply, hgsa.HealthCertificateReply):
            return _refused(answer, mode), None
        if rehearsed is not None:
            return _passed(answer, mode), None
        return _certified(answer, answer.reply, mode, exchange.certified_key())


def _certified(
    answer: AttestationAnswer, reply: hgsa.HealthCertificateReply, mode: Mode, ours: bytes
) -> tuple[AttestationState, bytes | None]:
    der = reply.find(ENCRYPTION)
    try:
        certificate = x509.load_der_x509_certificate(der or b"")
        certified = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ValueError as error:
        raise RtpmError("The health certificate cannot be read.") from error
    if certified != ours:
        raise RtpmError("The health certificate is for another key than this host's identity key.")
    state = replace(
        _passed(answer, mode),
        certificate_not_before=certificate.not_valid_before_utc.isoformat(),
        certificate_not_after=certificate.not_valid_after_utc.isoformat(),
    )
    return state, der


def _passed(answer: AttestationAnswer, mode: Mode) -> AttestationState:
    return AttestationState(
        status=AttestationStatus.PASSED.value,
        mode=_STORED_MODES.get(mode, ""),
        attestation_id=str(answer.attestation_id) if answer.attestation_id else None,
        message="HGS has attested this host.",
    )


def _refused(answer: AttestationAnswer, mode: Mode) -> AttestationState:
    refusal = explain(answer, mode)
    return AttestationState(
        status=refusal.status.value,
        sub_statuses=refusal.sub_statuses,
        failing=refusal.failing,
        mode=_STORED_MODES.get(mode, ""),
        attestation_id=str(answer.attestation_id) if answer.attestation_id else None,
        message=refusal.message,
        advice=refusal.advice,
        unreachable=isinstance(answer.reply, hgsa.UnavailableErrorReply),
        refused=refusal.status != AttestationStatus.TRANSIENT_ERROR,
    )


def not_attested(state: AttestationState) -> AttestationFailed:
    """What people read who wanted something that an attested host alone may do."""
    return AttestationFailed(_code(state.status), f"This host is not attested: {state.message}", state.advice)


def _failed(status: AttestationStatus, message: str, advice: str, mode: str = "") -> AttestationState:
    return AttestationState(status=status.value, mode=mode, message=message, advice=advice)


def _from_json(value: dict[str, Any]) -> AttestationState:
    fields = {**value, **{key: tuple(value.get(key) or ()) for key in ("sub_statuses", "failing")}}
    try:
        return AttestationState(**fields)
    except TypeError:
        return AttestationState()


def _code(status: str) -> str:
    """`InsecureHostConfiguration` -> `host-insecure-host-configuration`."""
    return "host-" + "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in status).lstrip("-")
