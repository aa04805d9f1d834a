"""Between the rows of HGS's database and the records of a state file: one table for each kind of record."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Model

from hgs.attestation.domain import identity_of
from hgs.attestation.sid import Sid
from hgs.keyprotection.secret import Secret
from hgs.models import (
    Baseline,
    CiPolicy,
    DependentsReport,
    DomainHost,
    DumpKey,
    HostGroup,
    HostKey,
    KeyRelease,
    LogHead,
    LogLeaf,
    LogTile,
    PolicyState,
    RevokedProtector,
    ServiceConfiguration,
    ServiceKey,
    TpmHost,
    TrustedTpmRoot,
)
from hgs.sealing import seal, unseal
from hgs.statefile import kinds
from hgs.statefile.kinds import Kind
from hgs.transparency.tiles import tile_root

Fields = dict[str, Any]


def _nothing(_: Any) -> Fields:
    return {}


@dataclass(frozen=True)
class Table:
    """The rows of one kind. ``changed``: fields of a record that are not those of the row, made of the row;
    ``derived``: fields of the row that a record does not have, made of the record, and in place of those it has."""

    kind: Kind
    model: type[Model]
    order: tuple[str, ...]
    changed: Callable[[Any], Fields] = _nothing
    derived: Callable[[Fields], Fields] = _nothing

    def fields_of(self, row: Model) -> Fields:
        """The fields of the record of a row."""
        changed = self.changed(row)
        return {name: changed[name] if name in changed else _plain(getattr(row, name)) for name in self.kind.fields}

    def row_of(self, fields: Fields) -> Model:
        """The row of a record, not saved; private keys are sealed under the master key of this node."""
        values = fields | self.derived(fields)
        return self.model(**{name: value for name, value in values.items() if value is not _LEFT_OUT})


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


_LEFT_OUT: Final = object()


def _key_changed(row: ServiceKey) -> Fields:
    sealed = bytes(row.sealed_key)
    return {"private": unseal(sealed, purpose=row.purpose, record_id=row.id) if sealed else Secret(b"")}


def _key_derived(fields: Fields) -> Fields:
    private: Secret = fields["private"]
    sealed = seal(private, purpose=fields["purpose"], record_id=fields["id"]) if len(private) else b""
    certificate: bytes = fields["certificate"]
    return {
        "private": _LEFT_OUT,
        "sealed_key": sealed,
        "fingerprint": _sha256(certificate) if certificate else "",
    }


def _domain_host_derived(fields: Fields) -> Fields:
    identity = identity_of(Sid.parse(fields["sid"]))
    return {"group": _LEFT_OUT, "group_id": fields["group"], "identity": identity}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hash_of(name: str, target: str) -> Callable[[Fields], Fields]:
    return lambda fields: {target: _sha256(fields[name])}


TABLES: Final = (
    Table(kinds.CONFIGURATION, ServiceConfiguration, ("pk",)),
    Table(kinds.KEY, ServiceKey, ("created_at", "pk"), _key_changed, _key_derived),
    Table(kinds.POLICY, PolicyState, ("pk",)),
    Table(kinds.TPM_ROOT, TrustedTpmRoot, ("pk",), derived=_hash_of("certificate", "fingerprint")),
    Table(kinds.TPM_HOST, TpmHost, ("pk",), derived=_hash_of("ek_public", "ek_hash")),
    Table(kinds.HOST_KEY, HostKey, ("pk",), derived=_hash_of("public_key", "fingerprint")),
    Table(kinds.HOST_GROUP, HostGroup, ("pk",)),
    Table(kinds.DOMAIN_HOST, DomainHost, ("pk",), lambda row: {"group": row.group_id}, _domain_host_derived),
    Table(kinds.BASELINE, Baseline, ("pk",)),
    Table(kinds.CI_POLICY, CiPolicy, ("pk",)),
    Table(kinds.DUMP_KEY, DumpKey, ("pk",)),
    Table(kinds.REVOKED_PROTECTOR, RevokedProtector, ("protector_hash", "owner_fingerprint")),
    Table(kinds.DEPENDENTS, DependentsReport, ("pk",)),
    Table(kinds.RELEASE, KeyRelease, ("at", "pk")),
    Table(kinds.LOG_HEAD, LogHead, ("pk",)),
    Table(kinds.LOG_LEAF, LogLeaf, ("pk",)),
    Table(kinds.LOG_TILE, LogTile, ("level", "index"), derived=lambda fields: {"root": tile_root(fields["hashes"])}),
)
"""In the order of a file."""
BY_KIND: Final = {table.kind.name: table for table in TABLES}
