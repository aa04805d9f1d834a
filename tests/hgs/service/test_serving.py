"""Processes that serve HGS share its connections evenly."""

from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.workers.gthread import ThreadWorker

from hgs import serving
from hgs.serving import EvenWorker, Shares


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> Shares:
    monkeypatch.setattr(serving, "shares", Shares())
    return serving.shares


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long processes waited before they took a connection."""
    found: list[float] = []

    def take(worker: Any, _listener: object) -> None:
        worker.nr_conns += 1

    monkeypatch.setattr(serving.time, "sleep", found.append)
    monkeypatch.setattr(ThreadWorker, "accept", take)
    return found


def process(age: int, connections: int = 0) -> Any:
    worker = EvenWorker.__new__(EvenWorker)
    worker.age, worker.nr_conns = age, connections
    serving.shares.note(age, connections)
    return worker


def test_the_emptiest_process_takes_a_connection_at_once(shares: Shares, waits: list[float]) -> None:
    first, second = process(1), process(2)
    first.accept(None)
    assert waits == []
    second.accept(None)
    assert waits == []
    assert (shares.surplus(1), shares.surplus(2)) == (0, 0)


def test_a_fuller_process_lets_others_go_first_and_then_takes_it_all_the_same(
    shares: Shares, waits: list[float]
) -> None:
    process(1, connections=1)
    fuller = process(2, connections=4)
    fuller.accept(None)
    assert waits == [pytest.approx(3 * serving.LET_OTHERS_GO_FIRST)]
    assert fuller.nr_conns == 5
    process(3, connections=200).accept(None)
    assert waits[-1] == serving.LONGEST_COURTESY


def test_a_process_that_ended_keeps_nobody_waiting(shares: Shares, waits: list[float]) -> None:
    process(1)
    alone = process(2, connections=7)
    serving.child_exit(None, SimpleNamespace(age=1))
    alone.accept(None)
    assert waits == []


def test_there_is_a_process_for_each_core_and_no_more_than_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    assert serving.default_workers() == 2
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(64)))
    assert serving.default_workers() == serving.MOST_WORKERS
    assert [serving.default_threads(workers) for workers in (1, 2, 4)] == [4, 2, 2]
