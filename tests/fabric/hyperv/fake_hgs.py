"""HGS without its service: the pure exchange and key release behind a transport, spoken to by the real clients."""

import datetime as dt
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from fabric.hyperv.config import HostConfig
from hgs.attestation import exchange
from hgs.attestation.baseline import baseline_from_log
from hgs.attestation.ekcert import EkCertificate, load_trusted_certificate
from hgs.attestation.endorsement import EndorsementTrust, KnownHost, endorsement_from_certificate
from hgs.attestation.healthcert import CertificateKind, issue_health_certificate, make_signer
from hgs.attestation.policies import NamedBaseline, NamedDigest, PolicySet
from hgs.attestation.replies import error_reply
from hgs.attestation.verdict import Verdict
from hgs.client import AttestationClient
from hgs.wire import hgsa
from hgs.wire.platform_identifier import parse_identifier
from hgs.wire.rtpm import parse_context

_ENCRYPTION = hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE


@dataclass
class FakeHgs:
    """Trusts what it is told to. Its certificates live for `lifetime`, for the key `certify` if one is set."""

    lifetime: dt.timedelta = dt.timedelta(hours=8)
    reachable: bool = True
    hosts: dict[str, str] = field(default_factory=dict)
    roots: list[EkCertificate] = field(default_factory=list)
    intermediates: list[EkCertificate] = field(default_factory=list)
    baselines: list[NamedBaseline] = field(default_factory=list)
    ci_policies: list[NamedDigest] = field(default_factory=list)
    certify: rsa.RSAPublicKey | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    tamper: Callable[[bytes], bytes] | None = None
    offline_unwraps: int = 0
    key_fault: tuple[int, str] | None = None
    """Answer requests for keys with this status and error."""
    asked_for_keys: list[str] = field(default_factory=list)
    """The virtual machines named in requests for keys."""

    def __post_init__(self) -> None:
        now = dt.datetime.now(dt.UTC)
        self.signer: tuple[x509.Certificate, rsa.RSAPrivateKey] = make_signer(
            now, dt.timedelta(days=1), secrets.token_bytes
        )
        self.seal_key = secrets.token_bytes(32)

    def trust_maker(self, config: HostConfig) -> None:
        self.roots = [load_trusted_certificate((config.tpm_ca / "swtpm-localca-rootca-cert.pem").read_bytes())]
        self.intermediates = [load_trusted_certificate((config.tpm_ca / "issuercert.pem").read_bytes())]

    def register(self, config: HostConfig) -> None:
        """Approve the host's identity."""
        identifier = parse_identifier(config.state.platform_identifier.read_bytes())
        self.hosts[hashlib.sha256(identifier.endorsement_key).hexdigest()] = identifier.name

    def approve_configuration(self, config: HostConfig) -> None:
        """Approve the host's boot log as a baseline, and its CI policy."""
        self.baselines.append(NamedBaseline(config.name, baseline_from_log(config.state.boot_log.read_bytes())))
        digest = hashlib.sha256(config.state.ci_policy.read_bytes()).hexdigest()
        self.ci_policies.append(NamedDigest(config.name, digest))

    def connect(self, url: str) -> AttestationClient:
        return AttestationClient(url, transport=httpx2.MockTransport(self.answer))

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if not self.reachable:
            raise httpx2.ConnectError("refused")
        if request.method == "GET":
            info = hgsa.ServiceInfoReply(2, hgsa.AttestationOperationMode.TPM, (1, 2))
            return httpx2.Response(200, headers={"content-type": "application/json"}, content=hgsa.serialise(info))
        message = hgsa.parse_message(request.content)
        if isinstance(message, hgsa.TpmRequestInitial):
            refusal = hgsa.serialise(hgsa.UnauthorizedErrorReply())
            return httpx2.Response(403, headers={"content-type": "application/json"}, content=refusal)
        assert isinstance(message, hgsa.AttestationRequest)
        reply = self._reply(message)
        headers, content = {"content-type": "application/json"}, hgsa.serialise(reply)
        if not isinstance(reply, hgsa.TpmReplyContinue):
            headers["attestation-id"] = str(uuid4())
        return httpx2.Response(200, headers=headers, content=self.tamper(content) if self.tamper else content)

    def _reply(self, message: hgsa.AttestationRequest) -> hgsa.Message:
        certificate = message.find(hgsa.AttestationProvidedContentType.ENDORSEMENT_KEY_CERTIFICATE)
        raw = message.find(hgsa.AttestationProvidedContentType.RTPM_CONTEXT)
        assert certificate is not None
        assert raw is not None
        endorsement, context = endorsement_from_certificate(certificate), parse_context(raw)
        now = dt.datetime.now(dt.UTC)
        if exchange.is_first_round(context):
            first = exchange.begin(
                message.session_id, endorsement, context, trust=self._trust(), seal_keys=[self.seal_key], now=now,
                random_bytes=secrets.token_bytes,
            )  # fmt: skip
            if isinstance(first, exchange.Refusal):
                self.verdicts.append(first.verdict)
                return error_reply(first.verdict)
            return hgsa.TpmReplyContinue(first.context.serialise())
        policies = PolicySet(baselines=tuple(self.baselines), ci_policies=tuple(self.ci_policies))
        outcome = exchange.finish(
            message.session_id, endorsement, context, requested=message.requested, trust=self._trust(),
            policies=policies, seal_keys=[self.seal_key], now=now,
        )  # fmt: skip
        self.verdicts.append(outcome.verdict)
        if not outcome.verdict.passed:
            return error_reply(outcome.verdict)
        key = self.certify or outcome.keys[_ENCRYPTION]
        assert isinstance(key, rsa.RSAPublicKey)
        der = issue_health_certificate(
            *self.signer, endorsement.ek_hash, key, CertificateKind.ENCRYPTION, now=now,
            random_bytes=secrets.token_bytes, lifetime=self.lifetime,
        )  # fmt: skip
        return hgsa.HealthCertificateReply(((_ENCRYPTION, der),))

    def _trust(self) -> EndorsementTrust:
        def find(ek_hash: str) -> KnownHost | None:
            return KnownHost(self.hosts[ek_hash]) if ek_hash in self.hosts else None

        return EndorsementTrust(find, self.roots, self.intermediates)
