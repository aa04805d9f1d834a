"""Processes that serve HGS share its address, each with a socket of its own."""

import select
import socket
from types import SimpleNamespace

import pytest

from hgs import serving


@pytest.fixture
def listener() -> socket.socket:
    shared = socket.socket()
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind(("127.0.0.1", 0))
    shared.listen(128)
    return shared


def after_fork(listener: socket.socket, *, reuse_port: bool) -> list[socket.socket]:
    worker = SimpleNamespace(sockets=[listener])
    serving.post_fork(SimpleNamespace(cfg=SimpleNamespace(reuse_port=reuse_port, backlog=128)), worker)
    found: list[socket.socket] = worker.sockets
    return found


def test_connections_are_spread_over_the_sockets(listener: socket.socket) -> None:
    sockets = after_fork(listener, reuse_port=True)
    assert sockets[0] is listener
    assert len(sockets) == 2
    clients = [socket.create_connection(listener.getsockname()) for _ in range(64)]
    ready, _, _ = select.select(sockets, [], [], 5)
    assert set(ready) == set(sockets), "each of the two got some of 64 connections"
    for item in (*clients, *sockets):
        item.close()


def test_a_process_that_serves_alone_needs_no_other_socket(listener: socket.socket) -> None:
    assert after_fork(listener, reuse_port=False) == [listener]
    listener.close()


def test_there_is_a_process_for_each_core_and_no_more_than_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    assert serving.default_workers() == 2
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(64)))
    assert serving.default_workers() == serving.MOST_WORKERS
