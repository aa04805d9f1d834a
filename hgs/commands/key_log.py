"""Appending to the account of keys: nothing of an answer leaves HGS before its entry is committed.

Threads of one process that want to append at the same time share a transaction: one of them commits for all who wait,
so that the disk is waited for once and not once for each of them.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Subquery
from django.utils import timezone

from hgs.commands.service_keys import LOG_SEED_LENGTH, new_log_origin, sealed_record
from hgs.keyprotection.secret import Secret
from hgs.models import KeyPurpose, KeyRelease, LogHead, LogLeaf, LogTile, ServiceConfiguration, ServiceKey
from hgs.selectors import key_log
from hgs.selectors.key_log import LogKey
from hgs.transparency.checkpoint import Checkpoint, sign_checkpoint
from hgs.transparency.entry import KeyEvent, make_leaf
from hgs.transparency.merkle import Frontier, leaf_hash
from hgs.transparency.tiles import completed_tiles, tile_root
from portal.kernel.durability import orderly_transaction
from portal.kernel.errors import Unavailable
from portal.kernel.ids import new_ordered_id
from portal.kernel.prepared import Prepared
from portal.kernel.prepared_writes import PreparedInsert, PreparedUpdate

_MOST: Final = 64
"""Entries of one transaction."""
_PATIENCE: Final = 0.012
"""Seconds at most that an entry waits for others which are on their way."""
_HEAD: Final = Prepared(
    lambda: (
        LogHead.objects.select_for_update()
        .filter(pk=LogHead.SINGLETON)
        .annotate(origin=Subquery(ServiceConfiguration.objects.values("log_origin")[:1]))
        .values_list("size", "frontier", "origin")
    )
)
_NEW_HEAD: Final = PreparedUpdate(LogHead, "size", "frontier", "checkpoint")
_RELEASE: Final = PreparedInsert(KeyRelease)
_LEAF: Final = PreparedInsert(LogLeaf)


@dataclass
class Entry:
    """What waits to be appended, and what became of it."""

    event: KeyEvent
    owner_certificate: bytes | None
    chain: str = ""
    release_id: UUID = field(default_factory=new_ordered_id)
    blinding: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    salt: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    is_done: bool = False
    failure: BaseException | None = None


class _Queue:
    """The entries of this process that wait to be committed, and how many more are on their way."""

    def __init__(self) -> None:
        self.committing = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []
        self._coming = 0

    def expect(self, change: int) -> None:
        """One more is on its way, or (-1) one is not any more."""
        with self._changed:
            self._coming += change
            self._tell()

    def put(self, entry: Entry) -> None:
        """What was on its way is here."""
        with self._changed:
            self._waiting.append(entry)
            self._coming -= 1
            self._tell()

    def _tell(self) -> None:
        # Only when it is worth it: who is woken for nothing takes the interpreter from the others.
        if self._is_enough():
            self._changed.notify_all()

    def _is_enough(self) -> bool:
        return self._coming <= 0 or len(self._waiting) >= _MOST

    def wait(self) -> None:
        """Wait a moment for those on their way, since a transaction for all costs less."""
        with self._changed:
            self._changed.wait_for(self._is_enough, _PATIENCE)

    def take(self) -> list[Entry]:
        """What waits by now."""
        with self._changed:
            batch = self._waiting[:_MOST]
            del self._waiting[:_MOST]
        return batch


_queue = _Queue()


class Appender:
    """Appends one entry. Entered when the work on an answer begins, so that others know that its entry will come."""

    def __init__(self, log: LogKey) -> None:
        self._log = log
        self._is_expected = False

    def __enter__(self) -> Self:
        if not transaction.get_connection().in_atomic_block:
            self._is_expected = True
            _queue.expect(1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_expected:
            _queue.expect(-1)

    def append(self, event: KeyEvent, owner_certificate: bytes | None, chain: str = "") -> UUID:
        """Log an event for its proven owner (the signing certificate, DER; None: nobody's); the id of its row.

        ``chain``: that of the protector. Returns once it is committed. Raises DatabaseError.
        """
        entry = Entry(event, owner_certificate, chain)
        if not self._is_expected:  # whoever is in a transaction already commits for himself
            commit([entry], self._log)
            return entry.release_id
        self._is_expected = False
        _queue.put(entry)
        with _queue.committing:
            while not entry.is_done:
                _commit_for_all(self._log)
        if entry.failure is not None:
            raise entry.failure
        return entry.release_id


def _commit_for_all(log: LogKey) -> None:
    """Commit for those who wait longest: all of them share the outcome.

    Which these are is settled at the last moment: more come while another process has its turn.
    """
    _queue.wait()
    batch: list[Entry] = []
    try:
        with orderly_transaction():
            batch = _queue.take()
            _append(batch, log)
    except BaseException as failure:  # noqa: BLE001 - each of those who wait raises it
        batch = batch or _queue.take()
        for entry in batch:
            entry.failure = failure
    for entry in batch:
        entry.is_done = True


def commit(batch: Sequence[Entry], log: LogKey) -> None:
    """Append entries in one transaction. Raises DatabaseError, Unavailable; then none of them is in the log."""
    with orderly_transaction():
        _append(batch, log)


def _append(batch: Sequence[Entry], log: LogKey) -> None:
    size, frontier, origin = _locked_head()
    if origin != log.origin:  # another log began since the key was read: HGS was restored
        raise Unavailable("key-log-changed", "HGS keeps another key log now.", "Ask again.")
    leaves = [_leaf(entry) for entry in batch]
    _RELEASE.save_all([_row(entry, index) for index, entry in enumerate(batch, start=size)])
    _LEAF.save_all([LogLeaf(index=index, leaf=leaf) for index, leaf in enumerate(leaves, start=size)])
    hashes = [leaf_hash(leaf) for leaf in leaves]
    frontier.extend(hashes)
    _keep_tiles(size, hashes)
    signed = sign_checkpoint(Checkpoint(log.origin, frontier.size, frontier.root()), log.key)
    _NEW_HEAD.set(LogHead.SINGLETON, frontier.size, frontier.serialise(), signed)


def _locked_head() -> tuple[int, Frontier, str | None]:
    """The end of the log, and the name of the log that HGS keeps; nobody else appends until this transaction ends."""
    found = _HEAD.first()
    if found is None:
        LogHead.objects.get_or_create(pk=LogHead.SINGLETON)
        (found,) = _HEAD.rows()
    size, frontier, origin = found
    return size, Frontier.parse(size, bytes(frontier)), origin


def _leaf(entry: Entry) -> bytes:
    return make_leaf(
        entry.event, entry.owner_certificate, salt=entry.salt, blinding=entry.blinding, nobody=os.urandom(32)
    )


def _row(entry: Entry, index: int) -> KeyRelease:
    event = entry.event
    return KeyRelease(
        id=entry.release_id,
        at=event.at,
        released=event.is_release,
        reason=event.reason,
        message=event.message,
        protector_hash=event.protector,
        egress_hash=event.egress,
        chain=entry.chain,
        owner_fingerprint=event.owner,
        guardian_fingerprint=event.guardian,
        vm_id=UUID(event.vm) if event.vm else None,
        host_identity=event.host,
        host_name=event.host_name,
        certificate_serial=event.certificate,
        attestation_id=UUID(event.verdict) if event.verdict else None,
        offline_unwraps=event.offline,
        log_index=index,
        blinding=entry.blinding,
    )


def _keep_tiles(before: int, hashes: Sequence[bytes]) -> None:
    """Store the tiles that are full now."""

    def leaf_hashes_of(begin: int, end: int) -> Sequence[bytes]:
        older = key_log.leaf_hashes(begin, min(end, before)) if begin < before else []
        return [*older, *hashes[max(begin - before, 0) : end - before]]

    for level, index, tile in completed_tiles(before, before + len(hashes), leaf_hashes_of, key_log.TileRoots()):
        LogTile.objects.create(level=level, index=index, hashes=tile, root=tile_root(tile))


def ensure_log() -> None:
    """Give an HGS from before there was a key log its key and its name."""
    configuration = ServiceConfiguration.objects.first()
    if configuration is None:
        return
    if not configuration.log_origin:
        ServiceConfiguration.objects.filter(pk=configuration.pk, log_origin="").update(log_origin=new_log_origin())
    if not ServiceKey.objects.filter(purpose=KeyPurpose.KEY_LOG, is_primary=True).exists():
        record = sealed_record(KeyPurpose.KEY_LOG, Secret(os.urandom(LOG_SEED_LENGTH)), b"", timezone.now())
        try:
            with transaction.atomic():
                record.save(force_insert=True)
        except IntegrityError:  # another node was faster
            return
