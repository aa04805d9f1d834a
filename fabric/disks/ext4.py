"""Reads what a program needs of an ext4 file system to write new files into it (Linux, filesystems/ext4).

A volume may be large, and the few blocks that change when files are added are small: superblock, group descriptors,
bitmaps, the folders on the way, and the inodes that come next. `Ext4.needed_for` names them. Everything read is taken
for hostile: each number is checked before it is used.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from fabric.disks.errors import FileSystemError
from fabric.disks.filesystems import Read

_SUPERBLOCK: Final = 1024
_MAGIC: Final = 0xEF53
_ROOT: Final = 2
_EXTENTS: Final = 0x80000
_INLINE: Final = 0x10000000
_INODE_UNINITIALISED, _BLOCK_UNINITIALISED = 1, 2
_RECOVER, _JOURNAL_DEVICE, _META_GROUPS, _MMP = 0x4, 0x8, 0x10, 0x100
_64BIT: Final = 0x80
_BIGALLOC: Final = 0x200
_DEPTH_MAX: Final = 5
_FOLDER_BLOCKS_MAX: Final = 4096
_FOLDER, _REGULAR, _KIND = 0o040000, 0o100000, 0o170000
FILE_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Inode:
    """One file or folder."""

    number: int
    mode: int
    size: int
    flags: int
    block: bytes

    @property
    def is_folder(self) -> bool:
        return self.mode & _KIND == _FOLDER

    @property
    def is_file(self) -> bool:
        return self.mode & _KIND == _REGULAR


@dataclass(frozen=True, slots=True)
class _Group:
    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    flags: int


@dataclass(frozen=True)
class Ext4:
    """A file system whose superblock makes sense. Blocks are counted from the start of the volume."""

    read: Read
    block_size: int
    blocks: int
    first_block: int
    blocks_per_group: int
    inodes: int
    inodes_per_group: int
    inode_size: int
    descriptor_size: int
    sparse_copies: bool

    @cached_property
    def _groups(self) -> tuple[_Group, ...]:
        count = -(-(self.blocks - self.first_block) // self.blocks_per_group)
        table = self.read((self.first_block + 1) * self.block_size, count * self.descriptor_size)
        if len(table) != count * self.descriptor_size:
            raise _damaged("its group descriptors are cut short")
        return tuple(
            self._group(table[at : at + self.descriptor_size]) for at in range(0, len(table), self.descriptor_size)
        )

    def _group(self, data: bytes) -> _Group:
        low = struct.unpack_from("<III", data)
        high = struct.unpack_from("<III", data, 32) if self.descriptor_size >= 64 else (0, 0, 0)
        (flags,) = struct.unpack_from("<H", data, 18)
        blocks, inodes, table = (below | above << 32 for below, above in zip(low, high, strict=True))
        if any(not 0 < place < self.blocks for place in (blocks, inodes, table)):
            raise _damaged("a group descriptor names a block outside the volume")
        return _Group(blocks, inodes, table, flags)

    def find(self, path: str) -> Inode | None:
        """The file or folder at an absolute path, None if there is none. Links are not followed."""
        found: Inode | None = self._inode(_ROOT)
        for name in path.strip("/").split("/"):
            if found is None or not name:
                break
            number = self.entries(found).get(name.encode()) if found.is_folder else None
            found = self._inode(number) if number else None
        return found

    def entries(self, folder: Inode) -> dict[bytes, int]:
        """Name → inode number of what a folder holds. Raises `FileSystemError`."""
        found: dict[bytes, int] = {}
        for block in self._blocks_of(folder):
            found |= _entries(self._block(block))
        return found

    def contents(self, file: Inode) -> bytes:
        """A regular file of at most `FILE_MAX` bytes. Raises `FileSystemError`."""
        if not file.is_file or file.size > FILE_MAX or file.flags & _INLINE:
            raise _damaged("a file on it is not what it should be")
        data = bytearray(file.size)
        for logical, physical, count in self._extents_of(file):
            for index in range(count):
                start = (logical + index) * self.block_size
                piece = self._block(physical + index)[: max(file.size - start, 0)]
                data[start : start + len(piece)] = piece
        return bytes(data)

    def needed_for(self, folders: Sequence[str], files: int) -> Iterator[tuple[int, int]]:
        """(offset, length) of what is read, or changed in part, when up to `files` new files come into each folder.

        Blocks that are free now (`is_free`) may be written too, whole. Raises `FileSystemError` for a folder that is
        not there.
        """
        for first, count in self._copies():
            yield first * self.block_size, count * self.block_size
        for group in self._groups:
            yield group.block_bitmap * self.block_size, self.block_size
            yield group.inode_bitmap * self.block_size, self.block_size
        for path in folders:
            yield from self._way_to(path)
            folder = self.find(path)
            for number in self._next_inodes(folder.number if folder else _ROOT, files):
                yield self._inode_block(number)

    def is_free(self, block: int) -> bool:
        """Whether nothing lies in the block."""
        index, bit = divmod(block - self.first_block, self.blocks_per_group)
        if block < self.first_block or index >= len(self._groups):
            return False
        group = self._groups[index]
        if group.flags & _BLOCK_UNINITIALISED:  # its bitmap was never written: it holds what is there by its nature
            at = bisect_right(self._fixed, (block, self.blocks)) - 1
            return at < 0 or block >= self._fixed[at][1]
        return not self._bit(group.block_bitmap, bit)

    @cached_property
    def _fixed(self) -> list[tuple[int, int]]:
        """(begin, end) of the blocks that are taken by bitmaps, tables of inodes and copies of the superblock."""
        table = -(-self.inodes_per_group * self.inode_size // self.block_size)
        (kept,) = struct.unpack("<H", self.read(_SUPERBLOCK + 0xCE, 2))  # for more group descriptors, one day
        found = [(first, first + count + kept) for first, count in self._copies()]
        for group in self._groups:
            found += [(block, block + 1) for block in (group.block_bitmap, group.inode_bitmap)]
            found.append((group.inode_table, group.inode_table + table))
        return sorted(found)

    def _way_to(self, path: str) -> Iterator[tuple[int, int]]:
        names = path.strip("/").split("/")
        for depth in range(len(names) + 1):
            part = "/" + "/".join(names[:depth])
            folder = self.find(part)
            if folder is None or not folder.is_folder:
                raise FileSystemError(
                    "file-system-folder",
                    f"The operating system volume has no folder {part}.",
                    "See docs/formats/template-disk.md for what a template needs.",
                )
            yield self._inode_block(folder.number)
            for block in (*self._tree_blocks(folder), *self._blocks_of(folder)):
                yield block * self.block_size, self.block_size

    def _copies(self) -> Iterator[tuple[int, int]]:
        """The superblock and the group descriptors, in each group that has a copy: (first block, blocks)."""
        descriptors = -(-len(self._groups) * self.descriptor_size // self.block_size)
        yield 0, self.first_block + 1 + descriptors
        for index in range(1, len(self._groups)):
            if not self.sparse_copies or _has_copy(index):
                first = self.first_block + index * self.blocks_per_group
                yield first, min(1 + descriptors, self.blocks - first)

    def _next_inodes(self, folder: int, count: int) -> Iterator[int]:
        """The inodes that libext2fs gives to new files in a folder: the first free ones from its group on."""
        start = (folder - 1) // self.inodes_per_group
        for turn in range(len(self._groups)):
            index = (start + turn) % len(self._groups)
            group = self._groups[index]
            bitmap = None if group.flags & _INODE_UNINITIALISED else self._block(group.inode_bitmap)
            for bit in range(self.inodes_per_group):
                number = index * self.inodes_per_group + bit + 1
                if number <= self._reserved or (bitmap and bitmap[bit // 8] >> bit % 8 & 1):
                    continue
                if not count:
                    return
                count -= 1
                yield number
        if count:
            raise FileSystemError("file-system-full", "The operating system volume has no room for new files.")

    @cached_property
    def _reserved(self) -> int:
        (first,) = struct.unpack("<I", self.read(_SUPERBLOCK + 0x54, 4))
        return max(int(first), 11) - 1

    def _inode(self, number: int) -> Inode:
        offset = self._inode_offset(number)
        data = self.read(offset, 128)
        mode, low = struct.unpack_from("<H2xI", data)
        (flags,) = struct.unpack_from("<I", data, 0x20)
        (high,) = struct.unpack_from("<I", data, 0x6C)
        return Inode(number, mode, low | high << 32, flags, data[0x28:0x64])

    def _inode_offset(self, number: int) -> int:
        if not 0 < number <= self.inodes:
            raise _damaged("a folder names an inode that does not exist")
        group, index = divmod(number - 1, self.inodes_per_group)
        return self._groups[group].inode_table * self.block_size + index * self.inode_size

    def _inode_block(self, number: int) -> tuple[int, int]:
        offset = self._inode_offset(number)
        return offset - offset % self.block_size, self.block_size

    def _blocks_of(self, folder: Inode) -> list[int]:
        if folder.flags & _INLINE:
            raise FileSystemError(
                "file-system-inline",
                "The file system keeps small folders inside inodes, which is not supported.",
                "Make it without the feature inline_data.",
            )
        blocks = (block + index for _, block, count in self._extents_of(folder) for index in range(count))
        found = list(islice(blocks, _FOLDER_BLOCKS_MAX + 1))
        if len(found) > _FOLDER_BLOCKS_MAX:
            raise _damaged("a folder on it is too large")
        return found

    def _extents_of(self, inode: Inode) -> Iterator[tuple[int, int, int]]:
        """(first block of the file, first block of the volume, blocks)."""
        if not inode.flags & _EXTENTS:
            yield from self._direct(inode)
            return
        for node in (inode.block, *map(self._block, self._tree_blocks(inode))):
            entries, depth = _node(node)
            if depth == 0:
                for at in range(12, 12 + entries * 12, 12):
                    logical, length, high, low = struct.unpack_from("<IHHI", node, at)
                    yield logical, self._checked(low | high << 32, length & 0x7FFF), length & 0x7FFF

    def _tree_blocks(self, inode: Inode) -> list[int]:
        """The blocks that hold the rest of a tree of extents whose root is in the inode."""
        if not inode.flags & _EXTENTS:
            return []
        level = [inode.block]
        found: list[int] = []
        for _ in range(_DEPTH_MAX):
            below = list(islice((block for node in level for block in self._children(node)), _FOLDER_BLOCKS_MAX + 1))
            if not below:
                return found
            found += below
            if len(found) > _FOLDER_BLOCKS_MAX or len(set(found)) != len(found):
                break
            level = [self._block(block) for block in below]
        raise _damaged("the tree of a file's extents is too deep")

    def _children(self, node: bytes) -> list[int]:
        entries, depth = _node(node)
        if depth == 0:
            return []
        pairs = (struct.unpack_from("<4xIH", node, at) for at in range(12, 12 + entries * 12, 12))
        return [self._checked(low | high << 32, 1) for low, high in pairs]

    def _direct(self, inode: Inode) -> Iterator[tuple[int, int, int]]:
        places = struct.unpack("<15I", inode.block)
        if any(places[12:]):
            raise FileSystemError(
                "file-system-old",
                "A folder is mapped as ext2 and ext3 do.",
                "Make the file system with mke2fs -t ext4.",
            )
        for logical, place in enumerate(places[:12]):
            if place:
                yield logical, self._checked(place, 1), 1

    def _checked(self, block: int, count: int) -> int:
        if not 0 < block <= block + count <= self.blocks:
            raise _damaged("a file's blocks lie outside the volume")
        return block

    def _bit(self, bitmap: int, bit: int) -> bool:
        return bool(self._block(bitmap)[bit // 8] >> bit % 8 & 1)

    def _block(self, block: int) -> bytes:
        data = self.read(block * self.block_size, self.block_size)
        if len(data) != self.block_size:
            raise _damaged("the volume ends before its file system does")
        return data


def read_ext4(read: Read, length: int) -> Ext4:
    """The file system of a volume of `length` bytes, if it can be written to as it is. Raises `FileSystemError`."""
    data = read(_SUPERBLOCK, 1024)
    if len(data) != 1024 or struct.unpack_from("<H", data, 0x38)[0] != _MAGIC:
        raise _damaged("it has no ext4 superblock")
    inodes, blocks, first, log_size, per_group, per_group_inodes = struct.unpack_from("<II12xII4xI4xI", data)
    state, incompatible, read_only = (
        struct.unpack_from("<H", data, 0x3A)[0],
        *struct.unpack_from("<II", data, 0x60),
    )
    blocks |= struct.unpack_from("<I", data, 0x150)[0] << 32 if incompatible & _64BIT else 0
    (inode_size,) = struct.unpack_from("<H", data, 0x58)
    (descriptor,) = struct.unpack_from("<H", data, 0xFE)
    _check_features(incompatible, read_only, state)
    size = 1024 << log_size if log_size <= 2 else 0
    found = Ext4(
        read, size, blocks, first, per_group, inodes, per_group_inodes, inode_size,
        descriptor if incompatible & _64BIT else 32, bool(read_only & 1),
    )  # fmt: skip
    _check_numbers(found, length)
    return found


def _check_features(incompatible: int, read_only: int, state: int) -> None:
    if incompatible & _RECOVER or not state & 1:
        raise FileSystemError(
            "file-system-unclean",
            "The operating system volume was not unmounted properly.",
            "Start the machine once and shut it down, or run e2fsck on the volume.",
        )
    if incompatible & (_JOURNAL_DEVICE | _META_GROUPS | _MMP) or read_only & _BIGALLOC:
        raise FileSystemError(
            "file-system-features",
            "The ext4 file system uses meta_bg, bigalloc, mmp or an outside journal, which is not supported.",
            "Make it without these features.",
        )


def _check_numbers(found: Ext4, length: int) -> None:
    if not found.block_size:
        raise _damaged("its block size is not 1, 2 or 4 KiB")
    bits = found.block_size * 8
    whole = (
        0 < found.blocks <= length // found.block_size
        and found.first_block == (1 if found.block_size == 1024 else 0)
        and 0 < found.blocks_per_group <= bits
        and 0 < found.inodes_per_group <= bits
        and found.inode_size in (128, 256, 512, 1024)
        and found.descriptor_size in (32, 64)
        and 0 < found.inodes <= -(-found.blocks // found.blocks_per_group) * found.inodes_per_group
    )
    if not whole:
        raise _damaged("its superblock does not fit the volume")


def _node(data: bytes) -> tuple[int, int]:
    """(entries, depth) of a node of a tree of extents."""
    magic, entries, _, depth = struct.unpack_from("<HHHH", data)
    if magic != 0xF30A or 12 + entries * 12 > len(data) or depth > _DEPTH_MAX:
        raise _damaged("the tree of a file's extents is damaged")
    return int(entries), int(depth)


def _entries(block: bytes) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    at = 0
    while at + 8 <= len(block):
        inode, length, name_length = struct.unpack_from("<IHB", block, at)
        if length < 8 or at + length > len(block) or 8 + name_length > length:
            # A block of a hashed folder's index looks like one free entry; anything else is damage.
            raise _damaged("a folder on it is damaged")
        name = block[at + 8 : at + 8 + name_length]
        if inode and name not in (b".", b".."):
            found[name] = inode
        at += length
    return found


def _has_copy(group: int) -> bool:
    # sparse_super: groups 0 and 1 and the powers of 3, 5 and 7.
    return group < 2 or any(_is_power(group, base) for base in (3, 5, 7))


def _is_power(value: int, base: int) -> bool:
    while value % base == 0:
        value //= base
    return value == 1


def _damaged(why: str) -> FileSystemError:
    return FileSystemError("file-system-damaged", f"The operating system volume cannot be read: {why}.", "Run e2fsck.")
