"""GUID partition tables: what parses writes back as it was, and what is damaged is refused by name."""

import subprocess
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.disks import gpt
from fabric.disks.errors import PartitionTableError
from fabric.disks.gpt import Partition, PartitionTable, parse_gpt

MEBIBYTE = 1024 * 1024
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",), max_codepoint=0xFFFF), max_size=36)


@st.composite
def tables(draw: st.DrawFn) -> PartitionTable:
    sectors = draw(st.integers(200, 10**6))
    first, last = 34, sectors - 34
    bounds = sorted(draw(st.sets(st.integers(first, last), min_size=2, max_size=8)))
    slots = sorted(draw(st.sets(st.integers(0, 127), min_size=len(bounds) // 2, max_size=len(bounds) // 2)))
    partitions = tuple(
        Partition(
            slot,
            draw(st.uuids(allow_nil=False)),
            draw(st.uuids()),
            bounds[2 * index],
            bounds[2 * index + 1] - 1,
            draw(st.integers(0, 2**64 - 1)),
            draw(NAMES),
        )
        for index, slot in enumerate(slots)
    )
    return PartitionTable(draw(st.uuids()), sectors, first, last, partitions)


@given(tables())
def test_a_written_table_reads_back_as_it_was(table: PartitionTable) -> None:
    primary, backup = table.serialise()
    assert parse_gpt(primary, backup, table.disk_length) == table


@given(tables(), st.data())
def test_a_changed_byte_is_refused(table: PartitionTable, data: st.DataObject) -> None:
    primary, backup = table.serialise()
    whole = bytearray(primary + backup)
    # The header's own sector is zero behind its end in every accepted table, so no byte is free.
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PartitionTableError):
        parse_gpt(bytes(whole[: len(primary)]), bytes(whole[len(primary) :]), table.disk_length)


@given(st.binary(max_size=600))
def test_noise_is_refused(noise: bytes) -> None:
    primary = (bytes(gpt.SECTOR) + b"EFI PART" + noise).ljust(gpt.PRIMARY_LENGTH, b"\0")
    with pytest.raises(PartitionTableError):
        parse_gpt(primary, bytes(gpt.BACKUP_LENGTH), 100 * MEBIBYTE)


def test_a_disk_without_a_table_is_told_so() -> None:
    with pytest.raises(PartitionTableError) as caught:
        parse_gpt(bytes(gpt.PRIMARY_LENGTH), bytes(gpt.BACKUP_LENGTH), MEBIBYTE)
    assert caught.value.code == "gpt-missing"


def test_overlapping_partitions_are_refused() -> None:
    parts = (
        Partition(0, gpt.EFI_SYSTEM, uuid.uuid4(), 100, 200, 0, "a"),
        Partition(1, gpt.LINUX_FILESYSTEM, uuid.uuid4(), 200, 300, 0, "b"),
    )
    table = PartitionTable(uuid.uuid4(), 2048, 34, 2014, parts)
    with pytest.raises(PartitionTableError) as caught:
        parse_gpt(*table.serialise(), table.disk_length)
    assert caught.value.code == "gpt-overlap"


def test_a_disk_made_by_sfdisk_is_read(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(8 * MEBIBYTE))
    script = 'label: gpt\nsize=2048,type=U,name="ESP"\nsize=4096,type=L,name="OS"\n'
    try:
        subprocess.run(["/usr/sbin/sfdisk", "-q", disk], input=script.encode(), check=True)
    except FileNotFoundError:
        pytest.skip("sfdisk is not installed")
    data = disk.read_bytes()
    table = parse_gpt(data[: gpt.PRIMARY_LENGTH], data[-gpt.BACKUP_LENGTH :], len(data))
    assert [item.name for item in table.partitions] == ["ESP", "OS"]
    assert table.of_type(gpt.EFI_SYSTEM)[0].length == 2048 * 512
