"""What the command line says about a verified key protector."""

from __future__ import annotations

from typing import Any

from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.ownership import Party, parties
from hgs.keyprotection.protector import VerifiedProtector
from portal.cli.output import Format, show_record
from tenants.cli.guardian_store import GuardianStore

_FIELDS = [
    ("path", "File"),
    ("id", "Id"),
    ("owner", "Owner"),
    ("guardians", "Guardians"),
    ("signed_by", "Signed last by"),
    ("max_offline_unwraps", "Starts without HGS"),
    ("algorithms", "Algorithms"),
    ("valid", "Signatures"),
]


def describe(verified: VerifiedProtector, known: GuardianStore) -> dict[str, Any]:
    """Everything that can be said without a key; guardians by the name under which they were imported."""
    names = known.names_by_fingerprint()
    everybody = [_party(party, names) for party in parties(verified)]
    bare = verified.protector
    return {
        "id": verified.id,
        "owner": next(party for party in everybody if party["role"] == "owner"),
        "guardians": [party for party in everybody if party["role"] == "guardian"],
        "signed_by": next(party for party in everybody if party["id"] == verified.signer.id),
        "max_offline_unwraps": bare.max_offline_unwraps,
        "max_offline_unwraps_signed": False,
        "algorithms": sorted(_algorithms(verified)),
    }


def _party(party: Party, names: dict[str, str]) -> dict[str, Any]:
    return {
        "id": party.wrapping.id,
        "role": "guardian" if party.chain else "owner",
        "name": names.get(party.fingerprint),
        "signing_certificate": party.fingerprint,
        "encryption_certificate": party.encryption_fingerprint,
        "authorised_by": list(party.chain),
    }


def _algorithms(verified: VerifiedProtector) -> set[str]:
    bare = verified.protector
    found = {bare.guardian_signature.algorithm, bare.transport_key_signature.algorithm, bare.key_derivation.algorithm}
    for wrapping in bare.wrappings:
        found |= {
            wrapping.signing_certificate_signature.algorithm,
            wrapping.encryption_certificate_signature.algorithm,
            wrapping.transport_key.algorithm,
        }
    return found


def show(record: dict[str, Any], output: Format) -> None:
    """Print a description; people get fingerprints in groups and sentences, programs the record."""
    if output == "table":
        record = record | {
            "owner": _line(record["owner"]),
            "guardians": [_line(party) + _by(party) for party in record["guardians"]],
            "signed_by": _signer(record["signed_by"]),
            "max_offline_unwraps": f"{record['max_offline_unwraps']} (not signed by anybody; HGS decides)",
            "valid": _verdict(record),
        }
    show_record(record, [(key, title) for key, title in _FIELDS if record.get(key) is not None], output)


def _line(party: dict[str, Any]) -> str:
    named = f" ({party['name']})" if party["name"] else ""
    return f"{grouped(party['signing_certificate'])}{named}"


def _by(party: dict[str, Any]) -> str:
    """Says who let a guardian in, where that was not the owner: the owner may not know it."""
    chain = party["authorised_by"]
    return f", let in by the guardian of wrapping {chain[0]}, not by the owner" if len(chain) > 1 else ""


def _signer(party: dict[str, Any]) -> str:
    if party["role"] == "owner":
        return "the owner"
    return f"the guardian {_line(party)}"


def _verdict(record: dict[str, Any]) -> str | None:
    if "valid" not in record:
        return None
    if record["transport_key_signature_checked"]:
        return "all right, the transport key's too"
    return "all right; the transport key's can be checked with --owner only"
