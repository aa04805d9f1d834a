"""Audit events: one per change, each carrying the hash of the one before it.

An event's hash is SHA-256 over its predecessor's hash (32 bytes, zeros for the first) and its own content as JSON with
sorted keys and no white space. Changing or removing a row breaks every later hash; `verify_chain` says where.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.kernel.actor import Actor
from portal.kernel.models import AuditEvent, AuditHead
from portal.kernel.prepared import Prepared
from portal.kernel.prepared_writes import PreparedInsert, PreparedUpdate

GENESIS = bytes(32)
# Inside a transaction; on PostgreSQL the row is locked, on SQLite the transaction is the only one that writes.
_HEAD = Prepared(lambda: AuditHead.objects.select_for_update().filter(pk=1).values_list("sequence", "digest"))
_EVENT = PreparedInsert(AuditEvent)
_NEW_HEAD = PreparedUpdate(AuditHead, "sequence", "digest")


def _content(event: AuditEvent) -> bytes:
    fields: dict[str, Any] = {
        "sequence": event.sequence,
        "at": event.at.isoformat(),
        "actor": [event.actor_kind, event.actor_id, event.actor_name, event.actor_via],
        "event": event.event,
        "target": [event.target_type, event.target_id],
        "scope": event.scope,
        "summary": event.summary,
        "data": event.data,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(previous: bytes, event: AuditEvent) -> bytes:
    return hashlib.sha256(previous + _content(event)).digest()


def record(
    actor: Actor,
    event: str,
    *,
    target_type: str,
    target_id: object,
    summary: str,
    scope: str = "",
    data: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Appends `event` ("subject:action") in the caller's transaction; `data` must be JSON and hold no secret."""
    # Without a savepoint: whoever goes on after an event that could not be recorded must not commit.
    with transaction.atomic(savepoint=False):
        sequence, previous = _locked_head()
        entry = AuditEvent(
            sequence=sequence + 1,
            at=timezone.now(),
            actor_kind=actor.kind.value,
            actor_id=actor.id,
            actor_name=actor.name,
            actor_via=actor.via,
            event=event,
            target_type=target_type,
            target_id=str(target_id),
            scope=scope,
            summary=summary,
            data=json.loads(json.dumps(dict(data or {}))),
        )
        entry.digest = _digest(previous, entry)
        _EVENT.save(entry)
        _NEW_HEAD.set(1, entry.sequence, entry.digest)
    return entry


def _locked_head() -> tuple[int, bytes]:
    """Sequence and digest of the last event; nobody else can prolong the chain until this transaction ends."""
    head = _HEAD.first()
    if head is None:
        AuditHead.objects.get_or_create(pk=1)
        (head,) = _HEAD.rows()
    sequence, digest = head
    return sequence, bytes(digest) or GENESIS


def verify_chain(events: Iterable[AuditEvent] | None = None) -> int | None:
    """The sequence number of the first event that does not fit its predecessor, or None when the chain is whole."""
    previous, expected = GENESIS, 1
    for event in events if events is not None else AuditEvent.objects.order_by("sequence").iterator():
        digest = _digest(previous, event)
        if event.sequence != expected or bytes(event.digest) != digest:
            return expected
        previous, expected = digest, expected + 1
    return None
