"""Everything an HGS needs as one file under a passphrase, and an HGS out of such a file.

Both are done on the HGS node alone: there is no way over the network to HGS's private keys, not even for its
administrators.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from django.db import transaction
from django.utils import timezone

from hgs.models import ServiceConfiguration, ServiceKey
from hgs.policy import Action, may
from hgs.selectors.state import state_head, state_records
from hgs.statefile.container import DEFAULT_WORK, Writer, checked_passphrase
from hgs.statefile.errors import StateFileError
from hgs.statefile.form import Head, Record, lines
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require
from portal.kernel.snapshot import snapshot

MODE: Final = 0o600


def export_state(
    actor: Actor, path: Path, passphrase: str, *, with_log: bool = True, force: bool = False, work: int = DEFAULT_WORK
) -> dict[str, int]:
    """Write the state of this HGS to ``path``, whole or not at all; how many records of each kind were written.

    It is the state of one moment; HGS may go on serving. ``with_log``: with the key log and the releases. Raises
    Invalid for a passphrase that is too short, Conflict where there is such a file and it is not to be replaced
    (``force``), Unavailable where a key does not open.
    """
    require(may(actor, Action.MANAGE_KEYS))
    try:
        secret = checked_passphrase(passphrase)
    except StateFileError as error:
        raise Invalid(error.code, error.message, error.advice) from error
    if path.exists() and not force:
        raise _exists(path)
    counts: dict[str, int] = {}
    with _whole(path, force=force) as out:
        writer = Writer(out, secret, os.urandom, work)
        with snapshot():
            head = state_head(timezone.now(), with_log=with_log)
            for line in lines(head, _counted(state_records(with_log=with_log), counts)):
                writer.write(line)
        writer.finish()
        _audit(actor, head, counts)
    return counts


def _counted(records: Iterator[Record], counts: dict[str, int]) -> Iterator[Record]:
    for record in records:
        counts[record.kind.name] = counts.get(record.kind.name, 0) + 1
        yield record


def _audit(actor: Actor, head: Head, counts: dict[str, int]) -> None:
    """Before the file has its name: no file without an event."""
    with transaction.atomic():
        audit.record(
            actor,
            "state:exported",
            target_type="hgs",
            target_id=ServiceConfiguration.SINGLETON,
            summary=f"The state of {head.name}, with its private keys, was exported to a file under a passphrase.",
            data={
                "made_at": head.made_at.isoformat(),
                "key_log": head.log,
                "counts": counts,
                "keys": sorted(ServiceKey.objects.exclude(fingerprint="").values_list("fingerprint", flat=True)),
            },
        )


@contextmanager
def _whole(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A new file beside ``path`` that takes its name when all of it is on the disk, and is gone otherwise."""
    number, name = tempfile.mkstemp(prefix=".hgs-state-", dir=path.parent)  # readable by its owner alone
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as out:
            yield cast(BinaryIO, out)
            out.flush()
            os.fsync(out.fileno())
        _name(temporary, path, force=force)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _name(temporary: Path, path: Path, *, force: bool) -> None:
    if not force:
        try:
            os.link(temporary, path)  # unlike a renaming, this replaces nothing
        except FileExistsError:
            raise _exists(path) from None
        except OSError as error:  # a file system without links, of a memory stick say
            if path.exists():
                raise _exists(path) from error
        else:
            return
    temporary.replace(path)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _exists(path: Path) -> Conflict:
    return Conflict("file-exists", f"{path} exists already; nothing was written.", "Give another name, or --force.")
