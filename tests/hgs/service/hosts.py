"""Hosts as the service sees them: a TPM in Python, its boot, its files, and its requests over HTTP."""

import hashlib
import os
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from django.test import Client

from hgs.attestation.healthcert import CertificateKind, issue_health_certificate
from hgs.attestation.tpm import spki_of
from hgs.keyprotection.protector import Protector
from hgs.keyprotection.release import new_request
from hgs.wire import hgsa, kps
from hgs.wire.platform_identifier import PlatformIdentifier, serialise_identifier
from hgs.wire.rtpm import BlobType, RtpmContext, parse_context
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.tpm_hosts import Manufacturer, PythonTpm, answer

ENCRYPTION = hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
SIGNING = hgsa.AttestationResultType.VSM_IDENTITY_SIGNING_KEY_CERTIFICATE
ATTEST = "/Attestation/v2.0/attest"
ATTEST_V1 = "/Attestation/v1.0/attest"
REHEARSE = "/Attestation/rehearsal/v2.0/attest"
ROLL = "/KeyProtection/service/v2.0/rolltransportkey"
Content = hgsa.AttestationProvidedContentType


@dataclass
class Reply:
    """An attestation reply with what travels beside it."""

    status: int
    message: hgsa.Message
    headers: dict[str, str]

    @property
    def certificate(self) -> bytes:
        assert isinstance(self.message, hgsa.HealthCertificateReply), self.message
        found = self.message.find(ENCRYPTION)
        assert found is not None
        return found


@dataclass
class Host:
    """A host with a TPM of its own, booted as ``boot`` says."""

    name: str
    tpm: PythonTpm
    manufacturer: Manufacturer
    boot: Boot = field(default_factory=Boot)
    session: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        self.ek_certificate = self.manufacturer.certify(self.tpm.ek.public_key())
        self.log = self.restart(self.boot)

    def restart(self, boot: Boot) -> bytes:
        self.log = self.tpm.boot(boot.log())
        return self.log

    @property
    def identity_file(self) -> bytes:
        spki = spki_of(self.tpm.ek.public_key())
        return serialise_identifier(PlatformIdentifier(self.name, spki, self.ek_certificate))

    def send(self, client: Client, context: RtpmContext, **changes: Any) -> Reply:
        request = hgsa.AttestationRequest(
            changes.pop("session", self.session),
            changes.pop("requested", (ENCRYPTION,)),
            (
                (Content.ENDORSEMENT_KEY_CERTIFICATE, changes.pop("ek_certificate", self.ek_certificate)),
                (Content.RTPM_CONTEXT, context.serialise()),
            ),
        )
        return post(client, changes.pop("path", ATTEST), request)

    def begin(self, client: Client) -> Reply:
        return self.send(client, RtpmContext(None, ((BlobType.AK_PUBLIC, self.tpm.ak_public.serialise()),)))

    def challenge(self, client: Client) -> RtpmContext:
        reply = self.begin(client).message
        assert isinstance(reply, hgsa.TpmReplyContinue), reply
        return parse_context(reply.rtpm_active_context)

    def answer_to(self, challenged: Reply) -> RtpmContext:
        """What the host answers to a challenge."""
        assert isinstance(challenged.message, hgsa.TpmReplyContinue), challenged.message
        return answer(self.tpm, parse_context(challenged.message.rtpm_active_context), self.log)

    def second(self, client: Client) -> RtpmContext:
        """What the host answers to a fresh challenge."""
        return answer(self.tpm, self.challenge(client), self.log)

    def attest(self, client: Client) -> Reply:
        return self.send(client, self.second(client))

    def initial_v1(self, client: Client, prefix: str = "", **changes: Any) -> Reply:
        """Version 1 asks first whether the endorsement key is known."""
        requested = changes.get("requested", (ENCRYPTION,))
        message = hgsa.TpmRequestInitial(self.session, requested, self.tpm.ek_public.serialise())
        return post(client, ATTEST_V1.replace("/v1.0", f"{prefix}/v1.0"), message)

    def continue_v1(self, client: Client, context: RtpmContext, prefix: str = "", **changes: Any) -> Reply:
        requested = changes.get("requested", (ENCRYPTION,))
        key = self.tpm.ek_public.serialise()
        message = hgsa.TpmRequestContinue(self.session, requested, key, context.serialise())
        return post(client, ATTEST_V1.replace("/v1.0", f"{prefix}/v1.0"), message)

    def open_v1(self, client: Client, **changes: Any) -> Reply:
        opening = RtpmContext(None, ((BlobType.AK_PUBLIC, self.tpm.ak_public.serialise()),))
        return self.continue_v1(client, opening, **changes)

    def attest_v1(self, client: Client, **changes: Any) -> Reply:
        """All of version 1: the initial request, its empty context, and both rounds."""
        initial = self.initial_v1(client, **changes).message
        assert isinstance(initial, hgsa.TpmReplyContinue), initial
        assert parse_context(initial.rtpm_active_context) == RtpmContext()
        return self.continue_v1(client, self.answer_to(self.open_v1(client, **changes)), **changes)

    def certificate_of(self, signer: tuple[x509.Certificate, rsa.RSAPrivateKey], now: datetime) -> bytes:
        """The health certificate that a signer would give this host."""
        ek_hash = hashlib.sha256(spki_of(self.tpm.ek.public_key())).hexdigest()
        return forged_certificate(signer, ek_hash, self.tpm.identity.public_key(), now)

    def decrypt(self, ciphertext: bytes) -> bytes:
        oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
        return self.tpm.identity.decrypt(ciphertext, oaep)


def post(client: Client, path: str, message: hgsa.Message) -> Reply:
    response = client.post(path, hgsa.serialise(message), content_type="application/json; charset=utf-8")
    return Reply(response.status_code, hgsa.parse_message(response.content), dict(response.headers))


def make_tpm(identity: rsa.RSAPrivateKey) -> PythonTpm:
    return PythonTpm(ec.generate_private_key(ec.SECP256R1()), identity=identity)


def roll(
    client: Client, protector: Protector, certificate: bytes, **headers: Any
) -> tuple[kps.RollTransportKeyRequest, Any]:
    """Ask for keys; the request and the HTTP response."""
    request = new_request(protector, certificate)
    response = client.post(ROLL, kps.serialise_request(request), content_type="application/xml", **headers)
    return request, response


def forged_certificate(
    signer: tuple[x509.Certificate, rsa.RSAPrivateKey],
    ek_hash: str,
    key: rsa.RSAPublicKey,
    now: datetime,
    kind: CertificateKind = CertificateKind.ENCRYPTION,
) -> bytes:
    """A health certificate of any signer."""
    return issue_health_certificate(*signer, ek_hash, key, kind, now=now, random_bytes=os.urandom)
