"""Virtual machines of many owners, and the requests that their hosts send when they start."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from bench.attestation.hosts import Host
from hgs.keyprotection.guardian import Guardian, GuardianKeys, create_guardian_keys
from hgs.keyprotection.metadata import parse_metadata
from hgs.keyprotection.protector import new_protector
from hgs.keyprotection.release import new_request
from hgs.wire.kps import RollTransportKeyRequest, serialise_request


@dataclass(frozen=True)
class Machine:
    """One virtual machine on one host: what its host sends to start it, and which key must come out."""

    host: Host
    request: RollTransportKeyRequest
    body: bytes
    head: bytes


def guardian_of(metadata: bytes) -> Guardian:
    """HGS's guardian from its metadata."""
    return parse_metadata(metadata).verify("benchmark").guardian


def owners(count: int) -> list[GuardianKeys]:
    """Owners as `gf guardian new` makes them: RSA-3072."""
    return [create_guardian_keys(f"owner {number}", datetime.now(UTC)) for number in range(count)]


def machines_of(
    host: Host, certificate: bytes, guardian: Guardian, of: Sequence[GuardianKeys], count: int
) -> list[Machine]:
    """So many machines on a host, of the owners in turn."""
    made = []
    for number in range(count):
        protector, _ = new_protector(of[number % len(of)], [guardian], os.urandom)
        request = new_request(protector, certificate)
        head = f"Virtual-Machine: {uuid4()}\r\n".encode()
        made.append(Machine(host, request, serialise_request(request), head))
    return made
