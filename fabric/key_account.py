"""The account of keys as HGS keeps it: what the fabric reads there for the owner of the keys.

The fabric's token reads the entries of every owner. Who may see which of them is decided by who asks for them
(:mod:`tenants.selectors.key_account`); nothing of it is kept here.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final
from uuid import UUID

from fabric.guardian_service import fabric_client
from hgs.client import HgsProtocolError
from hgs.transparency.entry import KeyEvent
from hgs.transparency.errors import TransparencyError
from hgs.transparency.note import VerifierKey

PAGE_LENGTH: Final = 50


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A release or refusal, and its place in the key log. Its `vm` is what the host said; HGS cannot check it."""

    index: int
    event: KeyEvent

    @property
    def vm(self) -> UUID | None:
        return UUID(self.event.vm) if self.event.vm else None


def key_events(
    owner: str, *, vm: UUID | None = None, before: int | None = None, limit: int = PAGE_LENGTH
) -> list[LoggedEvent]:
    """An owner's entries, newest first. Raises `Unavailable`, `Conflict` (`hgs-refused`)."""
    with fabric_client() as client:
        found = [_logged(item) for item in client.key_events(owner, vm, before, limit)]
        if any(one.event.owner != owner or (vm is not None and one.vm != vm) for one in found):
            raise HgsProtocolError("HGS sent entries that were not asked for.")
        return found


def key_log_key() -> VerifierKey:
    """The key that signs the log, as HGS tells it. Raises `Unavailable`, `Conflict`."""
    with fabric_client() as client:
        try:
            return VerifierKey.parse(client.key_log_key())
        except TransparencyError as error:
            raise HgsProtocolError("HGS did not answer with the key of its key log.") from error


def key_log_bundle(owner: str, from_size: int = 0) -> BinaryIO:
    """The offline bundle of an owner, at the end of a file that is gone once it is closed.

    It has arrived whole when this returns: somebody who reads it slowly then keeps no connection to HGS, and one that
    breaks off is an error rather than half a file. Raises `Unavailable`, `Conflict`.
    """
    with ExitStack() as unless_done:
        file = unless_done.enter_context(TemporaryFile())
        with fabric_client() as client:
            for piece in client.key_log_bundle(owner, from_size):
                file.write(piece)
        unless_done.pop_all()
        return file


def _logged(item: Any) -> LoggedEvent:
    """Read an entry strictly: a page must not show what HGS did not say. Raises HgsProtocolError."""
    try:
        fields = dict(item)
        index = fields.pop("index")
        event = KeyEvent(**{**fields, "at": datetime.fromisoformat(fields["at"])})
    except (KeyError, TypeError, ValueError, TransparencyError) as error:
        raise HgsProtocolError("HGS sent an entry of its key log that cannot be read.") from error
    if type(index) is not int or index < 0:
        raise HgsProtocolError("HGS sent an entry that has no place in its key log.")
    return LoggedEvent(index, event)
