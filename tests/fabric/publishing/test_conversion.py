"""Converting a disk while somebody watches, and the words about it."""

import subprocess
from pathlib import Path

import pytest

from fabric.publishing.conversion import convert_watched
from fabric.publishing.errors import PublishingError
from fabric.publishing.images import Container
from fabric.publishing.pace import Pace

MEBIBYTE = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bytes(range(256)) * (4 * MEBIBYTE // 256))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, tmp_path / "disk.qcow2"], check=True)
    return tmp_path / "disk.qcow2"


def test_a_disk_is_converted_whole_and_its_percent_told(source: Path) -> None:
    told: list[int] = []
    convert_watched(source, source.with_name("out.vhdx"), Container.QCOW2, told.append)
    back = source.with_name("back.raw")
    command = ["qemu-img", "convert", "-f", "vhdx", "-O", "raw", source.with_name("out.vhdx"), back]
    subprocess.run(command, check=True)
    assert back.read_bytes() == source.with_name("disk.raw").read_bytes()
    assert told == sorted(told)
    assert told[-1] == 100


class Stopped(Exception):  # noqa: N818 - what whoever watches raises
    pass


def test_whoever_watches_can_stop_it_and_nothing_half_made_stays(source: Path) -> None:
    def stop(_percent: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        convert_watched(source, source.with_name("out.vhdx"), Container.QCOW2, stop)
    assert sorted(path.name for path in source.parent.iterdir()) == ["disk.qcow2", "disk.raw"]


def test_what_the_tool_says_against_it_is_told(source: Path) -> None:
    source.write_bytes(b"QFI\xfb" + bytes(600))
    with pytest.raises(PublishingError, match="could not convert"):
        convert_watched(source, source.with_name("out.vhdx"), Container.QCOW2, lambda _percent: None)
    assert not source.with_name("out.vhdx").exists()


def test_pace_tells_bytes_a_second_and_the_time_left() -> None:
    pace = Pace()
    assert pace.sentence(0, 4 * 10**9, 100.0) == "0.0 of 4.0 GB"
    assert pace.sentence(10**9, 4 * 10**9, 102.0) == "1.0 of 4.0 GB, 500 MB/s, 6 s left"
    assert pace.sentence(10**9 + 10**7, 40 * 10**9, 1102.0) == "1.0 of 40.0 GB, 1.0 MB/s, 10 h 44 min left"


def test_what_was_done_in_an_earlier_run_is_not_its_speed() -> None:
    pace = Pace()
    pace.sentence(3 * 10**6, 4 * 10**6, 0.0)
    assert pace.sentence(3 * 10**6 + 500_000, 4 * 10**6, 1.0) == "3.5 of 4.0 MB, 500 kB/s, 1 s left"


def test_pace_does_not_guess_from_too_little_or_nothing() -> None:
    pace = Pace()
    pace.sentence(0, 900, 5.0)
    assert pace.sentence(450, 900, 5.1) == "450.0 of 900.0 bytes"
    assert pace.sentence(0, 900, 50.0) == "0.0 of 900.0 bytes"
