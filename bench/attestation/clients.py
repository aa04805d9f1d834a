"""Hosts that attest over keep-alive HTTP: a few processes, each with some connections, one host a connection."""

import base64
import gc
import json
import os
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Final
from uuid import uuid4

from bench.attestation.hosts import Host

TIMEOUT: Final = 60.0
_PATH: Final = "/Attestation/v2.0/attest"


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

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"POST {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n".encode()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def post(self, body: bytes) -> bytes:
        """The body of a 200. Raises ExchangeError for anything else."""
        self._socket.sendall(b"%sContent-Length: %d\r\n\r\n%s" % (self._head, len(body), body))
        answer = bytearray()
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._receive()
        head = answer[:end].decode("latin-1").lower().split("\r\n")
        length = next((int(line[15:]) for line in head if line.startswith("content-length:")), -1)
        if length < 0:
            raise ExchangeError(f"HGS announced no length: {head}")
        while len(answer) < end + 4 + length:
            answer += self._receive()
        content = bytes(answer[end + 4 :])
        if not head[0].startswith("http/1.1 200"):
            raise ExchangeError(f"{head[0]}: {content[:300]!r}")
        return content

    def _receive(self) -> bytes:
        part = self._socket.recv(65536)
        if not part:
            raise ExchangeError("HGS closed the connection.")
        return part


def attest(connection: KeepAlive, host: Host) -> bytes:
    """Both rounds; the health certificate (DER)."""
    session = uuid4()
    challenge = json.loads(connection.post(host.first_request(session)))
    context = base64.b64decode(challenge["RtpmActiveContext"], validate=True)
    reply = json.loads(connection.post(host.second_request(session, context)))
    return base64.b64decode(reply["Content"][0]["m_Item2"], validate=True)


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
    """One client process: a thread for each host."""
    record = Record()
    try:
        connections = [KeepAlive(port) for _ in hosts]
        gc.freeze()
        barrier.wait(TIMEOUT)
        before, record.started = os.times(), time.monotonic()
        threads = [
            threading.Thread(target=_attest_repeatedly, args=(connection, host, each, record))
            for connection, host in zip(connections, hosts, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after, record.ended = os.times(), time.monotonic()
        record.cpu = after.user + after.system - before.user - before.system
        for connection in connections:
            connection.close()
    except Exception as error:  # noqa: BLE001 - whatever it was, the parent reports it
        record.failure = repr(error)
    pipe.send(record)
    pipe.close()


def _attest_repeatedly(connection: KeepAlive, host: Host, each: int, record: Record) -> None:
    kept = record.certificates.setdefault(host.name, [])
    try:
        for _ in range(each):
            start = time.perf_counter()
            kept.append(attest(connection, host))
            record.seconds.append(time.perf_counter() - start)
    except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
        record.failure = f"{host.name}: {error!r}"
