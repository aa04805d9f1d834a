"""Requests on their way in: a slow client keeps no thread waiting.

Gunicorn's worker gives a connection to one of its few threads at once, and the thread waits for the request, for ever.
Here a thread gives back what does not arrive at once. The worker's loop collects the rest, of any number of
connections, and a thread gets the request again when it is there whole. For whoever reads slowly a thread waits as
long as a reply may take.

Looked at is only where a request ends. What it means, and whether it is a request at all, gunicorn says later.
"""

import errno
import re
import socket
import time
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from selectors import EVENT_READ
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

REQUEST_SECONDS: Final = 10.0
"""From the connection, or from the first byte of a later request on it, to the request's last byte."""
AT_ONCE: Final = 0.005
"""Seconds that a thread waits for the rest of a request, once."""
REPLY_SECONDS: Final = 30.0
"""From the first byte of a reply to its last."""
MAX_HEAD: Final = 128 * 1024
"""Bytes of a request's line and headers: a Kerberos ticket may have 88 KiB."""
MAX_REQUEST: Final = 8 * 2**20
"""Bytes of a whole request; every resource has a lower limit of its own."""
MAX_COLLECTED: Final = 64 * 2**20
"""Bytes of all requests that a process is collecting; beyond, the one that takes longest goes."""
_PIECE: Final = 64 * 1024
_PIECES: Final = 16
_LENGTH: Final = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*([0-9]{1,12})[ \t]*\r\n", re.IGNORECASE)
_EXPECT: Final = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Arrival(Enum):
    """What has arrived of a request."""

    PART = auto()
    WHOLE = auto()
    ENDED = auto()
    """The client is gone."""
    HEAD_TOO_LARGE = auto()
    TOO_LARGE = auto()


_REFUSALS: Final = {
    Arrival.HEAD_TOO_LARGE: b"431 Request Header Fields Too Large",
    Arrival.TOO_LARGE: b"413 Content Too Large",
}


class ClientSocket(socket.socket):
    """A client's connection. Only :meth:`collect` ever waits for the client to send.

    ``told_to_go_on``: the client asked whether to send the body, and has its answer.
    """

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.held = bytearray()
        self.deadline = 0.0
        self.is_whole = False
        self.told_to_go_on = False
        self._head = self._size = self._searched = self._read = 0
        self._reply_until = 0.0

    def begin(self, read_ahead: bytes) -> None:
        """A new request, of which some bytes may be there already."""
        self.held = bytearray(read_ahead)
        self.deadline = time.monotonic() + REQUEST_SECONDS
        self.is_whole = self.told_to_go_on = False
        self._head = self._size = self._searched = self._read = 0
        self._reply_until = 0.0

    def collect(self, patience: float = 0.0) -> Arrival:
        """Take what has arrived; wait so many seconds for a part that follows another."""
        self.settimeout(0)
        for _ in range(_PIECES):  # and then it is the others' turn
            if (state := self._state()) is not Arrival.PART:
                return state
            if patience and self.held:
                self.settimeout(patience)
                patience /= 2  # so that all waits together are bounded
            try:
                data = super().recv(max(_PIECE, min(self._size - len(self.held), 2**20)))
            except (BlockingIOError, TimeoutError):
                return Arrival.PART
            except OSError:
                return Arrival.ENDED
            if not data:
                return Arrival.ENDED
            self.held += data
        return self._state()

    def _state(self) -> Arrival:
        if not self._size:
            end = self.held.find(b"\r\n\r\n", self._searched)
            if end < 0:
                self._searched = max(0, len(self.held) - 3)
                return Arrival.PART if len(self.held) <= MAX_HEAD else Arrival.HEAD_TOO_LARGE
            if end > MAX_HEAD:
                return Arrival.HEAD_TOO_LARGE
            head = bytes(self.held[: end + 2])
            length = _LENGTH.search(head)
            self._head = end + 4
            self._size = self._head + (int(length[1]) if length else 0)
            if len(self.held) < self._size <= MAX_REQUEST and _EXPECT.search(head):
                self.say(_GO_ON)
                self.told_to_go_on = True
        if self._size > MAX_REQUEST:
            return Arrival.TOO_LARGE
        self.is_whole = len(self.held) >= self._size
        return Arrival.WHOLE if self.is_whole else Arrival.PART

    def say(self, text: bytes) -> None:
        """Send something short, if the client takes it at once."""
        with suppress(OSError):  # it will see that the connection is closed
            super().send(text, socket.MSG_DONTWAIT)

    def left_over(self) -> bytes:
        """What nobody has read of what was collected."""
        rest, self.held = bytes(self.held[self._read :]), bytearray()
        return rest

    def recv(self, size: int, flags: int = 0) -> bytes:
        """What has arrived: the head first, apart from the rest, so that nobody has to put the body back.

        Raises ConnectionResetError where nothing has: who sends no whole request gets no more.
        """
        if (start := self._read) < len(self.held):
            end = start + size
            self._read = end = min(end, self._head) if start < self._head else min(end, len(self.held))
            return bytes(memoryview(self.held)[start:end])
        self.settimeout(0)
        try:
            return super().recv(size, flags)
        except BlockingIOError:
            raise ConnectionResetError(errno.ECONNRESET, "The client has not sent the rest in time.") from None

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Raises ConnectionResetError when the whole reply takes longer than REPLY_SECONDS."""
        now = time.monotonic()
        self._reply_until = self._reply_until or now + REPLY_SECONDS
        self.settimeout(max(self._reply_until - now, 0.001))
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "The client does not take its reply.") from None


class PatientWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's worker with threads, which gives them requests that have arrived whole."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: dict[Any, None] = {}  # the oldest first, which is the first whose time is up
        self._collected = 0

    def enqueue_req(self, conn: Any) -> None:
        """A connection is new, or its next request begins."""
        if not self.cfg.is_ssl:  # with TLS only a thread can read it
            if not isinstance(conn.sock, ClientSocket):
                conn.sock = ClientSocket(conn.sock)
            conn.sock.begin(conn.parser.unreader.take_buffered() if conn.parser else b"")
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Called in a thread: answer a request, or give back one that is not there at once."""
        client = conn.sock
        if isinstance(client, ClientSocket):
            if not client.is_whole and (state := client.collect(AT_ONCE)) is not Arrival.WHOLE:
                return state
            conn.init()
            conn.data_ready = True
            answer = super().handle(conn)
            if answer and (ahead := client.left_over()):  # gunicorn looks for a next request there
                conn.parser.unreader.unread(conn.parser.unreader.take_buffered() + ahead)
            return answer
        return super().handle(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Called in the loop when a thread is done."""
        state = None if fs.cancelled() or fs.exception() else fs.result()
        if state is Arrival.PART:
            self._arriving[conn] = None
            self._collected += len(conn.sock.held)
            self.poller.register(conn.sock, EVENT_READ, partial(self._on_more, conn))
        elif isinstance(state, Arrival):
            self._close(conn, _REFUSALS.get(state, b""))
        else:
            super().finish_request(conn, fs)

    def _on_more(self, conn: Any, _socket: object) -> None:
        if conn not in self._arriving:
            return  # closed in this very round of the loop
        before = len(conn.sock.held)
        state = conn.sock.collect()
        self._collected += len(conn.sock.held) - before
        if state is not Arrival.PART:
            self._forget(conn)
            if state is Arrival.WHOLE:
                super().enqueue_req(conn)
            else:
                self._close(conn, _REFUSALS.get(state, b""))
        while self._collected > MAX_COLLECTED:
            self._give_up(next(iter(self._arriving)))

    def _forget(self, conn: Any) -> None:
        del self._arriving[conn]
        self._collected -= len(conn.sock.held)
        self.poller.unregister(conn.sock)

    def _close(self, conn: Any, status: bytes) -> None:
        if status:
            conn.sock.say(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.nr_conns -= 1
        conn.close()

    def _give_up(self, conn: Any) -> None:
        self._forget(conn)
        self._close(conn, b"408 Request Timeout" if conn.sock.held else b"")

    def murder_pending(self) -> None:
        """Called in each round of the loop: close the connections whose request did not arrive in time."""
        super().murder_pending()
        now = time.monotonic()
        while self._arriving and (oldest := next(iter(self._arriving))).sock.deadline <= now:
            self._give_up(oldest)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Called in a thread: answer one request."""
        if isinstance(conn.sock, ClientSocket) and conn.sock.told_to_go_on:
            req._expected_100_continue = False
        return super().handle_request(req, conn)
