"""Reads of the key log: what anybody may see of it (C2SP tlog-tiles), and its key."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hgs.models import KeyPurpose, LogHead, LogLeaf, LogTile, ServiceConfiguration, ServiceKey
from hgs.sealing import SealingError, unseal
from hgs.selectors.configuration import configuration
from hgs.transparency.checkpoint import Checkpoint, sign_checkpoint
from hgs.transparency.checkpoint import signing_key as key_of
from hgs.transparency.merkle import Frontier, leaf_hash
from hgs.transparency.note import VerifierKey
from hgs.transparency.tiles import WIDTH, TilePath, partial_tile, serialise_entries
from portal.kernel.errors import NotFound, Unavailable


@dataclass(frozen=True)
class LogKey:
    """What signs the checkpoints of this log."""

    origin: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def verifier(self) -> VerifierKey:
        """The public half, as tenants and witnesses keep it."""
        return VerifierKey.of(self.origin, self.key)


_kept: tuple[UUID, LogKey] | None = None


def log_key(in_force: ServiceConfiguration | None = None) -> LogKey:
    """The log's key and name, read anew whenever the trust stamp changes. ``in_force``: where it was read just now.

    Raises Unavailable while there is none, or where it does not open.
    """
    global _kept
    in_force = in_force or configuration()
    kept = _kept
    if kept is None or kept[0] != in_force.trust_stamp:
        kept = _kept = (in_force.trust_stamp, _read(in_force.log_origin))
    return kept[1]


def _read(origin: str) -> LogKey:
    record = ServiceKey.objects.filter(purpose=KeyPurpose.KEY_LOG, is_primary=True).first()
    if record is None or not origin:
        raise Unavailable("no-key-log", "HGS has no key for its key log.", "Start this node once: manage.py hgs.")
    try:
        seed = unseal(bytes(record.sealed_key), purpose=KeyPurpose.KEY_LOG.value, record_id=record.pk)
    except SealingError as error:
        raise Unavailable(error.code, error.message) from error
    return LogKey(origin, key_of(seed.reveal()))


def vkey() -> str:
    """The log's public key in one line, as witnesses and `gf audit` take it."""
    return str(log_key().verifier)


def checkpoint() -> bytes:
    """The signed end of the log; of an empty log as well."""
    head = LogHead.objects.first()
    if head is not None and head.size:
        return bytes(head.checkpoint)
    log = log_key()
    return sign_checkpoint(Checkpoint(log.origin, 0, Frontier().root()), log.key)


def size() -> int:
    """How many entries the log has."""
    return LogHead.objects.values_list("size", flat=True).first() or 0


def tile(path: TilePath) -> bytes:
    """A tile or bundle of entries. Raises NotFound for what the log has not got yet."""
    if not path.is_within(size()):
        raise NotFound("no-such-tile", "The log has no such tile yet.")
    if path.level is None:
        return serialise_entries(leaves(path.begin, path.begin + path.width))
    if path.width == WIDTH and (kept := kept_tile(path.level, path.index)) is not None:
        return kept
    return partial_tile(path.level, path.index, path.width, leaf_hashes, TileRoots())


def leaves(begin: int, end: int) -> list[bytes]:
    """The leaves from ``begin`` up to ``end``."""
    found = LogLeaf.objects.filter(index__gte=begin, index__lt=end).order_by("index").values_list("leaf", flat=True)
    return [bytes(leaf) for leaf in found]


def leaf_hashes(begin: int, end: int) -> Sequence[bytes]:
    """The hashes of the leaves from ``begin`` up to ``end``."""
    return [leaf_hash(leaf) for leaf in leaves(begin, end)]


class TileRoots:
    """The roots of full tiles, each of which stands for its tile on the level above; a row of them is read at once."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], dict[int, bytes]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """The root of a tile. Raises Unavailable where the log has lost it."""
        row = self._rows.get((level, index // WIDTH))
        if row is None:
            begin = index // WIDTH * WIDTH
            found = LogTile.objects.filter(level=level, index__gte=begin, index__lt=begin + WIDTH)
            row = {at: bytes(root) for at, root in found.values_list("index", "root")}
            self._rows[level, index // WIDTH] = row
        if index not in row:
            raise Unavailable("key-log-damaged", "A tile of the key log is missing.", "Restore the database of HGS.")
        return row[index]


def kept_tile(level: int, index: int) -> bytes | None:
    """A full tile as it is stored; None where there is none."""
    found = LogTile.objects.filter(level=level, index=index).values_list("hashes", flat=True).first()
    return None if found is None else bytes(found)


def frontier_at(wanted: int) -> Frontier:
    """The frontier of the log when it had ``wanted`` entries. Raises NotFound where it never had."""
    if not 0 <= wanted <= size():
        raise NotFound("no-such-size", f"The log never had {wanted} entries.")
    roots = TileRoots()
    return Frontier.parse(wanted, b"".join(_subtree(level, index, roots) for level, index in _subtrees(wanted)))


def _subtrees(wanted: int) -> list[tuple[int, int]]:
    """The perfect subtrees of a tree of that size, the largest first: (level, index)."""
    found, begin = [], 0
    for level in reversed(range(wanted.bit_length())):
        if wanted >> level & 1:
            found.append((level, begin >> level))
            begin += 1 << level
    return found


def _subtree(level: int, index: int, roots: TileRoots) -> bytes:
    """The hash of a perfect subtree, from the tile that holds its hash or the hashes right below."""
    within, rows = divmod(level, 8)
    begin, width = index << rows, 1 << rows
    tile_index, offset = divmod(begin, WIDTH)
    kept = kept_tile(within, tile_index)
    if kept is not None:
        row = [kept[at * 32 : at * 32 + 32] for at in range(offset, offset + width)]
    elif within == 0:
        row = list(leaf_hashes(begin, begin + width))
    else:
        row = [roots(within - 1, at) for at in range(begin, begin + width)]
    tree = Frontier()
    tree.extend(row)
    return tree.root()
