"""The HTTP client of the Host Guardian Service, for hosts and for the portal.

Three small clients, one for each audience: :class:`AttestationClient` ([MS-HGSA], hosts),
:class:`KeyProtectionClient` ([MS-KPS], hosts and tenants) and :class:`FabricClient` (the portal's bearer token: submit
and read, nothing else). They need no Django. Every failure is one of HgsUnreachable, HgsRefused and HgsProtocolError.
"""

import base64
import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final, Protocol
from uuid import UUID

import httpx2
from cryptography import x509

from hgs.transport import (
    DEFAULT_TIMEOUT,
    Answer,
    HgsError,
    HgsProtocolError,
    HgsRefused,
    HgsUnreachable,
    Transport,
)
from hgs.wire import certbag, hgsa, kps, negotiate
from hgs.wire.errors import WireError
from hgs.wire.xmlform import XmlFormError

__all__ = [
    "AttestationAnswer",
    "AttestationClient",
    "CaptureReceipt",
    "FabricClient",
    "HgsError",
    "HgsProtocolError",
    "HgsRefused",
    "HgsUnreachable",
    "KeyProtectionClient",
    "SubmissionReceipt",
    "Ticket",
    "TicketSource",
]

_BEFORE_THE_TICKET: Final = (hgsa.OperationModeErrorReply, hgsa.UnavailableErrorReply)
"""What HGS answers before it looks at a ticket; neither decides about a host."""
MAX_BUNDLE: Final = 1 << 30
"""Bytes of a key log's bundle: above what a log of ten million entries needs."""
_ROLL_PATH: Final = kps.ROLL_PATH.format(version="v2.0")


@dataclass(frozen=True)
class AttestationAnswer:
    """The reply of HGS to one attestation message.

    ``attestation_id`` names the verdict that HGS keeps; it is None while the exchange goes on. ``status`` and
    ``sub_statuses`` are the original's AttestationStatus and AttestationSubStatus names.
    """

    reply: hgsa.Message
    attestation_id: UUID | None
    status: str
    sub_statuses: tuple[str, ...]


class Ticket(Protocol):
    """A host's proof of who it is, for one request."""

    token: bytes

    def check(self, answer: bytes) -> None:
        """Check HGS's own proof; empty where it sent none. Raises WireError unless it holds."""


TicketSource = Callable[[bytes], Ticket]


class AttestationClient:
    """Attestation, [MS-HGSA]."""

    def __init__(
        self,
        base_url: str,
        timeout: float = DEFAULT_TIMEOUT,
        *,
        verify: ssl.SSLContext | bool = True,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(base_url, timeout, verify=verify, transport=transport)

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def get_info(self) -> hgsa.ServiceInfoReply:
        """What this HGS is: its mode and its functional levels."""
        reply = _message(self._transport.send("GET", "/Attestation/getinfo", limit=64 * 1024))
        if not isinstance(reply, hgsa.ServiceInfoReply):
            raise HgsProtocolError("HGS did not say what it is.")
        return reply

    def attest(
        self,
        request: hgsa.AttestationRequest | hgsa.TpmRequestInitial | hgsa.TpmRequestContinue,
        *,
        rehearsal: bool = False,
    ) -> AttestationAnswer:
        """Send one message of the exchange with the TPM; its class says which protocol version it is of.

        Error replies of the specification are answers, not exceptions; so they are in every mode. A rehearsal is
        judged like an attestation, in any mode of HGS, and gives no certificate.
        """
        version = "v2.0" if isinstance(request, hgsa.AttestationRequest) else "v1.0"
        return _attestation_answer(self._post(f"{version}/attest", hgsa.serialise(request), rehearsal=rehearsal))

    def attest_domain(
        self, request: hgsa.ADRequest, ticket_for: TicketSource, *, rehearsal: bool = False
    ) -> AttestationAnswer:
        """Attest as a member of a domain. ``ticket_for``: makes the proof of who sends a request, for its body.

        Raises HgsRefused where HGS does not accept the ticket, HgsProtocolError where HGS does not prove itself.
        """
        body = hgsa.serialise(request)
        ticket = ticket_for(body)
        headers = {"Authorization": negotiate.write_header(ticket.token)}
        answer = self._post("v2.0/domainattest", body, rehearsal=rehearsal, headers=headers)
        if answer.status == 401:
            raise HgsRefused("HGS did not accept the Kerberos ticket of this host.", reason="kerberos", status=401)
        found = _attestation_answer(answer)
        try:
            proof = negotiate.read_header(answer.headers.get("www-authenticate", ""))
            if not proof and isinstance(found.reply, _BEFORE_THE_TICKET):
                return AttestationAnswer(found.reply, None, "", ())
            ticket.check(proof)
        except WireError as error:
            raise HgsProtocolError(f"HGS did not prove itself by Kerberos: {error.message}") from error
        return found

    def attest_host_key(self, request: hgsa.AttestationRequest, *, rehearsal: bool = False) -> AttestationAnswer:
        """Attest by a host key: contents 1, 8 and 9."""
        return _attestation_answer(self._post("v2.0/hostkeyattest", hgsa.serialise(request), rehearsal=rehearsal))

    def _post(self, resource: str, body: bytes, *, rehearsal: bool, headers: Mapping[str, str] | None = None) -> Answer:
        folder = "/Attestation/rehearsal" if rehearsal else "/Attestation"
        # The date lets HGS tell a host whose clock is off; it decides nothing.
        ours = {"Content-Type": "application/json; charset=utf-8", "Date": formatdate(usegmt=True)}
        headers = {**ours, **(headers or {})}
        return self._transport.send("POST", f"{folder}/{resource}", content=body, headers=headers)

    def signing_certificates(self) -> tuple[x509.Certificate, ...]:
        """The certificates that sign health certificates."""
        answer = self._transport.send("GET", "/Attestation/v2.0/signingCertificates", limit=256 * 1024)
        if answer.status != 200:
            raise _refusal(answer)
        try:
            bag = certbag.parse_bag(hgsa.parse_certificate_bag(answer.content))
        except WireError as error:
            raise HgsProtocolError(f"The certificates that HGS sent cannot be read: {error}") from error
        return bag


class KeyProtectionClient:
    """Key protection, [MS-KPS]."""

    def __init__(
        self,
        base_url: str,
        timeout: float = DEFAULT_TIMEOUT,
        *,
        verify: ssl.SSLContext | bool = True,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(base_url, timeout, verify=verify, transport=transport)

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def metadata(self) -> bytes:
        """The guardian metadata (XML), unverified."""
        return _xml(self._transport.send("GET", kps.METADATA_PATH, limit=kps.MESSAGE_MAX))

    def roll_transport_key(self, request_xml: bytes, vm_id: str = "") -> bytes:
        """Send a RollTransportKeyRequest, return the RollTransportKeyResponse (XML) as it came.

        ``vm_id`` is the UUID of the virtual machine it is for: a claim for the log of HGS, which decides nothing.
        Raises HgsRefused with the code of the specification, for example ``HealthCertificateException``.
        """
        headers = {"Content-Type": f"{kps.CONTENT_TYPE}; charset=utf-8"}
        if vm_id:
            headers["Virtual-Machine"] = str(UUID(vm_id))
        answer = self._transport.send("POST", _ROLL_PATH, content=request_xml, headers=headers, limit=kps.MESSAGE_MAX)
        return _xml(answer)


@dataclass(frozen=True)
class SubmissionReceipt:
    """What became of a submission: ``pending``, ``approved`` or ``rejected``, and why."""

    id: UUID
    kind: str
    name: str
    state: str
    reason: str
    content_sha256: str = ""
    size: int = 0


@dataclass(frozen=True)
class CaptureReceipt:
    """What became of hosts that booted alike: ``submitted``, ``approved``, ``waiting``, ``known`` or ``refused``."""

    outcome: str
    hosts: tuple[str, ...]
    sentence: str
    submission: SubmissionReceipt | None


class FabricClient:
    """The fabric's own door to HGS: it submits what an HGS administrator then decides, and reads verdicts."""

    def __init__(
        self,
        base_url: str,
        token: str,
        timeout: float = DEFAULT_TIMEOUT,
        *,
        verify: ssl.SSLContext | bool = True,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(base_url, timeout, token=token, verify=verify, transport=transport)

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def status(self) -> dict[str, Any]:
        """Mode, guardian fingerprints, counts, and whether submissions are approved without a person."""
        return self._json("GET", "/fabric/v1/status")

    def submit(
        self, kind: str, name: str, content: bytes, submitted_by: str = "", policy_version: str = "v2"
    ) -> SubmissionReceipt:
        """Ask HGS to trust something for a policy version; asking twice asks once.

        ``kind``: ``host``, ``host-key``, ``host-group``, ``baseline`` or ``ci-policy``.
        """
        body = {"kind": kind, "name": name, "content": base64.b64encode(content).decode(), "submitted_by": submitted_by}
        body["policy_version"] = policy_version
        return _receipt(self._json("POST", "/fabric/v1/submissions", body))

    def submission(self, submission_id: UUID) -> SubmissionReceipt:
        """The submission as it stands."""
        return _receipt(self._json("GET", f"/fabric/v1/submissions/{submission_id}"))

    def capture(self, attestation_id: UUID, name: str = "", submitted_by: str = "") -> SubmissionReceipt:
        """Submit what an attestation measured as a baseline; without a name, host and date name it."""
        body = {"submitted_by": submitted_by} | ({"name": name} if name else {})
        return _receipt(self._json("POST", f"/fabric/v1/attestations/{attestation_id}/capture", body))

    def capture_many(self, attestation_ids: Sequence[UUID], submitted_by: str = "") -> list[CaptureReceipt]:
        """Submit what many attestations measured, once for hosts that booted alike."""
        body = {"attestations": [str(one) for one in attestation_ids], "submitted_by": submitted_by}
        found = self._json("POST", "/fabric/v1/captures", body).get("captures")
        if not isinstance(found, list):
            raise HgsProtocolError("HGS did not say what became of the captures.")
        return [_captured(item) for item in found]

    def attestation(self, attestation_id: UUID) -> dict[str, Any]:
        """One attestation: id, at, host_name, ek_hash, passed, status, verdict, certificate_not_after."""
        return self._json("GET", f"/fabric/v1/attestations/{attestation_id}")

    def attestations(self, host: str = "", limit: int = 20) -> list[dict[str, Any]]:
        """The latest attestations, newest first, of one host or of all."""
        params = {"limit": str(limit)} | ({"host": host} if host else {})
        found = self._json("GET", "/fabric/v1/attestations", params=params).get("attestations")
        if not isinstance(found, list):
            raise HgsProtocolError("HGS sent no list of attestations.")
        return found

    def revoke(self, notice: bytes) -> int:
        """Pass on an owner's revocation notice; how many protectors HGS newly refuses."""
        found = self._json("POST", "/fabric/v1/revocations", {"notice": base64.b64encode(notice).decode()})
        revoked = found.get("revoked")
        if not isinstance(revoked, int):
            raise HgsProtocolError("HGS did not say how many protectors it revoked.")
        return revoked

    def key_events(
        self, owner: str, vm: UUID | None = None, before: int | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Releases and refusals of an owner's keys, newest first; of one VM, or below an index of the key log."""
        params = {"owner": owner, "limit": str(limit)}
        params |= {} if vm is None else {"vm": str(vm)}
        params |= {} if before is None else {"before": str(before)}
        found = self._json("GET", "/fabric/v1/key-events", params=params).get("events")
        if not isinstance(found, list):
            raise HgsProtocolError("HGS sent no list of key events.")
        return found

    def key_log_bundle(self, owner: str, from_size: int = 0) -> Iterator[bytes]:
        """The bundle (ZIP) by which an owner checks the key log offline, in pieces.

        ``from_size``: the size of the log at the checkpoint that the owner kept.
        """
        params = {"owner": owner, "from": str(from_size)}
        answers = self._transport.receive("/fabric/v1/key-log/bundle", params=params, limit=MAX_BUNDLE)
        for piece in answers:
            if isinstance(piece, bytes):
                yield piece
            elif piece.status != 200:
                raise _refusal(piece)
            elif piece.media_type != "application/zip":
                raise HgsProtocolError("HGS did not answer with a bundle.")

    def key_log_key(self) -> str:
        """The key that signs the key log's checkpoints, as a vkey (C2SP signed-note)."""
        answer = self._transport.send("GET", "/KeyLog/key", limit=1024)
        if answer.status != 200:
            raise _refusal(answer)
        try:
            return answer.content.decode("ascii").removesuffix("\n")
        except UnicodeDecodeError:
            raise HgsProtocolError("The key of the key log is no text.") from None

    def report_dependents(self, dependents: Sequence[Mapping[str, Any]]) -> None:
        """Tell HGS which VMs and shielding data depend on which of its keys, so that none is removed by mistake.

        Each: ``kind``, ``id``, ``name``, ``owner_fingerprint``, ``guardians`` (SHA-256 of encryption certificates).
        """
        content = json.dumps({"dependents": list(dependents)}).encode()
        answer = self._transport.send(
            "PUT", "/fabric/v1/dependents", content=content, headers={"Content-Type": "application/json"}
        )
        if not 200 <= answer.status < 300:
            raise _refusal(answer)

    def _json(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, params: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content is not None else None
        answer = self._transport.send(method, path, content=content, headers=headers, params=params)
        if not 200 <= answer.status < 300:
            raise _refusal(answer)
        return _json_object(answer)


def _attestation_answer(answer: Answer) -> AttestationAnswer:
    return AttestationAnswer(
        reply=_message(answer),
        attestation_id=_attestation_id(answer.headers),
        status=answer.headers.get("attestation-status", ""),
        sub_statuses=tuple(name for name in answer.headers.get("attestation-sub-status", "").split(",") if name),
    )


def _message(answer: Answer) -> hgsa.Message:
    """The [MS-HGSA] message in an answer of any status; raises HgsRefused where there is none."""
    if answer.media_type != "application/json":
        raise _refusal(answer)
    try:
        return hgsa.parse_message(answer.content)
    except WireError as error:
        if answer.status >= 400:
            raise _refusal(answer) from error
        raise HgsProtocolError(f"The answer of HGS cannot be read: {error}") from error


def _xml(answer: Answer) -> bytes:
    if answer.media_type not in kps.CONTENT_TYPES:
        raise _refusal(answer) if answer.status != 200 else HgsProtocolError("HGS did not answer with XML.")
    if answer.status == 200:
        return answer.content
    try:
        error = kps.parse_error(answer.content)
    except XmlFormError:
        raise _refusal(answer) from None
    raise HgsRefused(error.message or error.code, reason=error.code, status=answer.status)


def _attestation_id(headers: Mapping[str, str]) -> UUID | None:
    text = headers.get("attestation-id", "")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise HgsProtocolError("HGS named its verdict by something that is not an id.") from None


def _json_object(answer: Answer) -> dict[str, Any]:
    try:
        value = json.loads(answer.content)
    except (ValueError, RecursionError):
        raise HgsProtocolError("The answer of HGS is not JSON.") from None
    if not isinstance(value, dict):
        raise HgsProtocolError("The answer of HGS is not a JSON object.")
    return value


def _refusal(answer: Answer) -> HgsRefused:
    """An HgsRefused from an answer that is no message of a specification: our problem document, or anything."""
    try:
        problem = _json_object(answer)
    except HgsProtocolError:
        problem = {}
    reason = str(problem.get("code", ""))[:64]
    detail = str(problem.get("detail", ""))[:500] or f"HGS answered with HTTP status {answer.status}."
    return HgsRefused(detail, reason=reason, status=answer.status)


def _receipt(value: dict[str, Any]) -> SubmissionReceipt:
    try:
        return SubmissionReceipt(
            id=UUID(str(value["id"])),
            kind=str(value["kind"]),
            name=str(value["name"]),
            state=str(value["state"]),
            reason=str(value.get("reason", "")),
            content_sha256=str(value.get("content_sha256", "")),
            size=int(value.get("size", 0)),
        )
    except (KeyError, ValueError):
        raise HgsProtocolError("HGS did not answer with a submission.") from None


def _captured(value: Any) -> CaptureReceipt:
    try:
        submission = value["submission"]
        return CaptureReceipt(
            outcome=str(value["outcome"]),
            hosts=tuple(str(host) for host in value["hosts"]),
            sentence=str(value["sentence"]),
            submission=None if submission is None else _receipt(submission),
        )
    except (KeyError, TypeError):
        raise HgsProtocolError("HGS did not say what became of a capture.") from None
