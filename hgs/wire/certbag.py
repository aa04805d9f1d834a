"""PKCS#7 certificate bag: a CMS SignedData without signers, as ``signingCertificates`` serves it (MS-HGSA 3.1.5.5)."""

from collections.abc import Sequence
from typing import Final

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from hgs.wire.errors import CertificateBagError

MAX_BAG: Final = 128 * 1024
MAX_CERTIFICATES: Final = 32


def serialise_bag(certificates: Sequence[x509.Certificate]) -> bytes:
    """DER of a bag with these certificates (at least one, at most 32). Raises :class:`CertificateBagError`."""
    if not 0 < len(certificates) <= MAX_CERTIFICATES:
        raise CertificateBagError(f"A certificate bag holds 1 to {MAX_CERTIFICATES} certificates.")
    return pkcs7.serialize_certificates(list(certificates), Encoding.DER)


def parse_bag(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a bag. They are only carried here: nothing says that they are to be trusted.

    Raises :class:`CertificateBagError` for more than 128 KiB, an empty bag, or anything but a plain DER bag.
    """
    if len(data) > MAX_BAG:
        raise CertificateBagError(f"The certificate bag has {len(data)} bytes; the limit is {MAX_BAG}.")
    try:
        core.Sequence.load(data, strict=True)
        certificates = tuple(pkcs7.load_der_pkcs7_certificates(data))
    except Exception as error:  # the library raises several unrelated types for malformed DER
        raise CertificateBagError("This is not a PKCS#7 certificate bag.") from error
    if serialise_bag(certificates) != data:
        raise CertificateBagError("The certificate bag is not in its one DER form.")
    return certificates
