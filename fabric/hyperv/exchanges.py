"""What a host sends to HGS to attest, one function for each mode. The key to certify is always the TPM's identity key.

TPM mode speaks version 2 of the protocol first and version 1 where that does not know the host, or where the TPM has no
certificate: each version has registrations of its own at HGS.
"""

import struct
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fabric.hyperv.config import HostConfig
from fabric.hyperv.host_key import host_key
from fabric.hyperv.kerberos import ticket_source
from fabric.hyperv.tpm import KeyBlob, TpmSession, open_tpm
from hgs.attestation.tpm import Algorithm, TpmtPublic, parse_selections, to_cryptography_key
from hgs.client import AttestationAnswer, AttestationClient
from hgs.wire import hgsa
from hgs.wire.errors import RtpmError
from hgs.wire.rtpm import BlobType, RtpmContext, parse_context

ENCRYPTION: Final = hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
_Content = hgsa.AttestationProvidedContentType
_TPM_DEVICE_INFO = struct.pack(">IIII", 1, hgsa.TpmVersion.TPM_20, hgsa.TpmInterfaceType.EMULATOR, 0)
_Ask = Callable[[RtpmContext], AttestationAnswer]


@dataclass(frozen=True)
class HostExchange:
    """One attestation of one host with one HGS, or its rehearsal. `principal` is the Kerberos principal of that HGS."""

    config: HostConfig
    client: AttestationClient
    principal: str
    rehearsal: bool = False

    def run(self, mode: hgsa.AttestationOperationMode) -> AttestationAnswer:
        """The last answer of HGS. Raises `HostError`, `HgsError`, `WireError` and `AttestationError`."""
        modes: Mapping[hgsa.AttestationOperationMode, Callable[[], AttestationAnswer]] = {
            hgsa.AttestationOperationMode.TPM: self._by_tpm,
            hgsa.AttestationOperationMode.ACTIVE_DIRECTORY: self._by_domain,
            hgsa.AttestationOperationMode.HOST_KEY: self._by_host_key,
        }
        if mode not in modes:
            raise RtpmError("HGS is in no mode that this version of the host knows.")
        return modes[mode]()

    def identity_key(self) -> KeyBlob:
        """The key of this boot."""
        return KeyBlob.parse(self.config.state.require(self.config.state.identity_key, "identity key"))

    def certified_key(self) -> bytes:
        """The key that HGS shall certify: SubjectPublicKeyInfo, DER."""
        public = to_cryptography_key(TpmtPublic.parse(self.identity_key().public_area))
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def _by_domain(self) -> AttestationAnswer:
        tickets = ticket_source(self.principal, self.config.keytab)
        request = hgsa.ADRequest(uuid4(), ((ENCRYPTION, self.certified_key()),))
        return self.client.attest_domain(request, tickets, rehearsal=self.rehearsal)

    def _by_host_key(self) -> AttestationAnswer:
        key, identity = host_key(self.config.state), self.certified_key()
        provided = (
            (_Content.VIRTUAL_SECURE_MODE_IDENTITY_KEY, identity),
            (_Content.HOST_KEY_PUBLIC_KEY, key.public),
            (_Content.HOST_KEY_SIGNATURE, key.sign(key.public + identity)),
        )
        request = hgsa.AttestationRequest(uuid4(), (ENCRYPTION,), provided)
        return self.client.attest_host_key(request, rehearsal=self.rehearsal)

    def _by_tpm(self) -> AttestationAnswer:
        with self._tpm() as tpm:
            certificate, endorsement = tpm.find_ek_certificate(), tpm.ek_public()
        if certificate is None:
            return self._version_1(endorsement)
        answer = self._version_2(certificate)
        if not isinstance(answer.reply, hgsa.UnauthorizedErrorReply):
            return answer
        other = self._version_1(endorsement)
        # Unknown in both versions: the first answer names the verdict that HGS kept.
        return answer if isinstance(other.reply, hgsa.UnauthorizedErrorReply) else other

    def _version_2(self, certificate: bytes) -> AttestationAnswer:
        session_id = uuid4()

        def ask(context: RtpmContext) -> AttestationAnswer:
            provided = (
                (_Content.ENDORSEMENT_KEY_CERTIFICATE, certificate),
                (_Content.RTPM_CONTEXT, context.serialise()),
            )
            request = hgsa.AttestationRequest(session_id, (ENCRYPTION,), provided)
            return self.client.attest(request, rehearsal=self.rehearsal)

        return self._rounds(ask)

    def _version_1(self, endorsement: bytes) -> AttestationAnswer:
        session_id = uuid4()

        def ask(context: RtpmContext) -> AttestationAnswer:
            request = hgsa.TpmRequestContinue(session_id, (ENCRYPTION,), endorsement, context.serialise())
            return self.client.attest(request, rehearsal=self.rehearsal)

        initial = hgsa.TpmRequestInitial(session_id, (ENCRYPTION,), endorsement)
        answer = self.client.attest(initial, rehearsal=self.rehearsal)
        return self._rounds(ask) if isinstance(answer.reply, hgsa.TpmReplyContinue) else answer

    def _rounds(self, ask: _Ask) -> AttestationAnswer:
        """Both rounds of the exchange with the TPM, the same in both versions."""
        state = self.config.state
        attestation_key = KeyBlob.parse(state.require(state.attestation_key, "attestation key"))
        answer = ask(RtpmContext(None, ((BlobType.AK_PUBLIC, attestation_key.public_area),)))
        if not isinstance(answer.reply, hgsa.TpmReplyContinue):
            return answer
        challenge = parse_context(answer.reply.rtpm_active_context)
        log = state.require(state.boot_log, "boot log")
        with self._tpm() as tpm:
            blobs = _evidence(tpm, attestation_key, self.identity_key(), log, challenge)
        return ask(RtpmContext(challenge.state, blobs))

    def _tpm(self) -> AbstractContextManager[TpmSession]:
        return open_tpm(self.config.tcti, self.config.state.tpm_lock)


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
