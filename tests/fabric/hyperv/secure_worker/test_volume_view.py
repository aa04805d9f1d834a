"""Files written through a view that holds next to nothing are in the volume as if written into the whole of it."""

import os
import subprocess
from pathlib import Path

import pytest

from fabric.disks.ext4 import read_ext4
from fabric.hyperv.errors import HostError
from fabric.hyperv.memory_files import open_path
from fabric.hyperv.secure_worker.volume_view import view_of
from tests.fabric.disks.test_ext4 import MAKES, MIB, run, tree

FOLDERS = ["/etc/guarded/files", "/many"]


@pytest.fixture(params=MAKES.values(), ids=MAKES.keys())
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.touch()
    os.truncate(path, 24 * MIB)
    (tmp_path / "tree").mkdir()
    run("mke2fs", "-q", "-F", *request.param, "-d", tree(tmp_path / "tree"), path)
    return path


def test_new_files_arrive_and_the_file_system_stays_whole(volume: Path, tmp_path: Path) -> None:
    data = volume.read_bytes()

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    files = {f"{folder}/new-{number}": os.urandom(3000 * number + 1) for folder in FOLDERS for number in range(9)}
    ext4 = read_ext4(read, len(data))
    with view_of(read, len(data)) as view:
        view.fill(ext4.needed_for(FOLDERS, 9))
        commands = []
        for number, (path, contents) in enumerate(files.items()):
            source = tmp_path / f"source-{number}"
            source.write_bytes(contents)
            commands.append(f"write {source} {path}")
        subprocess.run(
            ["debugfs", "-w", "-f", "-", open_path(view.descriptor)],
            input="\n".join(commands).encode(), check=True, pass_fds=[view.descriptor], capture_output=True,
        )  # fmt: skip
        changes = list(view.changes(ext4.block_size, ext4.is_free))
        assert os.fstat(view.descriptor).st_blocks * 512 < 4 * MIB
    out = bytearray(data)
    for offset, page in changes:
        out[offset : offset + len(page)] = page
    volume.write_bytes(out)
    run("e2fsck", "-f", "-n", volume)
    written = read_ext4(lambda offset, length: bytes(out[offset : offset + length]), len(out))
    for path, contents in files.items():
        found = written.find(path)
        assert found
        assert written.contents(found) == contents
    old = written.find("/etc/long")
    assert old
    assert written.contents(old) == bytes(range(256)) * 200


def test_what_lay_there_is_not_written_over(volume: Path) -> None:
    data = volume.read_bytes()

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    ext4 = read_ext4(read, len(data))
    taken = next(block for block in range(ext4.blocks - 1, 0, -1) if not ext4.is_free(block))
    with view_of(read, len(data)) as view:
        os.pwrite(view.descriptor, b"over", taken * ext4.block_size)
        with pytest.raises(HostError, match="written over"):
            list(view.changes(ext4.block_size, ext4.is_free))
