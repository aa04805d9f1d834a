"""Background processes are started once, recognised again, and stopped by their own id."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.embedded import layout, processes
from portal.embedded.processes import Process, ProcessTrouble

SLEEPER = "import pathlib,os,signal,sys; pathlib.Path(os.environ['GF_READY_FILE']).write_text('ready'); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "RUN", tmp_path / "run")
    monkeypatch.setattr(layout, "LOGS", tmp_path / "log")


def made(code: str, stop_seconds: float = 10) -> Process:
    return Process(
        name="sample",
        command=(sys.executable, "-c", code),
        environment=dict(os.environ),
        is_ready=(layout.RUN / "sample.ready").exists,
        ready_seconds=10,
        stop_seconds=stop_seconds,
    )


@pytest.fixture
def sleeper() -> Iterator[Process]:
    process = made(SLEEPER)
    yield process
    processes.stop(process)


def test_a_second_start_leaves_the_first_process_alone(sleeper: Process) -> None:
    assert processes.start(sleeper) == [sleeper]
    pid = processes.running_pid(sleeper)
    assert not processes.start(sleeper)
    assert processes.running_pid(sleeper) == pid


def test_stopping_ends_it_and_forgets_it(sleeper: Process) -> None:
    processes.start(sleeper)
    assert processes.stop(sleeper)
    assert processes.running_pid(sleeper) is None
    assert not processes.stop(sleeper)


def test_a_recycled_process_id_is_not_ours(sleeper: Process) -> None:
    layout.RUN.mkdir()
    sleeper.pid_file.write_text(f"{os.getpid()} 1", encoding="ascii")  # alive, but started at another time
    assert processes.running_pid(sleeper) is None


def test_one_that_dies_at_once_is_reported_with_its_log() -> None:
    with pytest.raises(ProcessTrouble, match="no such luck"):
        processes.start(made("raise SystemExit('no such luck')"))


def test_one_that_ignores_the_request_is_killed() -> None:
    stubborn = made(STUBBORN, stop_seconds=0.2)
    processes.start(stubborn)
    assert processes.stop(stubborn)
    assert processes.running_pid(stubborn) is None
