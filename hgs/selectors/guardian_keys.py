"""The guardian's keys as people see them: what tenants get, what else opens, how long certificates last."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db.models import QuerySet

from hgs.models import KeyPurpose, ServiceKey
from hgs.policy import Action, may
from hgs.selectors.dependents import Dependents, dependents_of
from portal.kernel.actor import Actor
from portal.kernel.errors import NotFound
from portal.kernel.policy import require

_PURPOSES: Final = (KeyPurpose.GUARDIAN_SIGNING, KeyPurpose.GUARDIAN_ENCRYPTION)


@dataclass(frozen=True)
class GuardianKeyView:
    """One certificate of the guardian. ``pkcs11_uri`` is empty where the private key is in HGS's database."""

    id: UUID
    use: str
    fingerprint: str
    subject: str
    key_bits: int
    not_after: datetime
    expiry: str
    is_expired: bool
    is_primary: bool
    is_enabled: bool
    pkcs11_uri: str
    created_at: datetime
    dependents: Dependents

    @property
    def state(self) -> str:
        """``primary``, ``enabled`` or ``disabled``."""
        return "primary" if self.is_primary else "enabled" if self.is_enabled else "disabled"

    def to_json(self) -> dict[str, Any]:
        """A JSON object, without the list of dependents."""
        return {
            "id": str(self.id),
            "use": self.use,
            "state": self.state,
            "key": f"RSA {self.key_bits}",
            "subject": self.subject,
            "fingerprint": self.fingerprint,
            "not_after": self.not_after.isoformat(timespec="seconds"),
            "expiry": self.expiry,
            "pkcs11_uri": self.pkcs11_uri,
            "dependents": self.dependents.count,
        }


def guardian_key_rows(actor: Actor) -> QuerySet[ServiceKey]:
    """The guardian's keys: signing before encryption, the primary one of each first, then the newest."""
    require(may(actor, Action.READ))
    return ServiceKey.objects.filter(purpose__in=_PURPOSES).order_by("-purpose", "-is_primary", "-created_at", "pk")


def guardian_key(actor: Actor, key_id: UUID) -> ServiceKey:
    """One of them. Raises NotFound."""
    found = guardian_key_rows(actor).filter(pk=key_id).first()
    if found is None:
        raise NotFound("no-such-key", "The guardian has no such key.")
    return found


def guardian_key_views(actor: Actor, now: datetime) -> list[GuardianKeyView]:
    """Every key of the guardian, with what depends on it."""
    return [guardian_key_view(row, now) for row in guardian_key_rows(actor)]


def guardian_key_view(row: ServiceKey, now: datetime) -> GuardianKeyView:
    """One key as people see it."""
    certificate = x509.load_der_x509_certificate(bytes(row.certificate))
    public, end = certificate.public_key(), certificate.not_valid_after_utc
    return GuardianKeyView(
        id=row.id,
        use="signing" if row.purpose == KeyPurpose.GUARDIAN_SIGNING else "encryption",
        fingerprint=row.fingerprint,
        subject=certificate.subject.rfc4514_string(),
        key_bits=public.key_size if isinstance(public, rsa.RSAPublicKey) else 0,
        not_after=end,
        expiry=expiry_in_words(end, now),
        is_expired=end <= now,
        is_primary=row.is_primary,
        is_enabled=row.is_enabled,
        pkcs11_uri=row.pkcs11_uri,
        created_at=row.created_at,
        dependents=dependents_of([row]),
    )


def expiry_in_words(end: datetime, now: datetime) -> str:
    """``12 days left``, ``expired 3 days ago``; within a day, ``less than a day left``, ``expired today``."""
    days = abs(end - now).days
    span = f"{days} day{'' if days == 1 else 's'}"
    if end <= now:
        return f"expired {span} ago" if days else "expired today"
    return f"{span} left" if days else "less than a day left"
