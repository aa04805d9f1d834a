"""What of a request has arrived, byte by byte and all at once."""

import socket
import time
from collections.abc import Iterator

import pytest

from hgs import arrivals
from hgs.arrivals import Arrival, ClientSocket

REQUEST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, ClientSocket]]:
    client, accepted = socket.socketpair()
    client.settimeout(5)
    server = ClientSocket(accepted)
    server.begin(b"")
    yield client, server
    client.close()
    server.close()


def test_a_request_is_whole_with_its_last_byte_and_not_before(pair: tuple[socket.socket, ClientSocket]) -> None:
    client, server = pair
    for at in range(len(REQUEST)):
        assert server.collect() is Arrival.PART
        client.sendall(REQUEST[at : at + 1])
    assert server.collect() is Arrival.WHOLE
    assert server.recv(8192) + server.recv(8192) == REQUEST


def test_what_follows_a_request_is_kept_for_the_next(pair: tuple[socket.socket, ClientSocket]) -> None:
    client, server = pair
    client.sendall(REQUEST + b"GET / HTTP/1.1\r\n\r\n")
    assert server.collect() is Arrival.WHOLE
    head = server.recv(8192)
    assert head + server.recv(5) == REQUEST
    rest = server.left_over()
    server.begin(rest)
    assert server.collect() is Arrival.WHOLE
    assert server.recv(8192) == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "state"),
    [
        (b"POST /x HTTP/1.1\r\ncontent-LENGTH:9000000\r\n\r\n", Arrival.TOO_LARGE),
        (b"GET /x HTTP/1.1\r\nX: " + b"x" * arrivals.MAX_HEAD, Arrival.HEAD_TOO_LARGE),
        (b"GET /x HTTP/1.1\r\n\r\n", Arrival.WHOLE),
        (b"GET /x HTTP/1.1\r\nX-Content-Length: 7\r\n\r\n", Arrival.WHOLE),
    ],
)
def test_a_request_has_a_size_before_its_body_is_there(
    pair: tuple[socket.socket, ClientSocket], sent: bytes, state: Arrival
) -> None:
    client, server = pair
    client.sendall(sent)
    assert server.collect() is state


def test_a_client_that_hung_up_is_not_waited_for(pair: tuple[socket.socket, ClientSocket]) -> None:
    client, server = pair
    client.sendall(REQUEST[:-1])
    client.shutdown(socket.SHUT_WR)
    assert server.collect() is Arrival.ENDED


def test_nobody_waits_for_bytes_that_are_not_there(pair: tuple[socket.socket, ClientSocket]) -> None:
    client, server = pair
    client.sendall(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert server.collect() is Arrival.WHOLE
    server.recv(8192)
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        server.recv(8192)
    client.sendall(REQUEST[:-1])
    server.begin(b"")
    assert server.collect(arrivals.AT_ONCE) is Arrival.PART
    assert time.monotonic() - began < 1


def test_a_client_that_does_not_read_ends_its_reply(
    pair: tuple[socket.socket, ClientSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "REPLY_SECONDS", 0.05)
    _client, server = pair
    with pytest.raises(ConnectionResetError):
        server.sendall(bytes(2**24))
