"""Locks exclude, end with their holder, and survive the removal of their file."""

import threading
from pathlib import Path

import pytest

from fabric.hyperv.locks import Busy, exclusive


def test_a_second_holder_is_told_who_is_busy(tmp_path: Path) -> None:
    lock = tmp_path / "vm.lock"
    first, second = (exclusive(lock, seconds=seconds, what="this VM") for seconds in (1, 0.05))
    with first, pytest.raises(Busy, match="this VM"), second:
        pytest.fail("two hold the lock")


def test_it_is_free_again_after_an_error(tmp_path: Path) -> None:
    lock = tmp_path / "vm.lock"
    with pytest.raises(RuntimeError), exclusive(lock, seconds=1, what="this VM"):
        raise RuntimeError
    with exclusive(lock, seconds=0.05, what="this VM"):
        assert lock.exists()


def test_holders_that_remove_the_file_still_exclude_each_other(tmp_path: Path) -> None:
    lock, inside, most = tmp_path / "vm.lock", [], []

    def work() -> None:
        for _ in range(50):
            with exclusive(lock, seconds=20, what="this VM"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                lock.unlink(missing_ok=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 200
    assert max(most) == 1
