"""Deciding, once, whether imported metadata is that of the guardian one means.

Three things make it trusted: its fingerprint was given or compared by a person; or a certification authority that the
person named (`--ca`) issued every certificate in it; or, said explicitly, nothing at all (`--allow-untrusted-root`).
The system's own list of authorities does not count: those certify anybody who has a name in the DNS.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from hgs.keyprotection import certificates
from hgs.keyprotection.certificates import grouped, same_fingerprint
from hgs.keyprotection.metadata import VerifiedMetadata
from portal.cli.failure import CliError
from tenants.cli.files import read_limited

CA_FILE_MAX: Final = 256 * 1024
CLOCK_SKEW: Final = dt.timedelta(minutes=10)
"""How far a tenant's clock may be behind that of a Host Guardian Service which made its certificates just now."""


def check_dates(verified: VerifiedMetadata, now: dt.datetime, *, allow_expired: bool) -> None:
    """Refuse guardian certificates that are not valid at `now`, or warn of them. Raises CliError."""
    for use, der in zip(("signing", "encryption"), _guardian_certificates(verified), strict=True):
        certificate = certificates.load_certificate(der)
        if certificate.not_valid_before_utc - CLOCK_SKEW <= now <= certificate.not_valid_after_utc:
            continue
        sentence = (
            f"The guardian's {use} certificate is valid from "
            f"{_day(certificate.not_valid_before_utc)} to {_day(certificate.not_valid_after_utc)}, not today."
        )
        if not allow_expired:
            raise CliError(
                sentence,
                "Ask the guardian's administrator for new metadata, or accept it with --allow-expired: "
                "a Host Guardian Service itself ignores these dates.",
            )
        click.echo(f"warning: {sentence}", err=True)


def check_trust(
    verified: VerifiedMetadata, fingerprint: str | None, ca: Path | None, *, allow_untrusted_root: bool
) -> None:
    """Make sure that the metadata is trusted for one of the reasons above, asking where that is needed.

    Raises CliError.
    """
    if fingerprint is not None:
        _compare(verified, fingerprint)
        return
    if ca is not None and _issued_by(verified, _authorities(ca)):
        return
    if allow_untrusted_root:
        click.echo("warning: nothing says whose metadata this is: it was neither compared nor certified.", err=True)
        click.echo(f"warning: from now on it is known by {grouped(verified.fingerprint)}.", err=True)
        return
    if ca is not None:
        raise CliError(
            f"No certification authority in {ca} issued the certificates of this guardian.",
            "Give --fingerprint TEXT, which the guardian's administrator tells you.",
        )
    _ask(verified)


def _compare(verified: VerifiedMetadata, expected: str) -> None:
    if same_fingerprint(expected, verified.fingerprint):
        return
    raise CliError(
        "The guardian metadata is not signed by the certificate with the fingerprint you gave.",
        "Do not use it. Fetch it again, and compare with the administrator of the Host Guardian Service.",
        details=(f"given: {grouped(expected)[:80]}", f"found: {grouped(verified.fingerprint)}"),
    )


def _ask(verified: VerifiedMetadata) -> None:
    click.echo("This metadata is signed by the certificate with the fingerprint", err=True)
    click.echo(f"  {grouped(verified.fingerprint)}", err=True)
    click.echo("Compare it with the one the administrator of the Host Guardian Service gave you.", err=True)
    try:
        same = click.confirm("Is it the same?", default=False, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise CliError(
            "Nobody is there to compare; nothing was imported.",
            "Give --fingerprint TEXT, or --allow-untrusted-root to take it unseen.",
        ) from None
    if not same:
        raise CliError(
            "The fingerprint was not confirmed; nothing was imported.", "Ask for the fingerprint, then import again."
        )


def _guardian_certificates(verified: VerifiedMetadata) -> tuple[bytes, ...]:
    guardian = verified.guardian
    return guardian.signing_certificate, guardian.encryption_certificate


def _authorities(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(read_limited(path, CA_FILE_MAX))
    except ValueError:
        raise CliError(f"{path} holds no certificates in PEM form.", "Give the authority's certificate file.") from None


def _issued_by(verified: VerifiedMetadata, authorities: Sequence[x509.Certificate]) -> bool:
    """Whether all certificates come from these authorities: the one that signs metadata decides what later ones say."""
    every = (*_guardian_certificates(verified), verified.communications_certificate)
    return all(_chains(certificates.load_certificate(der), authorities) for der in every)


def _chains(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> bool:
    """Whether one of the authorities issued the certificate. All of them are trusted, so the first step decides."""
    return any(_is_authority(candidate) and _issued(certificate, candidate) for candidate in authorities)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except Exception:  # noqa: BLE001 - the library raises several unrelated types for malformed extensions
        return False
    return basic.ca and usage.key_cert_sign


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _day(moment: dt.datetime) -> str:
    return moment.date().isoformat()
