"""The guardian's keys: several to sign and several to decrypt, one primary of each.

Tenants get the primary ones in the metadata; the others go on opening, and signing for, the key protectors that name
them. A key comes from a file, is generated here, or stays in a token. Certificates are containers: when they end is
shown, and changes nothing. A key that got a new certificate is known by its public half: the certificates of one key
are enabled and disabled together, since it is the key that opens.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import IntegrityError, transaction
from django.utils import timezone

from hgs import key_files, pkcs11
from hgs.commands.service_keys import certified_record, token_record
from hgs.keyprotection import algorithms, certificates, pfx
from hgs.keyprotection.certificates import CertificateUse
from hgs.keyprotection.errors import GuardianError
from hgs.keyprotection.guardian import OTHER_SIGNING_MAX
from hgs.keyprotection.secret import Secret
from hgs.models import KeyPurpose, ServiceKey
from hgs.pkcs11_uri import parse_token_uri
from hgs.policy import Action, may
from hgs.selectors import keys as opening
from hgs.selectors.configuration import configuration
from hgs.selectors.dependents import EVENTS, MADE_PRIMARY, Dependents, dependents_of
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require

PURPOSES: Final[dict[CertificateUse, KeyPurpose]] = {
    "signing": KeyPurpose.GUARDIAN_SIGNING,
    "encryption": KeyPurpose.GUARDIAN_ENCRYPTION,
}
USES: Final[dict[str, CertificateUse]] = {purpose.value: use for use, purpose in PURPOSES.items()}
ENABLED_MAX: Final = OTHER_SIGNING_MAX + 1
"""The metadata names one signing certificate and so many others; as many encryption keys are enough."""
_PROOF: Final = b"open-guarded-fabric: this key belongs to this certificate"


# ---- adding --------------------------------------------------------------------------------------------------------


def add_from_pfx(
    actor: Actor, use: CertificateUse, content: bytes, password: Secret, *, primary: bool = False
) -> ServiceKey:
    """Add the key of a PFX file, with its certificate. Raises Invalid and Conflict; then nothing is changed."""
    require(may(actor, Action.MANAGE_KEYS))
    try:
        found = pfx.read_pfx(content, password, use)
    except GuardianError as error:
        raise Invalid(error.code, error.message, error.advice) from None
    return _add_opened(actor, use, found.certificate, found.key, "a PFX file", primary=primary)


def add_from_files(
    actor: Actor,
    use: CertificateUse,
    certificate: bytes,
    private_key: bytes,
    password: Secret,
    *,
    primary: bool = False,
) -> ServiceKey:
    """Add a key from files in PEM or DER; both may be the same. Raises Invalid and Conflict."""
    require(may(actor, Action.MANAGE_KEYS))
    found = key_files.read_key_and_certificate(certificate, private_key, password, use)
    return _add_opened(actor, use, found.certificate, found.key, "a file", primary=primary)


def add_renewed_certificate(
    actor: Actor, use: CertificateUse, certificate: bytes, *, primary: bool = False
) -> ServiceKey:
    """Add a new certificate (PEM or DER) of a key that HGS has. Raises Invalid where it has none such."""
    require(may(actor, Action.MANAGE_KEYS))
    (der, *_) = key_files.read_certificates(certificate)
    _check_certificate(der, use)
    known = _same_key(PURPOSES[use], der)
    if not known:
        raise Invalid(
            "key-unknown",
            "HGS has no key that this certificate belongs to.",
            "Give the private key too, as a PFX file, a key file or the URI of a token.",
        )
    pair = opening.open_pair(known[0])
    if known[0].pkcs11_uri:
        return _save(actor, token_record(PURPOSES[use], known[0].pkcs11_uri, der), "a file", primary=primary)
    return _add_opened(actor, use, der, pair.key, "a file", primary=primary)


def add_from_token(
    actor: Actor, use: CertificateUse, uri: str, certificate: bytes = b"", *, primary: bool = False
) -> ServiceKey:
    """Add a key that stays in a token, with its certificate (PEM or DER).

    Without a certificate one is made, which the key signs itself. The token proves at once that the key is there and
    does what it is for. Raises Invalid, Conflict, and Unavailable for a token that does not do it; then nothing is
    changed.
    """
    require(may(actor, Action.MANAGE_KEYS))
    canonical = str(parse_token_uri(uri))
    if certificate:
        (der, *_) = key_files.read_certificates(certificate)
    else:
        key = pkcs11.TokenKey(canonical, pkcs11.public_key_in_token(canonical))
        der = _issue(use, key)
    public = _check_certificate(der, use)
    _prove(use, pkcs11.TokenKey(canonical, public), public)
    return _save(actor, token_record(PURPOSES[use], canonical, der), "a token", primary=primary)


def generate_key(actor: Actor, use: CertificateUse, *, primary: bool = False) -> ServiceKey:
    """Add a fresh RSA key with a certificate that it signs itself. Raises Conflict."""
    require(may(actor, Action.MANAGE_KEYS))
    configuration()
    return _save(actor, _fresh(use, timezone.now()), "HGS", primary=primary)


def new_pair(actor: Actor, *, primary: bool = False) -> tuple[ServiceKey, ServiceKey]:
    """Add a fresh signing and a fresh encryption key; ``primary``: tenants get both from now on, in one step."""
    require(may(actor, Action.MANAGE_KEYS))
    configuration()
    now = timezone.now()
    signing, encryption = _fresh("signing", now), _fresh("encryption", now)
    with transaction.atomic():
        for record in (signing, encryption):
            _save(actor, record, "HGS", primary=False)
        if primary:
            make_primary(actor, signing, encryption)
    for record in (signing, encryption):
        record.refresh_from_db()
    return signing, encryption


def _fresh(use: CertificateUse, now: datetime) -> ServiceKey:
    key = _new_key()
    return certified_record(PURPOSES[use], key, _issue(use, key, now), now, primary=False)


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, certificates.RSA_KEY_NEW)


def _issue(use: CertificateUse, key: rsa.RSAPrivateKey, now: datetime | None = None) -> bytes:
    name = f"{configuration().name} guardian {use}"
    return certificates.issue_self_signed(name, key, use, now or timezone.now())


def _add_opened(
    actor: Actor, use: CertificateUse, certificate: bytes, key: rsa.RSAPrivateKey, origin: str, *, primary: bool
) -> ServiceKey:
    public = _check_certificate(certificate, use)
    _prove(use, key, public)
    record = certified_record(PURPOSES[use], key, certificate, timezone.now(), primary=False)
    return _save(actor, record, origin, primary=primary)


def _check_certificate(der: bytes, use: CertificateUse) -> rsa.RSAPublicKey:
    """Raises Invalid unless it is a certificate of an RSA key of 2048 to 8192 bits that may be used so."""
    try:
        return certificates.rsa_key_of(der, use)
    except GuardianError as error:
        raise Invalid(error.code, error.message, error.advice) from error


def _prove(use: CertificateUse, key: rsa.RSAPrivateKey, public: rsa.RSAPublicKey) -> None:
    """Use the key once. Raises Invalid where it is not the certificate's, Unavailable where its token does not work."""
    if use == "signing":
        proven = algorithms.is_signed(public, algorithms.sign(key, _PROOF), _PROOF)
    else:
        secret = Secret(os.urandom(algorithms.KEY_SIZE))
        proven = algorithms.unwrap_transport_key(key, algorithms.wrap_transport_key(public, secret)) == secret
    if not proven:
        raise Invalid("key-mismatch", "The private key does not belong to the certificate.")


def _save(actor: Actor, record: ServiceKey, origin: str, *, primary: bool) -> ServiceKey:
    configuration()
    purpose = KeyPurpose(record.purpose)
    try:
        with transaction.atomic():
            known = _same_key(purpose, bytes(record.certificate))
            renews = [row.fingerprint for row in known]
            record.is_enabled = not known or known[0].is_enabled
            if record.is_enabled:
                _check_room(purpose)
            record.save(force_insert=True)
            said = "A renewed certificate" if renews else "A key"
            more = {"origin": origin, "pkcs11_uri": record.pkcs11_uri, "renews": renews}
            _audit(actor, record, "added", f"{said} for {purpose.label.lower()} was added from {origin}.", more)
            if primary:
                make_primary(actor, record)
    except IntegrityError:
        raise Conflict("key-known", "HGS has this certificate already; nothing was changed.") from None
    record.refresh_from_db()
    return record


def _check_room(purpose: KeyPurpose) -> None:
    if ServiceKey.objects.filter(purpose=purpose, is_enabled=True).count() >= ENABLED_MAX:
        raise Conflict(
            "too-many-keys",
            f"{ENABLED_MAX} certificates for {purpose.label.lower()} are enabled; the metadata has room for no more.",
            "Disable or remove one that nothing depends on.",
        )


def _same_key(purpose: KeyPurpose, certificate: bytes) -> list[ServiceKey]:
    """The certificates of the same key that HGS has."""
    use = USES[purpose.value]
    wanted = certificates.key_octets_of(certificate, use)
    rows = ServiceKey.objects.filter(purpose=purpose)
    return [row for row in rows if certificates.key_octets_of(bytes(row.certificate), use) == wanted]


# ---- changing ------------------------------------------------------------------------------------------------------


def make_primary(actor: Actor, *keys: ServiceKey) -> None:
    """Give tenants these keys from now on, one of each purpose at most; the ones before stay enabled.

    Each must be enabled and must work. Where one is primary already there is no event for it. Raises Conflict, Invalid,
    and Unavailable.
    """
    require(may(actor, Action.MANAGE_KEYS))
    if len({key.purpose for key in keys}) != len(keys):
        raise Invalid("same-purpose", "There is one primary key for each purpose; two of the same were named.")
    try:
        with transaction.atomic():
            now = timezone.now()
            for key in keys:
                _make_primary(actor, _locked(key), now)
    except IntegrityError:
        raise Conflict("changed-meanwhile", "Another key was made the primary one at the same moment.") from None


def _make_primary(actor: Actor, key: ServiceKey, now: datetime) -> None:
    if key.is_primary:
        return
    if not key.is_enabled:
        raise Conflict("key-disabled", "A disabled key cannot be the primary one.", "Enable it first.")
    pair = opening.open_pair(key)
    _prove(USES[key.purpose], pair.key, pair.key.public_key())
    before = ServiceKey.objects.select_for_update().filter(purpose=key.purpose, is_primary=True).first()
    if before is not None:
        ServiceKey.objects.filter(pk=before.pk).update(is_primary=False, superseded_at=now)
    ServiceKey.objects.filter(pk=key.pk).update(is_primary=True, superseded_at=None)
    label = KeyPurpose(key.purpose).label
    summary = f"{label}: tenants get another certificate from now on; the one before stays enabled."
    _audit(actor, key, MADE_PRIMARY, summary, {"before": before.fingerprint if before else ""})


def enable_key(actor: Actor, key: ServiceKey) -> None:
    """Let a key, with every certificate of it, open and sign again. Where nothing changes there is no event."""
    require(may(actor, Action.MANAGE_KEYS))
    with transaction.atomic():
        locked = _locked(key)
        for row in _same_key(KeyPurpose(locked.purpose), bytes(locked.certificate)):
            if not row.is_enabled:
                _check_room(KeyPurpose(row.purpose))
                ServiceKey.objects.filter(pk=row.pk).update(is_enabled=True)
                _audit(actor, row, "enabled", f"A key for {_label(row)} was enabled.", {})


def disable_key(actor: Actor, key: ServiceKey, *, force: bool = False) -> None:
    """Let a key, with every certificate of it, open and sign nothing. Where nothing changes there is no event.

    Raises Conflict for a primary one, and where something depends on it unless ``force`` says that this is meant.
    """
    require(may(actor, Action.MANAGE_KEYS))
    with transaction.atomic():
        locked = _locked(key)
        rows = _same_key(KeyPurpose(locked.purpose), bytes(locked.certificate))
        _refuse_primary(rows)
        changing = [row for row in rows if row.is_enabled]
        lost = _check_dependents(changing, "disabled", force=force)
        for row in changing:
            ServiceKey.objects.filter(pk=row.pk).update(is_enabled=False)
            _audit(actor, row, "disabled", f"A key for {_label(row)} was disabled.{_told(lost)}", _data_of(lost))


def remove_keys(actor: Actor, *keys: ServiceKey, force: bool = False) -> None:
    """Forget certificates of the guardian with their private keys, all of them or none.

    A key in a token is forgotten here and stays there. Raises Conflict for a primary one, and where something depends
    on them unless ``force`` says that this is meant.
    """
    require(may(actor, Action.MANAGE_KEYS))
    with transaction.atomic():
        rows = [_locked(key) for key in keys]
        _refuse_primary(rows)
        lost = _check_dependents(rows, "removed", force=force)
        for row in rows:
            more = {**_data_of(lost), "pkcs11_uri": row.pkcs11_uri}
            _audit(actor, row, "removed", f"A key for {_label(row)} was removed.{_told(lost)}", more)
            row.delete()


def _locked(key: ServiceKey) -> ServiceKey:
    """The row as it is now, locked. Raises Conflict where it is gone, or none of the guardian's."""
    found = ServiceKey.objects.select_for_update().filter(pk=key.pk, purpose__in=list(USES)).first()
    if found is None:
        raise Conflict("key-gone", "The guardian has no such key any more.", "List them: gf hgs key list")
    return found


def _refuse_primary(rows: Sequence[ServiceKey]) -> None:
    if any(row.is_primary for row in rows):
        raise Conflict(
            "primary-key",
            "The primary key can be neither disabled nor removed: tenants get it.",
            "Make another one the primary key first.",
        )


def _check_dependents(rows: Sequence[ServiceKey], word: str, *, force: bool) -> Dependents:
    found = dependents_of(rows)
    if found.count and not force:
        raise Conflict(
            "key-in-use",
            f"The key was not {word}: {found} depend on it and would not open any more.",
            "Have the owners grant the new guardian access (gf hgs key dependents lists them), or force it.",
            found.to_json(),
        )
    return found


def _told(lost: Dependents) -> str:
    return f" Lost with it: {lost}." if lost.count else ""


def _data_of(lost: Dependents) -> dict[str, Any]:
    return {"lost": lost.to_json()} if lost.count else {}


def _label(key: ServiceKey) -> str:
    return KeyPurpose(key.purpose).label.lower()


def _audit(actor: Actor, key: ServiceKey, word: str, summary: str, more: dict[str, Any]) -> None:
    audit.record(
        actor,
        f"{EVENTS}:{word}",
        target_type="service-key",
        target_id=key.id,
        summary=summary,
        data={"purpose": key.purpose, "fingerprint": key.fingerprint, **more},
    )
