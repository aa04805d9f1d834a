"""What must fit together in a state file, looked at record by record before anything is written.

A file is authentic: whoever wrote it knew the passphrase. It may still have been put together wrongly, and an HGS that
starts with half of its keys is worse than none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from hgs.keyprotection.secret import Secret
from hgs.statefile.errors import unsound
from hgs.statefile.form import WHOLE, Record, Summary
from hgs.statefile.kinds import (
    CONFIGURATION,
    DOMAIN_HOST,
    HOST_GROUP,
    KEY,
    KEY_PURPOSES,
    LOG_HEAD,
    LOG_LEAF,
    LOG_TILE,
    RELEASE,
)
from hgs.statefile.log import Log

KEY_LOG: Final = "key-log"
SEED_LENGTH: Final = 32
_CERTIFIED: Final = tuple(purpose for purpose in KEY_PURPOSES if purpose != KEY_LOG)


@dataclass(frozen=True)
class KeyFound:
    """A key in the file, without its secret."""

    purpose: str
    fingerprint: str
    is_primary: bool
    is_enabled: bool
    pkcs11_uri: str


@dataclass
class Soundness:
    """Gathers what records say of one another. Call :meth:`see` for each, and then :meth:`finish`."""

    configuration: dict[str, Any] = field(default_factory=dict)
    keys: list[KeyFound] = field(default_factory=list)
    log: Log = field(default_factory=Log)
    _ids: set[tuple[str, UUID]] = field(default_factory=set)
    _groups: set[UUID] = field(default_factory=set)
    _seed: Secret | None = None

    def see(self, record: Record) -> None:
        """Look at one record. Raises StateFileError."""
        kind, fields = record.kind, record.fields
        if kind is RELEASE:
            self.log.see_release(fields)  # there may be very many; the database tells twins
            return
        if (found := fields.get("id")) is not None:
            self._see_id(kind.name, found)
        if kind is CONFIGURATION:
            self.configuration = fields
        elif kind is KEY:
            self._see_key(fields)
        elif kind is HOST_GROUP:
            self._groups.add(fields["id"])
        elif kind is DOMAIN_HOST and fields["group"] not in self._groups:
            raise unsound(f"the host {fields['name']} is of a host group that is not in it.")
        elif kind is LOG_HEAD:
            self.log.see_head(fields)
        elif kind is LOG_LEAF:
            self.log.see_leaf(fields)
        elif kind is LOG_TILE:
            self.log.see_tile(fields)

    def finish(self, summary: Summary) -> None:
        """Look at the whole once every record was seen. Raises StateFileError."""
        if not self.configuration:
            raise unsound("it says not what this HGS is: there is no configuration.")
        if self.configuration["name"] != summary.head.name:
            raise unsound("its head and its configuration give the HGS two names.")
        primary = [key.purpose for key in self.keys if key.is_primary]
        for purpose in _CERTIFIED:
            if primary.count(purpose) != 1:
                raise unsound(f"there is not exactly one primary key for the purpose {purpose}.")
        if summary.head.log == WHOLE:
            self.log.finish(self.configuration["log_origin"], self._seed)
        elif self._seed is not None:
            raise unsound("the key of the key log is in it, and the log is not.")

    @property
    def in_tokens(self) -> list[KeyFound]:
        """Keys that are in it by reference alone."""
        return [key for key in self.keys if key.pkcs11_uri]

    def _see_id(self, kind: str, identifier: UUID) -> None:
        if (kind, identifier) in self._ids:
            raise unsound(f"two records of the kind {kind} have the id {identifier}.")
        self._ids.add((kind, identifier))

    def _see_key(self, fields: dict[str, Any]) -> None:
        key = KeyFound(
            fields["purpose"],
            hashlib.sha256(fields["certificate"]).hexdigest() if fields["certificate"] else "",
            fields["is_primary"],
            fields["is_enabled"],
            fields["pkcs11_uri"],
        )
        if key.is_primary and not key.is_enabled:
            raise unsound(f"the primary key for the purpose {key.purpose} is disabled.")
        if key.purpose == KEY_LOG:
            self._see_seed(fields)
        else:
            _check_key(fields)
        self.keys.append(key)

    def _see_seed(self, fields: dict[str, Any]) -> None:
        if len(fields["private"]) != SEED_LENGTH or fields["certificate"] or fields["pkcs11_uri"]:
            raise unsound("the key of the key log is not a seed of 32 bytes.")
        if fields["is_primary"]:
            if self._seed is not None:
                raise unsound("there are two primary keys of the key log.")
            self._seed = fields["private"]


def _check_key(fields: dict[str, Any]) -> None:
    """A certified key has its private half here or in a token, and that half is the certificate's."""
    purpose = fields["purpose"]
    try:
        certificate = x509.load_der_x509_certificate(fields["certificate"])
        certified = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise unsound(f"a certificate for the purpose {purpose} cannot be read.") from None
    if bool(fields["pkcs11_uri"]) == bool(len(fields["private"])):
        raise unsound(f"a key for the purpose {purpose} is neither in it nor in a token, or is in both.")
    if fields["pkcs11_uri"]:
        return
    try:
        key = load_der_private_key(fields["private"].reveal(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise unsound(f"a private key for the purpose {purpose} cannot be read.") from None
    if key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != certified:
        raise unsound(f"a private key for the purpose {purpose} is not the one of its certificate.")
