"""An endorsement-key certificate explained: whose TPM, what is odd about the file, and where its chain leads."""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation.ekcert import EkCertificate, parse_ek_certificate, valid_until, verify_ek_chain
from hgs.attestation.errors import AttestationError, CertificateInvalid, Malformed, TooLarge
from hgs.attestation.offline.uefi import one_line

MAX_FILE: Final = 4 * 1024 * 1024
MAX_CERTIFICATES: Final = 5000
_ARMOUR: Final = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----(.{1,65536}?)-----END", re.DOTALL)
_MANUFACTURERS: Final = {
    "AMD": "AMD",
    "ATML": "Atmel",
    "BRCM": "Broadcom",
    "CSCO": "Cisco",
    "FLYS": "FlySlice",
    "GOOG": "Google",
    "HPE": "HPE",
    "HPI": "HP",
    "IBM": "IBM",
    "IFX": "Infineon",
    "INTC": "Intel",
    "LEN": "Lenovo",
    "MSFT": "Microsoft",
    "NSM": "National Semiconductor",
    "NTC": "Nuvoton",
    "NTZ": "Nationz",
    "QCOM": "Qualcomm",
    "ROCC": "Fuzhou Rockchip",
    "SMSC": "SMSC",
    "SMSN": "Samsung",
    "SNS": "Sinosun",
    "STM": "STMicroelectronics",
    "TXN": "Texas Instruments",
    "WEC": "Winbond",
}


def certificates_in(data: bytes) -> list[bytes]:
    """The certificates of a file, each as the parser takes it: PEM with anything around it, or one binary one.

    Raises ``TooLarge``.
    """
    if len(data) > MAX_FILE:
        raise TooLarge(f"The certificate file has {len(data)} bytes; the limit is {MAX_FILE}.")
    blocks = _ARMOUR.findall(data)
    if len(blocks) > MAX_CERTIFICATES:
        raise TooLarge(f"The file has more than {MAX_CERTIFICATES} certificates.")
    return [_decoded(block) for block in blocks] if blocks else [data]


def _decoded(block: bytes) -> bytes:
    try:
        return base64.b64decode(re.sub(rb"\s", b"", block), validate=True)
    except (binascii.Error, ValueError):
        return b""


def read_certificate(data: bytes) -> EkCertificate:
    """The certificate of a file, as manufacturers and tools write it. Raises ``TooLarge``, ``Malformed``,
    ``Unsupported``."""
    if data.lstrip()[:1] == b"{":
        data = _from_service(data)
    found = certificates_in(data)
    first = found[0]
    try:
        return parse_ek_certificate(first)
    except Malformed as error:
        if _is_attribute_certificate(first):
            raise Malformed(
                "This is an attribute certificate (a platform certificate), not one of an endorsement key."
            ) from error
        if b"-----BEGIN" in data and b"CERTIFICATE-----" not in data:
            raise Malformed("This PEM file holds no certificate.") from error
        raise


def _from_service(data: bytes) -> bytes:
    """The answer of a manufacturer's certificate service: ``{"certificate": "<base64url>"}``."""
    try:
        text = json.loads(data[:MAX_FILE])["certificate"]
        padded = str(text).replace("%3D", "") + "=="
        return base64.urlsafe_b64decode(padded)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise Malformed("This JSON file holds no certificate.") from error


def _is_attribute_certificate(der: bytes) -> bool:
    """RFC 5755: version 1 as a bare INTEGER first, where a certificate has it tagged."""
    at = der.find(b"\x30\x82", 4, 16)
    return der[:2] == b"\x30\x82" and at > 0 and der[at + 4 : at + 7] == b"\x02\x01\x01"


@dataclass(frozen=True)
class EkReport:
    """``accepted``: the chain leads to one of the given roots by HGS's rules. ``facts`` describe the certificate."""

    accepted: bool
    code: str
    reason: str
    facts: dict[str, Any]
    path: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """``{"accepted", "code", "reason", "certificate": {…}, "path": [subject, …], "warnings"}``."""
        return {
            "accepted": self.accepted,
            "code": self.code,
            "reason": self.reason,
            "certificate": self.facts,
            "path": list(self.path),
            "warnings": list(self.warnings),
        }


def report_ek(certificate: EkCertificate, trusted: Iterable[EkCertificate], at: datetime) -> EkReport:
    """Judge the chain by the rules of attestation. Roots are those of ``trusted`` without an issuer among them."""
    roots, others = _sorted(trusted)
    found = facts_of(certificate)
    warnings = [f"The certificate has a quirk: {_QUIRKS.get(quirk, quirk)}." for quirk in found["quirks"]]
    if not roots:
        warnings.append("No trusted certificate was given.")
    try:
        path = verify_ek_chain(certificate, roots, others, at)
    except CertificateInvalid as error:
        return EkReport(False, "chain", error.message, found, (certificate.subject_name,), tuple(warnings))
    names = tuple(item.subject_name for item in path)
    reason = f"The certificate leads to {path[-1].subject_name}."
    if at > (end := valid_until(path)):
        warnings.append(
            f"The certificate, or one above it, ran out on {end:%Y-%m-%d}. It says where the TPM was made, which stays "
            "true: attestation accepts it and warns."
        )
    return EkReport(True, "accepted", reason, found, names, tuple(warnings))


def _sorted(trusted: Iterable[EkCertificate]) -> tuple[list[EkCertificate], list[EkCertificate]]:
    """Roots and intermediates: whatever has no issuer among the given ones is where their trust begins.

    Some manufacturers' roots were signed by a public authority of their time, so a root need not be self-signed.
    """
    given = list(trusted)
    subjects = {item.subject for item in given}
    roots = [item for item in given if item.subject == item.issuer or item.issuer not in subjects]
    return roots, [item for item in given if item not in roots]


# ---- facts ---------------------------------------------------------------------------------------------------------

_QUIRKS: Final = {
    "nv-header": "the header of TPM storage stands before it",
    "octet-string": "it is wrapped in an OCTET STRING",
    "trailing-bytes": "padding follows it",
    "rsaes-oaep-key": "its key is declared for OAEP alone",
    "unordered-set": "a set in it is not in DER's order, or another parser refuses it",
    "serial-number": "its serial number is not positive",
}


def facts_of(certificate: EkCertificate) -> dict[str, Any]:
    """What the certificate says, as JSON values."""
    key = certificate.public_key
    serial = _serial(certificate.der)
    quirks = [*certificate.quirks, *(["serial-number"] if serial is not None and serial <= 0 else [])]
    return {
        "subject": one_line(certificate.subject_name),
        "issuer": one_line(certificate.issuer_name),
        **_manufacturer(certificate.manufacturer),
        "serial": None if serial is None else f"{serial:x}",
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "key": f"RSA-{key.key_size}" if isinstance(key, rsa.RSAPublicKey) else f"ECC {key.curve.name}",
        "is_endorsement_key": certificate.is_ek and not certificate.is_ca,
        "is_ca": certificate.is_ca,
        "sha256": certificate.thumbprint,
        "quirks": quirks,
    }


def _serial(der: bytes) -> int | None:
    try:
        return int(asn1_x509.Certificate.load(der)["tbs_certificate"]["serial_number"].native)
    except Exception:  # noqa: BLE001 - asn1crypto raises whatever its lazy decoding runs into
        return None


def _manufacturer(text: str) -> dict[str, str]:
    """TCG's attributes, ``manufacturer id:53544D20, model …, version id:0D0C``, each by itself and in words."""
    found = {"manufacturer": "", "model": "", "version": ""}
    for part in text.split(", "):
        name, _, value = part.partition(" ")
        if name in found:
            found[name] = one_line(value)
    found["manufacturer_name"] = _vendor(found["manufacturer"])
    return found


def _vendor(identity: str) -> str:
    digits = identity.removeprefix("id:")
    try:
        code = bytes.fromhex(digits).rstrip(b" \x00").decode("ascii")
    except (ValueError, UnicodeDecodeError):
        code = digits
    return _MANUFACTURERS.get(code, one_line(code))


def read_trusted(files: Iterable[tuple[str, bytes]]) -> tuple[list[EkCertificate], list[str]]:
    """The certificates of a folder, and a sentence for each file that holds none. Raises ``TooLarge``."""
    found: list[EkCertificate] = []
    problems: list[str] = []
    for name, data in files:
        for der in certificates_in(data):
            try:
                found.append(parse_ek_certificate(der))
            except AttestationError as error:
                problems.append(f"{one_line(name)} is left out: {error.message}")
        if len(found) > MAX_CERTIFICATES:
            raise TooLarge(f"There are more than {MAX_CERTIFICATES} certificates.")
    return found, problems
