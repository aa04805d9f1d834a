"""The state of this HGS as records of a file."""

from collections.abc import Iterator
from datetime import datetime
from importlib import metadata

from hgs.models import KeyPurpose
from hgs.sealing import SealingError
from hgs.selectors.configuration import configuration
from hgs.state_tables import TABLES, Table
from hgs.statefile.form import LEFT_OUT, WHOLE, Head, Record
from hgs.statefile.kinds import KEY, KEY_PURPOSES, LOG
from portal.kernel.errors import Unavailable

PRODUCT = "open-guarded-fabric"
_BATCH = 500


def state_head(now: datetime, *, with_log: bool) -> Head:
    """What a file that is made now says of itself. Raises Unavailable while HGS is not initialised."""
    version = metadata.version(PRODUCT)
    return Head(now, configuration().name, f"{PRODUCT} {version}"[:64], WHOLE if with_log else LEFT_OUT)


def state_records(*, with_log: bool) -> Iterator[Record]:
    """Every record of a file, private keys opened. Raises Unavailable where one does not open."""
    for table in TABLES:
        if with_log or table.kind not in LOG:
            yield from _records(table, with_log)


def _records(table: Table, with_log: bool) -> Iterator[Record]:
    rows = table.model._default_manager.order_by(*table.order)
    if table.kind is KEY:
        # Answers to exchanges are known in the database alone, so a restored HGS must open none of before.
        purposes = [one for one in KEY_PURPOSES if with_log or one != KeyPurpose.KEY_LOG]
        rows = rows.filter(purpose__in=purposes)
    for row in rows.iterator(chunk_size=_BATCH):
        try:
            yield Record(table.kind, table.fields_of(row))
        except SealingError as error:
            raise Unavailable(error.code, f"{row}: {error.message}") from error
