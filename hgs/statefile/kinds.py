"""What a state file holds: the kinds of records in their order, and the fields of each.

What follows from other fields (fingerprints, hashes of keys) is not written, so that it cannot contradict them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hgs.statefile.values import (
    Digest,
    Encoding,
    Flag,
    Identifier,
    Json,
    Maybe,
    Moment,
    Number,
    Octets,
    Private,
    Text,
    Word,
)
from hgs.transparency.merkle import HASH_SIZE, SIZE_MAX
from hgs.transparency.note import NOTE_MAX
from hgs.transparency.tiles import ENTRY_MAX, TILE_SIZE

KEY_PURPOSES: Final = (
    "guardian-signing",
    "guardian-encryption",
    "communications",
    "attestation-signer",
    "key-log",
)
"""Of the purposes of HGS's keys, those that a file holds: the key of exchange state is made anew."""
_NAME: Final = Text(64)
_PERSON: Final = Text(150, 0)
_FILE: Final = Octets(4 * 2**20, 0)
_VERSION: Final = Number(1, 2)


@dataclass(frozen=True)
class Kind:
    """Records of one kind. ``most``: how many there may be; None for any number."""

    name: str
    fields: Mapping[str, Encoding]
    most: int | None = None


_ARTEFACT: Final[dict[str, Encoding]] = {
    "id": Identifier(),
    "name": _NAME,
    "digest": Digest(),
    "policy_version": _VERSION,
    "content": _FILE,
    "facts": Json(dict, 2**20),
    "is_enabled": Flag(),
    "approved_at": Moment(),
    "approved_by": _PERSON,
}

CONFIGURATION: Final = Kind(
    "configuration",
    {
        "mode": Number(1, 3),
        "mode_changed_at": Maybe(Moment()),
        "functional_level": Number(0, 32767),
        "name": _NAME,
        "initialised_at": Moment(),
        "deny_issued_before": Maybe(Moment()),
        "max_offline_unwraps": Number(0, 2**31 - 1),
        "log_origin": Text(128, 0),
    },
    most=1,
)
KEY: Final = Kind(
    "key",
    {
        "id": Identifier(),
        "purpose": Word(KEY_PURPOSES),
        "certificate": Octets(64 * 1024, 0),
        "private": Private(64 * 1024),
        "pkcs11_uri": Text(500, 0),
        "is_primary": Flag(),
        "is_enabled": Flag(),
        "deny_issued_before": Maybe(Moment()),
        "superseded_at": Maybe(Moment()),
        "created_at": Moment(),
    },
)
POLICY: Final = Kind("policy", {"name": _NAME, "is_enabled": Flag(), "changed_at": Moment(), "changed_by": _PERSON})
TPM_ROOT: Final = Kind(
    "tpm-root",
    {
        "id": Identifier(),
        "name": Text(200),
        "certificate": Octets(64 * 1024),
        "is_root": Flag(),
        "added_at": Moment(),
        "added_by": _PERSON,
    },
)
TPM_HOST: Final = Kind(
    "tpm-host",
    {
        "id": Identifier(),
        "name": _NAME,
        "ek_public": Octets(8 * 1024),
        "ek_certificate": Octets(64 * 1024, 0),
        "policy_version": _VERSION,
        "approved_at": Moment(),
        "approved_by": _PERSON,
    },
)
HOST_KEY: Final = Kind(
    "host-key",
    {
        "id": Identifier(),
        "name": _NAME,
        "public_key": Octets(8 * 1024),
        "approved_at": Moment(),
        "approved_by": _PERSON,
    },
)
HOST_GROUP: Final = Kind(
    "host-group",
    {"id": Identifier(), "name": _NAME, "sid": Text(184), "approved_at": Moment(), "approved_by": _PERSON},
)
DOMAIN_HOST: Final = Kind(
    "domain-host",
    {
        "id": Identifier(),
        "sid": Text(184),
        "name": _NAME,
        "group": Identifier(),
        "known_since": Moment(),
        "seen_at": Moment(),
    },
)
BASELINE: Final = Kind("baseline", _ARTEFACT)
CI_POLICY: Final = Kind("ci-policy", _ARTEFACT)
DUMP_KEY: Final = Kind("dump-key", _ARTEFACT)
REVOKED_PROTECTOR: Final = Kind(
    "revoked-protector",
    {"protector_hash": Digest(), "owner_fingerprint": Digest(), "notice_hash": Digest(), "at": Moment()},
)
DEPENDENTS: Final = Kind("dependents", {"at": Moment(), "dependents": Json(list, 12 * 2**20)}, most=1)
RELEASE: Final = Kind(
    "release",
    {
        "id": Identifier(),
        "at": Moment(),
        "released": Flag(),
        "reason": Text(64, 0),
        "message": Text(500, 0),
        "protector_hash": Digest(may_be_empty=True),
        "chain": Digest(may_be_empty=True),
        "egress_hash": Digest(may_be_empty=True),
        "owner_fingerprint": Digest(may_be_empty=True),
        "guardian_fingerprint": Digest(may_be_empty=True),
        "vm_id": Maybe(Identifier()),
        "host_identity": Text(64, 0),
        "host_name": Text(64, 0),
        "certificate_serial": Text(40, 0),
        "attestation_id": Maybe(Identifier()),
        "offline_unwraps": Number(0, 2**31 - 1),
        "log_index": Maybe(Number(0, SIZE_MAX)),
        "blinding": Octets(32, 0),
    },
)
LOG_LEAF: Final = Kind("log-leaf", {"index": Number(0, SIZE_MAX), "leaf": Octets(ENTRY_MAX)})
LOG_TILE: Final = Kind(
    "log-tile",
    {"level": Number(0, 7), "index": Number(0, SIZE_MAX), "hashes": Octets(TILE_SIZE, TILE_SIZE)},
)
LOG_HEAD: Final = Kind(
    "log-head",
    {"size": Number(0, SIZE_MAX), "frontier": Octets(64 * HASH_SIZE, 0), "checkpoint": Octets(NOTE_MAX, 0)},
    most=1,
)

ORDER: Final = (
    CONFIGURATION,
    KEY,
    POLICY,
    TPM_ROOT,
    TPM_HOST,
    HOST_KEY,
    HOST_GROUP,
    DOMAIN_HOST,
    BASELINE,
    CI_POLICY,
    DUMP_KEY,
    REVOKED_PROTECTOR,
    DEPENDENTS,
    RELEASE,
    LOG_HEAD,
    LOG_LEAF,
    LOG_TILE,
)
"""The order of records in a file: what is referred to comes before what refers to it."""
BY_NAME: Final = {kind.name: kind for kind in ORDER}
LOG: Final = (RELEASE, LOG_HEAD, LOG_LEAF, LOG_TILE)
"""What ``--without-log`` leaves out."""
