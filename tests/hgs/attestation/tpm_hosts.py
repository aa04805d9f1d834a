"""The host's side of the exchange for tests: a TPM in Python (fast, and able to lie) and a real swtpm."""

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from hgs.attestation import tpm
from hgs.attestation.tcglog import EventLogBuilder
from hgs.wire.rtpm import BlobType, RtpmContext

HELD = tpm.Attributes.FIXED_TPM | tpm.Attributes.FIXED_PARENT | tpm.Attributes.SENSITIVE_DATA_ORIGIN
AK_ATTRIBUTES = HELD | tpm.Attributes.USER_WITH_AUTH | tpm.Attributes.RESTRICTED | tpm.Attributes.SIGN
IDENTITY_ATTRIBUTES = HELD | tpm.Attributes.USER_WITH_AUTH | tpm.Attributes.DECRYPT
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Manufacturer:
    """A TPM manufacturer's certification authority."""

    def __init__(self, name: str = "Acme TPM Root") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = self._build(self.name, self.key.public_key(), ca=True)

    def certify(self, key: tpm.PublicKey, *, usage: str = "2.23.133.8.1") -> bytes:
        """An EK certificate (DER)."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ek")])
        return self._build(subject, key, ca=False, usage=usage)

    def _build(self, subject: x509.Name, key: Any, *, ca: bool, usage: str = "") -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=30))
            .not_valid_after(NOW + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(usage)]), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def rsa_public(key: rsa.RSAPublicKey, attributes: tpm.Attributes, scheme: tpm.Scheme | None) -> tpm.TpmtPublic:
    modulus = key.public_numbers().n.to_bytes(key.key_size // 8, "big")
    parameters = tpm.RsaParameters(None, scheme, key.key_size, 0)
    return tpm.TpmtPublic(tpm.Algorithm.SHA256, attributes, b"", parameters, modulus)


def ecc_public(key: ec.EllipticCurvePublicKey, attributes: tpm.Attributes) -> tpm.TpmtPublic:
    numbers = key.public_numbers()
    point = tpm.EccPoint(numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))
    scheme = tpm.Scheme(tpm.Algorithm.ECDSA, tpm.Algorithm.SHA256)
    parameters = tpm.EccParameters(None, scheme, tpm.Curve.P256)
    return tpm.TpmtPublic(tpm.Algorithm.SHA256, attributes, b"", parameters, point)


@dataclass
class PythonTpm:
    """A TPM as far as the exchange goes: EK (RSA or P-256), P-256 attestation key, RSA identity key, PCRs."""

    ek: Any
    ak: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    identity: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    ak_attributes: tpm.Attributes = AK_ATTRIBUTES
    identity_attributes: tpm.Attributes = IDENTITY_ATTRIBUTES
    pcrs: dict[int, bytes] = field(default_factory=dict)

    def boot(self, log: EventLogBuilder, locality: int = 0) -> bytes:
        """Reset the registers, extend them as the log says, return the log's bytes."""
        self.pcrs = {pcr: bytes(32) for pcr in range(24)}
        self.pcrs[0] = bytes(31) + bytes([locality])
        for pcr, digests in log.extends():
            self.pcrs[pcr] = hashlib.sha256(self.pcrs[pcr] + digests[tpm.Algorithm.SHA256]).digest()
        return log.build().serialise()

    @property
    def ek_public(self) -> tpm.TpmtPublic:
        return tpm.endorsement_public(self.ek.public_key())

    @property
    def ak_public(self) -> tpm.TpmtPublic:
        return ecc_public(self.ak.public_key(), self.ak_attributes)

    @property
    def identity_public(self) -> tpm.TpmtPublic:
        return rsa_public(self.identity.public_key(), self.identity_attributes, None)

    def activate(self, credential: bytes, encrypted_secret: bytes) -> bytes:
        """TPM2_ActivateCredential; ``ValueError`` when the integrity check fails."""
        seed = self._seed(encrypted_secret[2:])
        inner = credential[2:]
        size = int.from_bytes(inner[:2], "big")
        mac, encrypted = inner[2 : 2 + size], inner[2 + size :]
        name = tpm.name_of(self.ak_public)
        key = tpm.kdf_a(tpm.Algorithm.SHA256, seed, b"INTEGRITY\x00", b"", b"", 256)
        if hmac.digest(key, encrypted + name, "sha256") != mac:
            raise ValueError("TPM_RC_INTEGRITY")
        key = tpm.kdf_a(tpm.Algorithm.SHA256, seed, b"STORAGE\x00", name, b"", 128)
        decryptor = Cipher(AES(key), CFB(bytes(16))).decryptor()
        return (decryptor.update(encrypted) + decryptor.finalize())[2:]

    def _seed(self, data: bytes) -> bytes:
        if isinstance(self.ek, rsa.RSAPrivateKey):
            oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\x00")
            return self.ek.decrypt(data, oaep)
        x, y = data[2:34], data[36:68]
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
        shared = self.ek.exchange(ec.ECDH(), numbers.public_key())
        ours = self.ek.public_key().public_numbers().x.to_bytes(32, "big")
        return tpm.kdf_e(tpm.Algorithm.SHA256, shared, b"IDENTITY\x00", x, ours)

    def sign(self, attest: tpm.TpmsAttest) -> tuple[bytes, bytes]:
        """The attestation structure and its signature."""
        message = attest.serialise()
        r, s = utils.decode_dss_signature(self.ak.sign(message, ec.ECDSA(hashes.SHA256())))
        values = (r.to_bytes(32, "big"), s.to_bytes(32, "big"))
        return message, tpm.TpmtSignature(tpm.Algorithm.ECDSA, tpm.Algorithm.SHA256, values).serialise()

    def attest(self, extra: bytes, attested: Any) -> tpm.TpmsAttest:
        clock = tpm.ClockInfo(1000, 1, 0, True)
        return tpm.TpmsAttest(b"\x00\x0b" + bytes(32), extra, clock, 1, attested)

    def quote(self, extra: bytes, selections: tuple[tpm.PcrSelection, ...]) -> tuple[bytes, bytes]:
        """TPM2_Quote."""
        digest = tpm.composite_digest(selections, {tpm.Algorithm.SHA256: self.pcrs}, "sha256")
        return self.sign(self.attest(extra, tpm.QuoteInfo(selections, digest)))

    def certify(self, extra: bytes, public: tpm.TpmtPublic | None = None) -> tuple[bytes, bytes]:
        """TPM2_Certify of the identity key, or of another key."""
        name = tpm.name_of(public or self.identity_public)
        return self.sign(self.attest(extra, tpm.CertifyInfo(name, name)))


def answer(host: Any, challenge: RtpmContext, log: bytes, *, values: bool = True) -> RtpmContext:
    """Round 2 of an honest host: ``host`` is a PythonTpm or anything with the same methods."""
    blobs = dict(challenge.blobs)
    nonce = blobs[BlobType.NONCE]
    selections = tpm.parse_selections(blobs[BlobType.PCR_SELECTION])
    secret = host.activate(blobs[BlobType.CREDENTIAL], blobs[BlobType.ENCRYPTED_SECRET])
    quote, quote_signature = host.quote(nonce, selections)
    certify, certify_signature = host.certify(nonce)
    parts = [
        (BlobType.ACTIVATED_SECRET, secret),
        (BlobType.QUOTE, quote),
        (BlobType.QUOTE_SIGNATURE, quote_signature),
        (BlobType.WBCL, log),
        (BlobType.IDENTITY_KEY, host.identity_public.serialise()),
        (BlobType.IDENTITY_CERTIFY, certify),
        (BlobType.IDENTITY_CERTIFY_SIGNATURE, certify_signature),
    ]
    if values:
        parts.append((BlobType.PCR_VALUES, b"".join(host.pcrs[pcr] for pcr in selections[0].pcrs)))
    return RtpmContext(challenge.state, tuple(parts))


def with_blob(context: RtpmContext, kind: BlobType, change: Callable[[bytes], bytes]) -> RtpmContext:
    """The same context with one blob changed."""
    return replace(context, blobs=tuple((k, change(v) if k is kind else v) for k, v in context.blobs))


def random_bytes(size: int) -> bytes:
    return os.urandom(size)
