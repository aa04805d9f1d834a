"""Certificates near their end, and the makers' certificates that hosts' TPMs lead to."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from cryptography import x509

from hgs.attestation.ekcert import EkCertificate, parse_ek_certificate
from hgs.models import KeyPurpose, ServiceKey, TpmHost, TrustedTpmRoot
from hgs.selectors.guardian_keys import guardian_key_view
from hgs.selectors.in_force import authorities
from hgs.selectors.trust import check_ek_certificate
from hgs.trace.findings import TPM_MODE, Diagnostic, Facts, Told, counted, failed, named, passed, warning
from portal.kernel.errors import Invalid

SIGNER_NEAR: Final = timedelta(days=30)
"""HGS renews its signer 60 days before it ends, so a signer this near its end was not renewed."""
OTHERS_NEAR: Final = timedelta(days=90)
_GUARDIAN: Final = (KeyPurpose.GUARDIAN_SIGNING, KeyPurpose.GUARDIAN_ENCRYPTION)


def own_certificates(facts: Facts) -> Iterable[Told]:
    """HGS's own certificates are valid for a while."""
    near = 0
    certified = ServiceKey.objects.filter(is_enabled=True, is_primary=True).exclude(certificate=b"")
    for key in certified.exclude(purpose__in=_GUARDIAN):
        end = x509.load_der_x509_certificate(bytes(key.certificate)).not_valid_after_utc
        is_signer = key.purpose == KeyPurpose.ATTESTATION_SIGNER
        remedy = "Renew it: gf hgs signer renew" if is_signer else "Give HGS a new key of this purpose in good time."
        label = KeyPurpose(key.purpose).label
        if end <= facts.now:
            near += 1
            yield failed(f"The certificate for {label.lower()} ended on {end:%Y-%m-%d}.", remedy)
        elif end - facts.now < (SIGNER_NEAR if is_signer else OTHERS_NEAR):
            near += 1
            yield warning(f"The certificate for {label.lower()} ends on {end:%Y-%m-%d}.", remedy)
    if not near:
        yield passed("No certificate of HGS is near its end.")


def guardian_certificates(facts: Facts) -> Iterable[Told]:
    """When certificates of the guardian end changes nothing; it is good to know all the same."""
    views = [guardian_key_view(key, facts.now) for key in ServiceKey.objects.filter(purpose__in=_GUARDIAN)]
    ended = [view.fingerprint[:16] for view in views if view.is_enabled and view.is_expired]
    if ended:
        yield passed(f"Certificates of the guardian have ended, and count as before: {named(ended)}.")


def tpm_makers(_: Facts) -> Iterable[Told]:
    """The trusted makers' certificates can be used."""
    known = [
        (root.name, root.is_root, parse_ek_certificate(bytes(root.certificate)))
        for root in TrustedTpmRoot.objects.all()
    ]
    if not any(is_root for _, is_root, _ in known):
        if TpmHost.objects.exclude(ek_certificate=b"").exists():
            yield failed("No TPM maker's root is trusted, so no TPM certificate leads anywhere.", _ADD_ROOT)
        return
    roots = {certificate.der for _, is_root, certificate in known if is_root}
    lost = list(_without_root([certificate for _, _, certificate in known], roots))
    if lost:
        names = [name for name, _, certificate in known if certificate.der in lost]
        yield warning(f"Intermediate certificates lead to no trusted root: {named(names)}.", _ADD_ROOT)
    if not lost:
        yield passed(f"Trusted, and of use: {counted(len(known), 'certificate')} of TPM makers.")


_ADD_ROOT: Final = "Add the maker's certificates: gf hgs tpm-root add FILE"


def _without_root(known: list[EkCertificate], roots: set[bytes]) -> Iterable[bytes]:
    """Intermediates from which no chain of issuers reaches a root of the store."""
    by_subject = {certificate.subject: certificate for certificate in known}
    for certificate in known:
        at, seen = certificate, {certificate.der}
        while at.der not in roots:
            above = by_subject.get(at.issuer)
            if above is None or above.der in seen:
                yield certificate.der
                break
            seen.add(above.der)
            at = above


def host_certificates(facts: Facts) -> Iterable[Told]:
    """The certificate of every registered TPM still leads to a trusted root."""
    makers = authorities()
    broken: dict[str, list[str]] = {}
    certified = TpmHost.objects.exclude(ek_certificate=b"").only("name", "ek_certificate")
    for host in certified:
        try:
            check_ek_certificate(bytes(host.ek_certificate), facts.now, makers)
        except Invalid as error:
            broken.setdefault(error.message, []).append(host.name)
    for reason, names in broken.items():
        yield failed(
            f"{named(names)} cannot attest any more: {reason}", f"{_ADD_ROOT}, or approve the host's new identity."
        )
    if certified and not broken:
        yield passed("The TPM certificate of every registered host leads to a trusted root.")


DIAGNOSTICS: Final = (
    Diagnostic("certificates", "Certificates of HGS", "Certificates", own_certificates),
    Diagnostic("guardian-certificates", "Certificates of the guardian", "Certificates", guardian_certificates),
    Diagnostic("tpm-makers", "TPM makers", "Certificates", tpm_makers, TPM_MODE),
    Diagnostic("host-certificates", "TPM certificates of hosts", "Certificates", host_certificates, TPM_MODE),
)
