"""Hosts with a TPM in Python, as lean as a host can be: everything that a real one computes once is computed once.

What a real TPM does for each attestation is done for each attestation: it opens the credential with its endorsement
key and signs a quote and a certification. The time for that is counted in the results.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from bench.attestation.boot_logs import host_log
from hgs.attestation import tpm
from hgs.attestation.ci_policy import build_ci_policy, parse_ci_policy
from hgs.attestation.evidence import QUOTED_SELECTION
from hgs.attestation.sipa import VsmKey
from hgs.attestation.tcglog import EventLog, replay
from hgs.wire import hgsa
from hgs.wire.platform_identifier import PlatformIdentifier, serialise_identifier
from hgs.wire.rtpm import BlobType, RtpmContext, parse_context

CI_POLICY: Final = build_ci_policy("Benchmark", (10, 0, 0, 0))
ENCRYPTION: Final = hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
_HELD: Final = tpm.Attributes.FIXED_TPM | tpm.Attributes.FIXED_PARENT | tpm.Attributes.SENSITIVE_DATA_ORIGIN
_AK: Final = _HELD | tpm.Attributes.USER_WITH_AUTH | tpm.Attributes.RESTRICTED | tpm.Attributes.SIGN
_IDENTITY: Final = _HELD | tpm.Attributes.USER_WITH_AUTH | tpm.Attributes.DECRYPT
_SHA256: Final = tpm.Algorithm.SHA256
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\x00")
_ECDSA: Final = ec.ECDSA(hashes.SHA256())
_CLOCK: Final = tpm.ClockInfo(1000, 1, 0, True)


class TpmMaker:
    """A TPM manufacturer: an ECDSA root that certifies endorsement keys."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Benchmark TPM Root")])
        self.root = self._issue("Benchmark TPM Root", self._key.public_key(), is_ca=True)

    def certify(self, key: rsa.RSAPublicKey) -> bytes:
        """An endorsement key certificate (DER)."""
        return self._issue("Endorsement key", key, is_ca=False)

    def _issue(self, name: str, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, *, is_ca: bool) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        )
        if not is_ca:
            usage = x509.ExtendedKeyUsage([ObjectIdentifier("2.23.133.8.1")])
            builder = builder.add_extension(usage, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.DER)


@dataclass(frozen=True)
class QuoteEvidence:
    """One quote with what verifies it."""

    ak_public: tpm.TpmtPublic
    nonce: bytes
    quote: bytes
    signature: bytes


class Host:
    """One booted host."""

    def __init__(self, name: str, maker: TpmMaker) -> None:
        self.name = name
        self._ek = rsa.generate_private_key(65537, 2048)
        self._ak = ec.generate_private_key(ec.SECP256R1())
        self.identity_key = rsa.generate_private_key(65537, 2048)
        self.identity = self.identity_key.public_key()
        self.ek_certificate = maker.certify(self._ek.public_key())
        self.ak_public = _ecc_public(self._ak.public_key())
        self._ak_name = tpm.name_of(self.ak_public)
        identity = _rsa_public(self.identity)
        self._identity_public, self._identity_name = identity.serialise(), tpm.name_of(identity)
        numbers = self.identity.public_numbers()
        self._vsm_key = VsmKey(numbers.n, numbers.e)
        log = self._boot(2)
        self.log = log.serialise()
        registers = dict.fromkeys(QUOTED_SELECTION.pcrs, bytes(32)) | replay(log, _SHA256)
        self._pcr_digest = tpm.composite_digest((QUOTED_SELECTION,), {_SHA256: registers}, "sha256")
        self._pcr_values = b"".join(registers[pcr] for pcr in QUOTED_SELECTION.pcrs)

    def _boot(self, counter: int) -> EventLog:
        return host_log(self._vsm_key, bytes.fromhex(parse_ci_policy(CI_POLICY).digest), counter).build()

    @property
    def reference_log(self) -> bytes:
        """The log of an earlier boot, to register as a baseline."""
        return self._boot(1).serialise()

    @property
    def identity_file(self) -> bytes:
        """The platform identifier that HGS registers."""
        spki = tpm.spki_of(self._ek.public_key())
        return serialise_identifier(PlatformIdentifier(self.name, spki, self.ek_certificate))

    def first_request(self, session: UUID) -> bytes:
        """Round 1: endorsement key certificate and attestation key."""
        return self._request(session, RtpmContext(None, ((BlobType.AK_PUBLIC, self.ak_public.serialise()),)))

    def second_request(self, session: UUID, active_context: bytes) -> bytes:
        """Round 2: the opened credential, quote, log, and the certified identity key."""
        challenge = parse_context(active_context)
        blobs = dict(challenge.blobs)
        nonce = blobs[BlobType.NONCE]
        secret = self._activate(blobs[BlobType.CREDENTIAL], blobs[BlobType.ENCRYPTED_SECRET])
        quote, quote_signature = self._sign(nonce, tpm.QuoteInfo((QUOTED_SELECTION,), self._pcr_digest))
        certify, certify_signature = self._sign(nonce, tpm.CertifyInfo(self._identity_name, self._identity_name))
        parts = (
            (BlobType.ACTIVATED_SECRET, secret),
            (BlobType.QUOTE, quote),
            (BlobType.QUOTE_SIGNATURE, quote_signature),
            (BlobType.PCR_VALUES, self._pcr_values),
            (BlobType.WBCL, self.log),
            (BlobType.IDENTITY_KEY, self._identity_public),
            (BlobType.IDENTITY_CERTIFY, certify),
            (BlobType.IDENTITY_CERTIFY_SIGNATURE, certify_signature),
        )
        return self._request(session, RtpmContext(challenge.state, parts))

    def request_with_log(self, log: bytes) -> bytes:
        """A second request that is nothing but a boot log, of whatever size."""
        size = len(log).to_bytes(4, "big")
        context = bytes(4) + bytes([0, 0, 0, 1] * 2) + bytes(40) + BlobType.WBCL.to_bytes(4, "big") + size + log
        return self._request_of(uuid4(), context)

    def quote(self, nonce: bytes) -> QuoteEvidence:
        """A quote over ``nonce``, for verification in process."""
        quote, signature = self._sign(nonce, tpm.QuoteInfo((QUOTED_SELECTION,), self._pcr_digest))
        return QuoteEvidence(self.ak_public, nonce, quote, signature)

    def _request(self, session: UUID, context: RtpmContext) -> bytes:
        return self._request_of(session, context.serialise())

    def _request_of(self, session: UUID, context: bytes) -> bytes:
        provided = (
            (hgsa.AttestationProvidedContentType.ENDORSEMENT_KEY_CERTIFICATE, self.ek_certificate),
            (hgsa.AttestationProvidedContentType.RTPM_CONTEXT, context),
        )
        return hgsa.serialise(hgsa.AttestationRequest(session, (ENCRYPTION,), provided))

    def _activate(self, credential: bytes, encrypted_secret: bytes) -> bytes:
        """TPM2_ActivateCredential."""
        seed = self._ek.decrypt(encrypted_secret[2:], _OAEP)
        size = int.from_bytes(credential[2:4], "big")
        mac, encrypted = credential[4 : 4 + size], credential[4 + size :]
        key = tpm.kdf_a(_SHA256, seed, b"INTEGRITY\x00", b"", b"", 256)
        if not hmac.compare_digest(hmac.digest(key, encrypted + self._ak_name, "sha256"), mac):
            raise ValueError("the credential is for another TPM")
        key = tpm.kdf_a(_SHA256, seed, b"STORAGE\x00", self._ak_name, b"", 128)
        decryptor = Cipher(AES(key), CFB(bytes(16))).decryptor()
        return (decryptor.update(encrypted) + decryptor.finalize())[2:]

    def _sign(self, nonce: bytes, attested: tpm.QuoteInfo | tpm.CertifyInfo) -> tuple[bytes, bytes]:
        """What TPM2_Quote and TPM2_Certify return."""
        message = tpm.TpmsAttest(self._ak_name, nonce, _CLOCK, 1, attested).serialise()
        r, s = utils.decode_dss_signature(self._ak.sign(message, _ECDSA))
        values = (r.to_bytes(32, "big"), s.to_bytes(32, "big"))
        return message, tpm.TpmtSignature(tpm.Algorithm.ECDSA, _SHA256, values).serialise()


def _rsa_public(key: rsa.RSAPublicKey) -> tpm.TpmtPublic:
    modulus = key.public_numbers().n.to_bytes(key.key_size // 8, "big")
    return tpm.TpmtPublic(_SHA256, _IDENTITY, b"", tpm.RsaParameters(None, None, key.key_size, 0), modulus)


def _ecc_public(key: ec.EllipticCurvePublicKey) -> tpm.TpmtPublic:
    numbers = key.public_numbers()
    point = tpm.EccPoint(numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))
    scheme = tpm.Scheme(tpm.Algorithm.ECDSA, _SHA256)
    return tpm.TpmtPublic(_SHA256, _AK, b"", tpm.EccParameters(None, scheme, tpm.Curve.P256), point)
