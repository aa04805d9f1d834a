"""Hosts that attest over keep-alive HTTP: a few processes, each with some connections, one host a connection."""

import base64
import gc
import json
import os
import selectors
import socket
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Final, Protocol
from uuid import uuid4

from bench.attestation.hosts import Host

TIMEOUT: Final = 60.0
_PATH: Final = "/Attestation/v2.0/attest"
_SEND_BUFFER: Final = 256 * 1024
"""Bytes: a whole request, so that sending never waits for HGS to read."""


class ExchangeError(RuntimeError):
    """HGS refused, or did not answer as it should."""


@dataclass
class Record:
    """What one process saw: wall seconds of each attestation, certificates (DER) by host, processor seconds."""

    seconds: list[float] = field(default_factory=list)
    certificates: dict[str, list[bytes]] = field(default_factory=dict)
    cpu: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    failure: str = ""


class KeepAlive:
    """One HTTP/1.1 connection, no more of the protocol than HGS's own answers need."""

    def __init__(self, port: int, path: str = _PATH, media_type: str = "application/json") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {media_type}\r\n".encode()
        self._answer = bytearray()

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, body: bytes, more_head: bytes = b"") -> None:
        """Post a body, with more header lines if there are any; its answer comes by ``receive``."""
        self._answer.clear()
        self._socket.sendall(b"%s%sContent-Length: %d\r\n\r\n%s" % (self._head, more_head, len(body), body))

    def receive(self) -> bytes | None:
        """Read what has come; the body of a 200 once it is whole. Raises ExchangeError for anything else."""
        part = self._socket.recv(65536)
        if not part:
            raise ExchangeError("HGS closed the connection.")
        self._answer += part
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._answer[:end].decode("latin-1").lower().split("\r\n")
        length = next((int(line[15:]) for line in head if line.startswith("content-length:")), -1)
        if length < 0:
            raise ExchangeError(f"HGS announced no length: {head}")
        if len(self._answer) < end + 4 + length:
            return None
        content = bytes(self._answer[end + 4 :])
        if not head[0].startswith("http/1.1 200"):
            raise ExchangeError(f"{head[0]}: {content[:300]!r}")
        return content


def attest(host: Host) -> Generator[bytes, bytes, bytes]:
    """Both rounds: yields requests, is sent their answers, returns the health certificate (DER)."""
    session = uuid4()
    challenge = json.loads((yield host.first_request(session)))
    context = base64.b64decode(challenge["RtpmActiveContext"], validate=True)
    reply = json.loads((yield host.second_request(session, context)))
    return base64.b64decode(reply["Content"][0]["m_Item2"], validate=True)


class _Client:
    """A host that attests again and again over one connection."""

    def __init__(self, connection: KeepAlive, host: Host, each: int, record: Record) -> None:
        self.connection = connection
        self._host = host
        self._left = each
        self._record = record
        self._certificates = record.certificates.setdefault(host.name, [])

    def begin(self) -> bool:
        """Send a first request; False when enough were sent."""
        if not self._left:
            return False
        self._left -= 1
        self._started = time.perf_counter()
        self._exchange = attest(self._host)
        self.connection.send(next(self._exchange))
        return True

    def go_on(self) -> bool:
        """Take what came and send what follows; False at the end."""
        answer = self.connection.receive()
        if answer is None:
            return True
        try:
            self.connection.send(self._exchange.send(answer))
        except StopIteration as end:
            self._certificates.append(end.value)
            self._record.seconds.append(time.perf_counter() - self._started)
            return self.begin()
        return True


def attest_many(port: int, hosts: Sequence[Host], each: int, processes: int) -> list[Record]:
    """Every host attests ``each`` times, all at once. ``processes`` share the hosts. Raises ExchangeError."""
    context = get_context("fork")
    barrier = context.Barrier(processes)
    running = []
    for number in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, barrier, port, hosts[number::processes], each)
        process = context.Process(target=_run, args=arguments, name=f"bench-clients-{number}", daemon=True)
        process.start()
        theirs.close()
        running.append((process, ours))
    records = []
    try:
        for _, pipe in running:
            record: Record = pipe.recv()
            if record.failure:
                raise ExchangeError(record.failure)
            records.append(record)
    except EOFError:
        raise ExchangeError("a client process ended early") from None
    finally:
        for process, _ in running:
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()
    return records


def _run(pipe: Connection, barrier: Barrier, port: int, hosts: Sequence[Host], each: int) -> None:
    """One client process: one thread for all of its hosts, so that they do not get into each other's way."""
    record = Record()
    try:
        clients = [_Client(KeepAlive(port), host, each, record) for host in hosts]
        gc.freeze()
        barrier.wait(TIMEOUT)
        before, record.started = os.times(), time.monotonic()
        ask_all(clients)
        after, record.ended = os.times(), time.monotonic()
        record.cpu = after.user + after.system - before.user - before.system
        for client in clients:
            client.connection.close()
    except Exception as error:  # noqa: BLE001 - whatever it was, the parent reports it
        record.failure = repr(error)
    pipe.send(record)
    pipe.close()


class Client(Protocol):
    """A host with a connection that stays open."""

    connection: KeepAlive

    def begin(self) -> bool:
        """Ask; False when there is nothing left to ask."""

    def go_on(self) -> bool:
        """Take what came; False at the end."""


def ask_all(clients: Iterable[Client]) -> None:
    """Let each client ask until it is done, all at once, in one thread. Raises ExchangeError."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            if client.begin():
                selector.register(client.connection, selectors.EVENT_READ, client)
        while selector.get_map():
            ready = selector.select(TIMEOUT)
            if not ready:
                raise ExchangeError(f"HGS did not answer within {TIMEOUT:.0f} s.")
            for key, _ in ready:
                client = key.data
                if not client.go_on():
                    selector.unregister(client.connection)
