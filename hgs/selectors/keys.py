"""The keys of HGS, opened for use.

Opening a sealed key and checking an RSA key take milliseconds, so opened keys are kept in this process, under the
exact sealed bytes they came from: a changed row is opened anew. A key in a token is not opened; the token is asked
whenever the key is used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Final, overload
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key
from django.db.models import QuerySet

from hgs.attestation.healthcert import MAX_LIFETIME, TrustedSigner
from hgs.keyprotection.guardian import Guardian, GuardianKeys, guardian_keys_from
from hgs.keyprotection.metadata import CommunicationsKey, serialise_metadata
from hgs.keyprotection.secret import Secret
from hgs.models import KeyPurpose, ServiceConfiguration, ServiceKey
from hgs.pkcs11 import TokenKey
from hgs.policy import Action, may
from hgs.sealing import SealingError, unseal
from hgs.selectors.configuration import configuration
from portal.kernel.actor import Actor
from portal.kernel.errors import Unavailable
from portal.kernel.policy import require

OVERLAP: Final = MAX_LIFETIME + timedelta(hours=1)
"""How long a superseded signer stays trusted: the life of a health certificate, and room for clocks that differ."""
_CERTIFIED: Final = tuple(set(KeyPurpose) - {KeyPurpose.EXCHANGE_STATE, KeyPurpose.KEY_LOG})


_Identity = tuple[UUID, str, bytes, bytes, str]
"""Of a row: its id, purpose, sealed key, certificate, and where its key is in a token."""
_Pair = tuple[_Identity, _Identity]


@dataclass(frozen=True)
class KeyPair:
    """A certificate of HGS with its private key."""

    certificate: bytes
    key: rsa.RSAPrivateKey

    @cached_property
    def x509(self) -> x509.Certificate:
        """The certificate, parsed."""
        return x509.load_der_x509_certificate(self.certificate)


@dataclass(frozen=True)
class CertificateView:
    """A certificate of HGS as people see it."""

    purpose: str
    fingerprint: str
    subject: str
    not_after: datetime
    key_bits: int
    is_primary: bool
    is_enabled: bool
    deny_issued_before: datetime | None


def exchange_state_keys() -> list[bytes]:
    """The 32-byte keys that seal exchange state, the one in use first."""
    return [_open(record).reveal() for record in _enabled(KeyPurpose.EXCHANGE_STATE)]


def attestation_signer() -> KeyPair:
    """The signer of new health certificates."""
    return _open_pair(_identity(primary_signer()))


def primary_signer() -> ServiceKey:
    """The row of the signer of new health certificates."""
    return _enabled(KeyPurpose.ATTESTATION_SIGNER)[0]


def trusted_signers() -> list[TrustedSigner]:
    """Every signer whose health certificates open keys here."""
    return [
        TrustedSigner(x509.load_der_x509_certificate(bytes(record.certificate)), record.deny_issued_before)
        for record in _enabled(KeyPurpose.ATTESTATION_SIGNER)
    ]


def every_signer() -> list[x509.Certificate]:
    """The certificate of every attestation signer that HGS ever had."""
    rows = ServiceKey.objects.filter(purpose=KeyPurpose.ATTESTATION_SIGNER)
    return [x509.load_der_x509_certificate(bytes(row.certificate)) for row in rows]


def retire_at() -> datetime | None:
    """When the first signer that was superseded, and is still trusted, has signed nothing any more that counts."""
    first = _superseded().order_by("superseded_at").values_list("superseded_at", flat=True).first()
    return None if first is None else first + OVERLAP


def retirable_signers(now: datetime) -> list[ServiceKey]:
    """Signers that were superseded so long ago that every certificate they signed is over."""
    return list(_superseded().filter(superseded_at__lte=now - OVERLAP))


def _superseded() -> QuerySet[ServiceKey]:
    return ServiceKey.objects.filter(
        purpose=KeyPurpose.ATTESTATION_SIGNER, is_enabled=True, is_primary=False, superseded_at__isnull=False
    )


class ReleaseKeys(Sequence[GuardianKeys]):
    """The guardian of this HGS, once for each enabled encryption key with each enabled signing key.

    The two primary ones come first, then those that were made together: an older wrapping names the signing key of its
    time, and what HGS returns must be signed by that one. Each is opened when it is come to. Whoever goes through all
    of them finds those whose token does not answer left out, and Unavailable at the end instead: nothing else fitted,
    and one of those might have.
    """

    def __init__(
        self,
        name: str,
        signing: Sequence[ServiceKey],
        encryption: Sequence[ServiceKey],
        before: "ReleaseKeys | None" = None,
    ) -> None:
        self._name = name
        self._others = tuple(bytes(record.certificate) for record in signing[1:])
        self._pairs = [
            (_identity(signer), _identity(opener))
            for opener in encryption
            for signer in sorted(signing, key=lambda one, opener=opener: not _belongs(one, opener))  # type: ignore[misc]
        ]
        self._opened: dict[_Identity, KeyPair] = {}
        self._made: dict[_Pair, GuardianKeys] = {}
        if before is not None:
            self._take_over(before)

    def _take_over(self, before: "ReleaseKeys") -> None:
        """Keep what was opened and is still enabled, and let go of the rest."""
        wanted = {identity for pair in self._pairs for identity in pair}
        self._opened = {identity: pair for identity, pair in list(before._opened.items()) if identity in wanted}
        if (before._name, before._others) == (self._name, self._others):
            self._made = {pair: made for pair, made in list(before._made.items()) if pair in self._pairs}

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, index: int) -> GuardianKeys: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[GuardianKeys]: ...
    def __getitem__(self, index: int | slice) -> GuardianKeys | Sequence[GuardianKeys]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        pair = self._pairs[index]
        if pair not in self._made:
            signer, opener = self._open(pair[0]), self._open(pair[1])
            self._made[pair] = guardian_keys_from(
                self._name, signer.certificate, signer.key, opener.certificate, opener.key, self._others
            )
        return self._made[pair]

    def _open(self, identity: _Identity) -> KeyPair:
        if identity not in self._opened:
            self._opened[identity] = _open_identity(identity)
        return self._opened[identity]

    def __iter__(self) -> Iterator[GuardianKeys]:
        away: Unavailable | None = None
        for index in range(len(self)):
            try:
                found = self[index]
            except Unavailable as error:
                away = away or error
            else:
                yield found
        if away is not None:
            raise away


def _belongs(signer: ServiceKey, opener: ServiceKey) -> bool:
    """Whether tenants got the two together: the primary ones, or two that were made at the same moment."""
    if opener.is_primary:
        return signer.is_primary
    return signer.created_at == opener.created_at


_release_keys: tuple[tuple[UUID, str], ReleaseKeys] | None = None


def guardian_keys(found: ServiceConfiguration | None = None) -> ReleaseKeys:
    """What opens key protectors here. ``found``: the configuration, where the caller has just read it."""
    global _release_keys
    found = found or configuration()
    seen, kept = (found.trust_stamp, found.name), _release_keys
    if kept is None or kept[0] != seen:
        # The stamp was read first, so what is read now is as new as the stamp, or newer, and is then read once more.
        signing, encryption = _enabled(KeyPurpose.GUARDIAN_SIGNING), _enabled(KeyPurpose.GUARDIAN_ENCRYPTION)
        kept = _release_keys = seen, ReleaseKeys(found.name, signing, encryption, kept[1] if kept else None)
    return kept[1]


def guardian_metadata() -> bytes:
    """The signed guardian metadata (XML) that tenants import."""
    return _metadata(guardian_keys()[0].guardian, _identity(_enabled(KeyPurpose.COMMUNICATIONS)[0]))


@dataclass(frozen=True)
class SignerView:
    """An attestation signer as people see it. ``state``: signs, trusted (for the overlap), or past."""

    fingerprint: str
    state: str
    not_before: datetime
    not_after: datetime
    trusted_until: datetime | None
    deny_issued_before: datetime | None
    id: UUID


def signers(actor: Actor) -> list[SignerView]:
    """Every attestation signer, the one that signs first."""
    require(may(actor, Action.READ))
    return [_signer_view(row) for row in ServiceKey.objects.filter(purpose=KeyPurpose.ATTESTATION_SIGNER)]


def _signer_view(record: ServiceKey) -> SignerView:
    certificate = x509.load_der_x509_certificate(bytes(record.certificate))
    overlap_ends = record.superseded_at + OVERLAP if record.is_enabled and record.superseded_at else None
    return SignerView(
        fingerprint=record.fingerprint,
        state="signs" if record.is_primary else "trusted" if record.is_enabled else "past",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        trusted_until=overlap_ends,
        deny_issued_before=record.deny_issued_before,
        id=record.id,
    )


def certificates(actor: Actor, *, of_guardian: bool = True) -> list[CertificateView]:
    """Every certificate of HGS, for people to look at; without those of the guardian where so asked."""
    require(may(actor, Action.READ))
    left_out = set() if of_guardian else {KeyPurpose.GUARDIAN_SIGNING, KeyPurpose.GUARDIAN_ENCRYPTION}
    return [_view(record) for record in ServiceKey.objects.filter(purpose__in=set(_CERTIFIED) - left_out)]


def _view(record: ServiceKey) -> CertificateView:
    certificate = x509.load_der_x509_certificate(bytes(record.certificate))
    key = certificate.public_key()
    return CertificateView(
        purpose=KeyPurpose(record.purpose).label,
        fingerprint=record.fingerprint,
        subject=certificate.subject.rfc4514_string(),
        not_after=certificate.not_valid_after_utc,
        key_bits=key.key_size if isinstance(key, rsa.RSAPublicKey) else 0,
        is_primary=record.is_primary,
        is_enabled=record.is_enabled,
        deny_issued_before=record.deny_issued_before,
    )


def _enabled(purpose: KeyPurpose) -> list[ServiceKey]:
    found = list(ServiceKey.objects.filter(purpose=purpose, is_enabled=True).order_by("-is_primary", "-created_at"))
    if not found or not found[0].is_primary:
        raise Unavailable(
            "no-primary-key",
            f"HGS has no primary key for the purpose {purpose.value}.",
            "Initialise HGS, or restore its database.",
        )
    return found


def _identity(record: ServiceKey) -> _Identity:
    return record.id, record.purpose, bytes(record.sealed_key), bytes(record.certificate), record.pkcs11_uri


def _open(record: ServiceKey) -> Secret:
    return _unseal(record.id, record.purpose, bytes(record.sealed_key))


def _unseal(record_id: UUID, purpose: str, sealed: bytes) -> Secret:
    try:
        return unseal(sealed, purpose=purpose, record_id=record_id)
    except SealingError as error:
        raise Unavailable(error.code, error.message) from error


def open_pair(record: ServiceKey) -> KeyPair:
    """A certified key of HGS, opened this once. Raises Unavailable where it does not open."""
    return _open_identity(_identity(record))


@lru_cache(maxsize=2)  # the signer and the communications key: one that was replaced soon makes room
def _open_pair(identity: _Identity) -> KeyPair:
    return _open_identity(identity)


def _open_identity(identity: _Identity) -> KeyPair:
    record_id, purpose, sealed, certificate, uri = identity
    if uri:
        public = x509.load_der_x509_certificate(certificate).public_key()
        if not isinstance(public, rsa.RSAPublicKey):
            raise TypeError("a certified key of HGS is an RSA key")
        return KeyPair(certificate, TokenKey(uri, public))
    key = load_der_private_key(_unseal(record_id, purpose, sealed).reveal(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("a certified key of HGS is an RSA key")
    return KeyPair(certificate, key)


@lru_cache(maxsize=4)
def _metadata(guardian: Guardian, communications: _Identity) -> bytes:
    pair = _open_pair(communications)
    return serialise_metadata(guardian, CommunicationsKey(pair.certificate, pair.key))
