"""What an owner proves from a bundle, offline: the log only grew, and every entry of his is in the list he was given.

1. The log's key, which the owner knows, signed the checkpoint: N entries, one root.
2. The entries in the bundle lead from the frontier at M to exactly that root.
3. On the way there the log had the root that the owner checked last time: nothing before it was changed.
4. Every entry that carries the owner's mark is opened by the event shown for it, and no event is shown without one.

So M may be beyond 0 only up to where the owner has checked: what lies between would be seen by nobody, and without a
root of his own to compare nothing would prove even that the frontier is the log's.

The one who hands out the bundle is not believed, nor is HGS about its past. What HGS never logged, or logged under
another owner's mark, is not seen here: HGS is the one that releases.
"""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from hgs.transparency.bundle import Bundle, Disclosure
from hgs.transparency.checkpoint import Checkpoint, open_checkpoint
from hgs.transparency.entry import OwnerKey, opens, parse_leaf
from hgs.transparency.errors import AuditError, EntryError
from hgs.transparency.event import KeyEvent, parse_event
from hgs.transparency.merkle import Frontier, leaf_hash
from hgs.transparency.note import VerifierKey

OnEvent = Callable[[int, KeyEvent], None]


@dataclass(slots=True)
class Tally:
    """Counted events."""

    released: int = 0
    refused: int = 0
    first_at: dt.datetime | None = None
    last_at: dt.datetime | None = None

    def add(self, event: KeyEvent) -> None:
        """Count one more."""
        if event.is_release:
            self.released += 1
        else:
            self.refused += 1
        self.first_at = event.at if self.first_at is None else min(self.first_at, event.at)
        self.last_at = event.at if self.last_at is None else max(self.last_at, event.at)

    @property
    def total(self) -> int:
        """Releases and refusals."""
        return self.released + self.refused


@dataclass(frozen=True, slots=True)
class Report:
    """What was proven. `checkpoint` is to be kept: the next bundle has to grow from it.

    `begin`: the first entry that was looked at; `mine`: the owner's entries among those; `machines`: the same by what
    hosts said the virtual machine was.
    """

    checkpoint: Checkpoint
    begin: int
    mine: Tally
    machines: dict[str, Tally] = field(default_factory=dict)

    @property
    def examined(self) -> int:
        """How many entries were looked at, anybody's."""
        return self.checkpoint.size - self.begin


def verify_bundle(
    file: BinaryIO,
    key: VerifierKey,
    owner_certificate: bytes,
    kept: Checkpoint | None = None,
    seen: Sequence[Checkpoint] = (),
    on_event: OnEvent | None = None,
) -> Report:
    """Prove what a bundle should prove to the owner with this signing certificate (DER). Raises AuditError, NoteError.

    `kept`: the checkpoint of the owner's last audit of this log; `seen`: others that are known to be the log's, such
    as one fetched from HGS itself, up to which the bundle has to reach. `on_event` is given the owner's entries as
    they are read; nothing of them is proven until this returns.
    """
    bundle = Bundle(file)
    checkpoint = open_checkpoint(bundle.note, key)
    known = [*([kept] if kept else []), *seen]
    _check_ends(bundle.begin, checkpoint, kept, known)
    tree = _Tree(Frontier.parse(bundle.begin, bundle.frontier), known)
    mine = _Mine(OwnerKey.of(owner_certificate), bundle.disclosures(), on_event)
    for piece in bundle.pieces(checkpoint.size):
        mine.look_at(tree.frontier.size, piece)
        tree.grow(piece)
    # A bundle that was tampered with proves nothing about HGS, so this comes before the log itself is accused.
    if not hmac.compare_digest(tree.frontier.root(), checkpoint.root):
        raise AuditError(
            "entries-altered",
            "The entries in the bundle are not those of the signed checkpoint: some were changed, left out or put in.",
            "Fetch the bundle again. If it stays so, whoever makes it is lying or broken; keep it as evidence.",
        )
    tree.check()
    mine.finish()
    return Report(checkpoint, bundle.begin, mine.tally, mine.machines)


def _check_ends(begin: int, checkpoint: Checkpoint, kept: Checkpoint | None, known: Sequence[Checkpoint]) -> None:
    for one in known:
        if one.origin != checkpoint.origin:
            raise AuditError(
                "wrong-origin",
                f"The bundle is of the log {checkpoint.origin}, not of {one.origin}.",
                "Check which Host Guardian Service it comes from.",
            )
        if one.size > checkpoint.size:
            raise AuditError(
                "log-shrunk",
                f"The bundle's log has {checkpoint.size} entries, but {one.size} were signed before.",
                "Fetch a new bundle. If it stays so, entries were taken out of the log; keep the bundle as evidence.",
            )
        if one is not kept and one.size < begin:
            raise AuditError(
                "not-compared",
                f"The bundle begins at entry {begin}, so nothing in it compares with the checkpoint of {one.size}.",
                f"Fetch a bundle that begins at {one.size} or before.",
            )
    if begin and kept is None:
        raise AuditError(
            "nothing-kept",
            f"The bundle begins at entry {begin}, and nothing shows what came before: no earlier audit was kept.",
            "Fetch a bundle that begins at 0.",
        )
    if kept is not None and begin > kept.size:
        raise AuditError(
            "entries-skipped",
            f"The bundle begins at entry {begin}, but you have checked the log up to {kept.size} only.",
            f"Fetch a bundle that begins at {kept.size} or before.",
        )


class _Tree:
    """The tree as it grows from the bundle's beginning, compared with known checkpoints on the way."""

    def __init__(self, frontier: Frontier, known: Sequence[Checkpoint]) -> None:
        self.frontier = frontier
        self._ahead = sorted((one for one in known if one.size >= frontier.size), key=lambda one: one.size)
        self._differs: Checkpoint | None = None
        self._compare()

    def grow(self, leaves: Sequence[bytes]) -> None:
        """Append leaves."""
        at = 0
        while at < len(leaves):
            stop = len(leaves)
            if self._ahead:
                stop = min(stop, at + self._ahead[0].size - self.frontier.size)
            self.frontier.extend(map(leaf_hash, leaves[at:stop]))
            at = stop
            self._compare()

    def _compare(self) -> None:
        while self._ahead and self._ahead[0].size == self.frontier.size:
            known = self._ahead.pop(0)
            if self._differs is None and not hmac.compare_digest(known.root, self.frontier.root()):
                self._differs = known

    def check(self) -> None:
        """Raises AuditError for a log that is not the known one."""
        if self._differs is not None:
            raise AuditError(
                "log-forked",
                f"The log was rewritten: its first {self._differs.size} entries are not those that were signed before.",
                "Do not trust this Host Guardian Service. Keep the bundle and your checkpoint: they prove it.",
            )


class _Mine:
    """The owner's entries, each against what is shown for it. Entries and lines have the same order, so one walk does.

    The first problem is remembered and told when the log itself turned out to be right.
    """

    def __init__(self, owner: OwnerKey, disclosures: Iterator[Disclosure], on_event: OnEvent | None) -> None:
        self.tally = Tally()
        self.machines: dict[str, Tally] = {}
        self._owner = owner
        self._disclosures = disclosures
        self._next = next(disclosures, None)
        self._on_event = on_event
        self._problem: AuditError | None = None

    def look_at(self, begin: int, leaves: Sequence[bytes]) -> None:
        """The entries from number `begin` on."""
        if self._problem is not None:
            return
        try:
            for at in self._owner.find(leaves):
                self._open(begin + at, leaves[at])
        except EntryError as error:
            self._problem = AuditError(error.code, error.message, error.advice)
        except AuditError as error:
            self._problem = error

    def finish(self) -> None:
        """Raises AuditError for the first entry that is not as shown."""
        if self._problem is not None:
            raise self._problem
        if self._next is not None:
            raise _not_yours(self._next.index)

    def _open(self, index: int, data: bytes) -> None:
        shown = self._next
        if shown is not None and shown.index != index and self._is_of_another(shown):
            raise AuditError(
                "bundle-of-another",
                "The bundle shows the entries of another owner than the one you named.",
                "Name the owner it was made for, or fetch one for this owner. If you did, whoever makes it is lying.",
            )
        if shown is None or shown.index > index:
            raise AuditError(
                "entry-hidden",
                f"Entry {index} of the log is yours, and the bundle does not show it: a use of your keys is hidden.",
                "Ask for it at the Host Guardian Service itself, not at the portal; keep the bundle as evidence.",
                index,
            )
        if shown.index < index:
            raise _not_yours(shown.index)
        event = self._event(shown, data)
        self._next = next(self._disclosures, None)
        self.tally.add(event)
        self.machines.setdefault(event.vm, Tally()).add(event)
        if self._on_event is not None:
            self._on_event(index, event)

    def _is_of_another(self, shown: Disclosure) -> bool:
        try:
            return parse_event(shown.event).owner != self._owner.fingerprint
        except EntryError:
            return False

    def _event(self, shown: Disclosure, data: bytes) -> KeyEvent:
        if not opens(parse_leaf(data), shown.event, shown.blinding):
            raise AuditError(
                "entry-forged",
                f"What the bundle shows as entry {shown.index} is not what the log has there.",
                "Ask for it at the Host Guardian Service itself, not at the portal; keep the bundle as evidence.",
                shown.index,
            )
        try:
            event = parse_event(shown.event)
        except EntryError as error:
            raise AuditError(
                "entry-unreadable", f"Entry {shown.index}: {error.message}", error.advice, shown.index
            ) from None
        if event.owner != self._owner.fingerprint:
            raise AuditError(
                "entry-of-another",
                f"Entry {shown.index} is marked as yours, but tells of another owner's key.",
                "Tell the administrator of the Host Guardian Service, whose log contradicts itself.",
                shown.index,
            )
        return event


def _not_yours(index: int) -> AuditError:
    return AuditError(
        "entry-not-yours",
        f"The bundle shows entry {index} as yours, and the log has no such entry of yours.",
        "Check that the bundle was made for your owner certificate; if it was, somebody made the entry up.",
        index,
    )
