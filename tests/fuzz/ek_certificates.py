"""Endorsement-key certificates with their quirks, their chains, and trusted certificates in PEM or DER."""

from contextlib import suppress
from datetime import UTC, datetime

from hgs.attestation.ekcert import load_trusted_certificate, parse_ek_certificate, verify_ek_chain
from hgs.attestation.endorsement import endorsement_from_certificate
from hgs.attestation.errors import AttestationError
from tests.fuzz.harness import run

_NOW = datetime(2026, 11, 23, tzinfo=UTC)


def check(data: bytes) -> None:
    """Only the package's own errors; a certificate is part of the file it came in, and signs nothing but itself."""
    with suppress(AttestationError):
        certificate = parse_ek_certificate(data)
        assert certificate.der in data
        assert certificate.tbs in certificate.der
        assert parse_ek_certificate(certificate.der).tbs == certificate.tbs
        with suppress(AttestationError):
            assert verify_ek_chain(certificate, (), (certificate,), _NOW) == ()
    with suppress(AttestationError):
        assert len(endorsement_from_certificate(data).ek_hash) == 64
    with suppress(AttestationError):
        load_trusted_certificate(data)


if __name__ == "__main__":
    run("ek_certificates")
