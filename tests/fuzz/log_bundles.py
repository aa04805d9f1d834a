"""Bundles of the key log, whole or as members that the harness puts into one, behind its checksums; and proofs."""

import io
from contextlib import suppress

from hgs.transparency.audit import verify_bundle
from hgs.transparency.errors import AuditError, NoteError, TransparencyError
from hgs.transparency.proof import parse_proof
from tests.fuzz.harness import run
from tests.hgs.transparency.bundles import VKEY, log_of, members_of, zipped
from tests.hgs.transparency.events import OWNER

SEPARATOR = b"\n--\n"
NAMES = ("from", "frontier", "leaves/0", "events.jsonl")
LOG = log_of(12)
CHECKPOINT, KEPT = LOG.note(), LOG.checkpoint(5)


def members(bundle: bytes) -> bytes:
    """A bundle's members as this harness takes them."""
    found = members_of(bundle)
    return SEPARATOR.join(found[name] for name in NAMES)


def check(data: bytes) -> None:
    """Only the package's own errors; what is proven is what the log says."""
    parts = data.split(SEPARATOR)
    if len(parts) == len(NAMES):
        given = dict(zip(NAMES, parts, strict=True))
        data = zipped({"checkpoint": CHECKPOINT, "vkey": str(VKEY).encode(), **given})
    with suppress(AuditError):
        proof = parse_proof(data)
        assert proof.serialise() == data
        with suppress(TransparencyError):
            checkpoint, event = proof.verify(VKEY)
            assert (checkpoint, event) == (LOG.checkpoint(), LOG.entries[proof.index].event)
    found = []
    with suppress(AuditError, NoteError):
        report = verify_bundle(
            io.BytesIO(data), VKEY, OWNER, KEPT, on_event=lambda at, event: found.append((at, event))
        )
        assert report.begin <= KEPT.size
        assert report.checkpoint == LOG.checkpoint()
        assert found == [(at, LOG.entries[at].event) for at in range(0, 12, 3) if at >= report.begin]


if __name__ == "__main__":
    run("log_bundles")
