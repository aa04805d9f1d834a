"""Envelopes and records for tests, all of whose parts are given."""

from datetime import UTC, datetime
from io import BytesIO
from uuid import UUID

from hgs.keyprotection.secret import Secret
from hgs.statefile import kinds
from hgs.statefile.container import LEAST_WORK, Writer
from hgs.statefile.form import WHOLE, Head, Record, lines

AT = datetime(2026, 11, 27, 12, 30, 15, 250_000, tzinfo=UTC)
HEAD = Head(AT, "lab", "open-guarded-fabric 0.1.0", WHOLE)
PASSPHRASE = Secret(b"a passphrase for tests")
GROUP = UUID("00112233-4455-6677-8899-aabbccddeeff")
RECORDS = (
    Record(
        kinds.CONFIGURATION,
        {
            "mode": 1,
            "mode_changed_at": None,
            "functional_level": 2,
            "name": "lab",
            "initialised_at": AT,
            "deny_issued_before": AT,
            "max_offline_unwraps": 0,
            "log_origin": "open-guarded-fabric/key-log/1",
        },
    ),
    Record(kinds.POLICY, {"name": "Hgs_NoDumps", "is_enabled": False, "changed_at": AT, "changed_by": "ann – ü"}),
    Record(
        kinds.HOST_GROUP,
        {"id": GROUP, "name": "hosts", "sid": "S-1-5-21-1-2-3-1104", "approved_at": AT, "approved_by": "ann"},
    ),
    Record(kinds.DEPENDENTS, {"at": AT, "dependents": [{"kind": "vm", "name": "web\u202801", "guardians": ["ab"]}]}),
)


def whole(records: tuple[Record, ...] = RECORDS, head: Head = HEAD) -> bytes:
    """The lines of a file."""
    return b"".join(lines(head, records))


def enveloped(content: bytes) -> bytes:
    """A file around them."""
    out = BytesIO()
    writer = Writer(out, PASSPHRASE, lambda size: bytes(range(size)), LEAST_WORK)
    writer.write(content)
    writer.finish()
    return out.getvalue()
