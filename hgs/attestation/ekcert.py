"""Endorsement-key certificates, read as manufacturers really write them, and their chains.

Strict X.509 parsers refuse many real EK certificates, so the quirks that are known to be harmless are taken here and
recorded in :attr:`EkCertificate.quirks`:

``nv-header``: the 7-byte header of TCG NV storage before the DER; ``octet-string``: the DER inside an OCTET STRING;
``trailing-bytes``: padding after the DER; ``rsaes-oaep-key``: the key's algorithm is id-RSAES-OAEP;
``unordered-set``: a SET OF that is not in DER order (names of some Nuvoton certificates).

The issuer's signature is always checked over the bytes of the TBSCertificate as they are in the file: nothing is
re-encoded.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from asn1crypto import core, pem
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from hgs.attestation.errors import CertificateInvalid, Malformed, TooLarge, Unsupported
from hgs.attestation.tpm import PublicKey

MAX_CERTIFICATE: Final = 8192
MAX_DEPTH: Final = 6
_NV_HEADER: Final = bytes.fromhex("1001")
_EK_USAGE: Final = "2.23.133.8.1"
_KNOWN_CRITICAL: Final = frozenset(
    {"key_usage", "basic_constraints", "extended_key_usage", "subject_alt_name", "certificate_policies"}
)
_CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {
    "secp256r1": ec.SECP256R1,
    "secp384r1": ec.SECP384R1,
    "secp521r1": ec.SECP521R1,
}
_HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


@dataclass(frozen=True, eq=False)
class EkCertificate:
    """An X.509 certificate of the TPM world: an EK's, or one of its issuers'. Parsed, not verified.

    Two are equal when their bytes are: everything else follows from those.
    """

    der: bytes
    tbs: bytes
    subject: bytes
    issuer: bytes
    subject_name: str
    issuer_name: str
    public_key: PublicKey
    not_before: datetime
    not_after: datetime
    signature: bytes
    signature_algorithm: str
    """asn1crypto's name of the scheme: ``rsassa_pkcs1v15``, ``rsassa_pss``, ``ecdsa``."""
    signature_hash: str
    is_ca: bool
    path_length: int | None
    may_sign_certificates: bool
    is_ek: bool
    """Extended key usage tcg-kp-EKCertificate."""
    manufacturer: str
    """TPM manufacturer, model and version of the subject alternative name; empty when absent."""
    unknown_critical: tuple[str, ...]
    quirks: tuple[str, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EkCertificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    @property
    def thumbprint(self) -> str:
        """SHA-256 of the DER, 64 lower-case hex digits."""
        return hashlib.sha256(self.der).hexdigest()


@lru_cache(maxsize=2048)
def parse_ek_certificate(data: bytes) -> EkCertificate:
    """Read a certificate with its quirks. Raises ``TooLarge``, ``Malformed``, ``Unsupported``.

    Remembered: a host sends the same certificate at every request.
    """
    if len(data) > MAX_CERTIFICATE:
        raise TooLarge(f"The certificate has {len(data)} bytes; the limit is {MAX_CERTIFICATE}.")
    der, quirks = _unwrap(data)
    try:
        return _read(der, quirks)
    except (Malformed, Unsupported):
        raise
    except Exception as error:  # asn1crypto raises whatever its lazy decoding runs into
        raise Malformed("This is not an X.509 certificate.") from error


def load_trusted_certificate(data: bytes) -> EkCertificate:
    """Read an issuer certificate for the trust store: PEM or DER. Raises as :func:`parse_ek_certificate`."""
    if data.lstrip().startswith(b"-----BEGIN"):
        try:
            kind, _, data = pem.unarmor(data.lstrip())
        except ValueError as error:
            raise Malformed("This is not a PEM certificate.") from error
        if kind != "CERTIFICATE":
            raise Malformed("This PEM file does not hold a certificate.")
    return parse_ek_certificate(data)


def _unwrap(data: bytes) -> tuple[bytes, list[str]]:
    quirks: list[str] = []
    if len(data) > 7 and data[:2] == _NV_HEADER and data[7:8] == b"\x30":
        data, quirks = data[7:], ["nv-header"]
    if data[:1] == b"\x04":
        inner, rest = _first_element(data)
        if rest:
            raise Malformed("This is not an X.509 certificate.")
        data = inner[_header_size(inner) :]
        quirks.append("octet-string")
    der, rest = _first_element(data)
    if rest:
        quirks.append("trailing-bytes")
    if der[:1] != b"\x30":
        raise Malformed("This is not an X.509 certificate.")
    return der, quirks


def _header_size(data: bytes) -> int:
    return 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)


def _first_element(data: bytes) -> tuple[bytes, bytes]:
    """The first DER element and what follows; lengths of at most two bytes, which is all a certificate needs."""
    if len(data) < 2 or data[1] > 0x82 or data[1] == 0x80:
        raise Malformed("This is not an X.509 certificate.")
    header = _header_size(data)
    if header > len(data):
        raise Malformed("The certificate is cut short.")
    length = data[1] if header == 2 else int.from_bytes(data[2:header], "big")
    if header + length > len(data):
        raise Malformed("The certificate is cut short.")
    return data[: header + length], data[header + length :]


def _read(der: bytes, quirks: list[str]) -> EkCertificate:
    certificate = asn1_x509.Certificate.load(der, strict=True)
    tbs = certificate["tbs_certificate"]
    if tbs["signature"].dump() != certificate["signature_algorithm"].dump():
        raise Malformed("The certificate names two different signature algorithms.")
    if certificate["signature_value"].contents[:1] != b"\x00":
        raise Malformed("The certificate's signature is not a whole number of bytes.")
    key = _public_key(tbs["subject_public_key_info"], quirks)
    if not _strict_parser_reads(der):
        quirks.append("unordered-set")
    extensions = [(item["extn_id"].native, item["critical"].native) for item in tbs["extensions"]]
    names = [name for name, _ in extensions]
    if len(set(names)) != len(names):
        raise Malformed("The certificate has the same extension twice.")
    constraints = certificate.basic_constraints_value
    usage = certificate.key_usage_value
    extended = certificate.extended_key_usage_value
    return EkCertificate(
        der=der,
        tbs=tbs.dump(),
        subject=tbs["subject"].dump(),
        issuer=tbs["issuer"].dump(),
        subject_name=_printable(certificate.subject.human_friendly),
        issuer_name=_printable(certificate.issuer.human_friendly),
        public_key=key,
        not_before=tbs["validity"]["not_before"].native,
        not_after=tbs["validity"]["not_after"].native,
        signature=certificate.signature,
        signature_algorithm=certificate["signature_algorithm"].signature_algo,
        signature_hash=certificate["signature_algorithm"].hash_algo,
        is_ca=constraints is not None and bool(constraints["ca"].native),
        path_length=None if constraints is None else constraints["path_len_constraint"].native,
        may_sign_certificates=usage is None or "key_cert_sign" in usage.native,
        is_ek=extended is not None and _EK_USAGE in [_dotted(item) for item in extended],
        manufacturer=_manufacturer(tbs["extensions"]),
        unknown_critical=tuple(name for name, critical in extensions if critical and name not in _KNOWN_CRITICAL),
        quirks=tuple(quirks),
    )


def _dotted(item: core.ObjectIdentifier) -> str:
    return str(item.dotted)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:200]


def _strict_parser_reads(der: bytes) -> bool:
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = (certificate.subject, certificate.issuer, certificate.extensions)
    except Exception:  # noqa: BLE001 - any refusal counts
        return False
    return True


def _public_key(info: asn1_keys.PublicKeyInfo, quirks: list[str]) -> PublicKey:
    algorithm = info["algorithm"]["algorithm"].native
    if algorithm in ("rsa", "rsaes_oaep"):
        if algorithm == "rsaes_oaep":
            quirks.append("rsaes-oaep-key")
        numbers = asn1_keys.RSAPublicKey.load(bytes(info["public_key"]), strict=True).native
        modulus, exponent = numbers["modulus"], numbers["public_exponent"]
        if not 1024 <= modulus.bit_length() <= 8192 or not 3 <= exponent < 2**32:
            raise Unsupported("The certificate's RSA key is of an unsupported size.")
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    if algorithm == "ec":
        curve = _CURVES.get(info["algorithm"]["parameters"].native)
        if curve is None:
            raise Unsupported("The certificate's key is on an unsupported curve.")
        return ec.EllipticCurvePublicKey.from_encoded_point(curve(), bytes(info["public_key"]))
    raise Unsupported(f"The certificate's key is of the unsupported kind {algorithm!s:.40}.")


# DER of the attribute types 2.23.133.2.1 to .3.
_TPM_ATTRIBUTES: Final = {
    bytes.fromhex("0605678105020" + str(number)): name
    for number, name in ((1, "manufacturer"), (2, "model"), (3, "version"))
}


def _manufacturer(extensions: asn1_x509.Extensions) -> str:
    """Manufacturers write these names in string types that a typed decoder refuses, so they are read by hand."""
    found: list[str] = []
    for item in extensions:
        if item["extn_id"].native == "subject_alt_name":
            _collect(bytes(item["extn_value"]), found, depth=0)
    return _printable(", ".join(found))


def _collect(data: bytes, found: list[str], depth: int) -> None:
    while data and depth < 8:
        element, data = _first_element(data)
        content = element[_header_size(element) :]
        if element[0] == 0x30 and content[:7] in _TPM_ATTRIBUTES:
            text, _ = _first_element(content[7:])
            found.append(f"{_TPM_ATTRIBUTES[content[:7]]} {text[_header_size(text) :].decode('latin-1')}")
        elif element[0] & 0x20:
            _collect(content, found, depth + 1)


# ---- chains --------------------------------------------------------------------------------------------------------


def verify_ek_chain(
    certificate: EkCertificate,
    roots: Sequence[EkCertificate],
    intermediates: Sequence[EkCertificate],
    now: datetime,
) -> tuple[EkCertificate, ...]:
    """Find and check a path from the certificate to a trusted root.

    Returns the path, leaf first, root last. ``now`` is an aware time. Raises :class:`CertificateInvalid` with the
    nearest reason. No revocation is checked: TPM manufacturers publish hardly any.

    The certificate says where a TPM was made, and that stays true when its date has passed: there must have been a
    moment up to ``now`` at which the whole path was valid. :func:`valid_until` tells whether that is over.
    """
    if now < certificate.not_before:
        raise CertificateInvalid(f"The EK certificate is not valid before {certificate.not_before:%Y-%m-%d}.")
    # A platform or attestation-key certificate of the same manufacturer must not do: its key may answer for anybody.
    if certificate.is_ca or not certificate.is_ek:
        raise CertificateInvalid("The certificate is not one of an endorsement key (usage 2.23.133.8.1).")
    if certificate.unknown_critical:
        name = certificate.unknown_critical[0]
        raise CertificateInvalid(f"The certificate demands an extension that is not known: {name}.")
    path = _extend((certificate,), roots, intermediates, now)
    if path is None:
        raise CertificateInvalid(
            f"The issuer of the EK certificate, {certificate.issuer_name}, does not lead to a trusted TPM root. "
            "Add the manufacturer's root and intermediate certificates to HGS."
        )
    return path


def valid_until(path: Sequence[EkCertificate]) -> datetime:
    """When the first certificate of a path runs out."""
    return min(certificate.not_after for certificate in path)


def _extend(
    path: tuple[EkCertificate, ...],
    roots: Sequence[EkCertificate],
    intermediates: Sequence[EkCertificate],
    now: datetime,
) -> tuple[EkCertificate, ...] | None:
    last = path[-1]
    if last in roots:
        return path
    if len(path) >= MAX_DEPTH:
        return None
    for issuer in (*roots, *intermediates):
        if issuer.subject != last.issuer or issuer in path:
            continue
        longer = (*path, issuer)
        if not _may_issue(issuer, len(path) - 1) or not _were_valid(longer, now) or not _signed_by(last, issuer):
            continue
        found = _extend(longer, roots, intermediates, now)
        if found is not None:
            return found
    return None


def _may_issue(issuer: EkCertificate, below: int) -> bool:
    return (
        issuer.is_ca
        and issuer.may_sign_certificates
        and not issuer.unknown_critical
        and (issuer.path_length is None or issuer.path_length >= below)
    )


def _were_valid(path: Sequence[EkCertificate], now: datetime) -> bool:
    """Whether all were valid at one moment that is not in the future."""
    return max(certificate.not_before for certificate in path) <= min(now, valid_until(path))


@lru_cache(maxsize=4096)
def _signed_by(certificate: EkCertificate, issuer: EkCertificate) -> bool:
    """Whether the issuer's key made the signature: a fact of the two certificates that no time or setting changes."""
    hash_type = _HASHES.get(certificate.signature_hash)
    if hash_type is None:
        return False
    hash_, key, scheme = hash_type(), issuer.public_key, certificate.signature_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey) and scheme == "rsassa_pkcs1v15":
            key.verify(certificate.signature, certificate.tbs, padding.PKCS1v15(), hash_)
        elif isinstance(key, rsa.RSAPublicKey) and scheme == "rsassa_pss":
            pss = padding.PSS(padding.MGF1(hash_), padding.PSS.AUTO)
            key.verify(certificate.signature, certificate.tbs, pss, hash_)
        elif isinstance(key, ec.EllipticCurvePublicKey) and scheme == "ecdsa":
            key.verify(certificate.signature, certificate.tbs, ec.ECDSA(hash_))
        else:
            return False
    except InvalidSignature:
        return False
    return True
