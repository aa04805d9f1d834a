"""Clients that send slowly, or not at all, stop nobody else: a real HGS with its processes and threads."""

import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hgs.arrivals import REQUEST_SECONDS
from tests.hgs.service.node import Node

STALLED = 32
"""More than there are threads: four in each of at most four processes."""
PATIENCE = 3.0
"""Seconds that others may wait meanwhile, on a busy machine."""
HEAD = (
    b"POST /Attestation/v2.0/attest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000000\r\n"
)


@pytest.fixture(autouse=True)
def clock() -> None:
    """The node has a clock of its own."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(Path(tmp_path_factory.mktemp("hgs")))
    node.start()
    yield node
    node.stop()


def connect(node: Node, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", node.port), timeout=REQUEST_SECONDS + 2 * PATIENCE)
    connection.sendall(sent)
    return connection


def alive(node: Node) -> bool:
    """Whether somebody else is answered in time."""
    began = time.monotonic()
    return node.status("/livez") == 200 and time.monotonic() - began < PATIENCE


def rest_of(connection: socket.socket) -> bytes:
    """What else HGS says until it closes the connection."""
    said = b""
    while data := connection.recv(4096):
        said += data
    connection.close()
    return said


def test_stalled_requests_keep_no_thread_and_are_ended(node: Node) -> None:
    began = time.monotonic()
    bodies = [connect(node, HEAD + b"\r\n{") for _ in range(STALLED)]
    heads = [connect(node, HEAD) for _ in range(STALLED)]
    silent = [connect(node, b"") for _ in range(STALLED)]
    obliging = [connect(node, HEAD + b"Expect: 100-continue\r\n\r\n") for _ in range(STALLED)]
    chunked = b"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"
    endless = [connect(node, chunked) for _ in range(STALLED)]
    assert alive(node)
    assert all(b"408 Request Timeout" in rest_of(connection) for connection in bodies + heads)
    assert all(rest_of(connection) == b"" for connection in silent)
    told = [rest_of(connection) for connection in obliging]
    assert all(said.startswith(b"HTTP/1.1 100 Continue\r\n\r\n") and b"408" in said for said in told)
    assert all(rest_of(connection) for connection in endless)
    assert REQUEST_SECONDS - 1 < time.monotonic() - began < REQUEST_SECONDS + 2 * PATIENCE
    assert alive(node)


def test_a_request_that_trickles_in_is_answered_and_keeps_its_connection(node: Node) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
    for body in (b"{}" * 30_000, b"{}"):
        connection.putrequest("POST", "/Attestation/v2.0/attest")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        for at in range(0, len(body), 7_000):
            connection.send(body[at : at + 7_000])
        with connection.getresponse() as answer:
            assert answer.status == 503  # nobody has initialised this HGS
            assert not answer.will_close
            answer.read()
    connection.close()


def test_requests_sent_at_once_are_answered_one_after_another(node: Node) -> None:
    connection = connect(node, b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 3)
    connection.shutdown(socket.SHUT_WR)
    assert rest_of(connection).count(b"HTTP/1.1 200 OK") == 3


def test_who_asks_first_whether_to_send_is_told_once(node: Node) -> None:
    connection = connect(node, HEAD.replace(b"1000000", b"2") + b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
    assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"{}")
    assert rest_of(connection).startswith(b"HTTP/1.1 503")


def test_a_connection_may_stay_open_between_requests(node: Node) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/livez")
        kept = connection.sock
        with connection.getresponse() as answer:
            assert answer.status == 200
            answer.read()
        assert connection.sock is kept
    connection.close()
