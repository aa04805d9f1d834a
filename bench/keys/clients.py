"""Hosts that start virtual machines, one after another, each over a connection of its own that stays open."""

import gc
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final

from bench.attestation.clients import ExchangeError, KeepAlive, ask_all
from bench.keys.machines import Machine
from hgs.wire.kps import ROLL_PATH

_PATH: Final = ROLL_PATH.format(version="v2.0")


@dataclass
class Record:
    """What the clients saw: wall seconds of each release, the answers in order, processor seconds of the process."""

    seconds: list[float] = field(default_factory=list)
    answers: list[list[bytes]] = field(default_factory=list)
    cpu: float = 0.0
    wall: float = 0.0
    failure: str = ""


class _Client:
    """A host with its connection."""

    def __init__(self, port: int, machines: Sequence[Machine], turns: Iterator[int], record: Record) -> None:
        self.connection = KeepAlive(port, _PATH, "application/xml")
        self._machines = cycle(machines)
        self._turns = turns
        self._record = record
        self._answers: list[bytes] = []
        record.answers.append(self._answers)

    def begin(self) -> bool:
        """Ask for the next machine's key; False when all clients together have asked for as many as they should."""
        if next(self._turns, None) is None:
            return False
        machine = next(self._machines)
        self._started = time.perf_counter()
        self.connection.send(machine.body, machine.head)
        return True

    def go_on(self) -> bool:
        """Take what came; False at the end."""
        answer = self.connection.receive()
        if answer is None:
            return True
        self._record.seconds.append(time.perf_counter() - self._started)
        self._answers.append(answer)
        return self.begin()


def release_many(port: int, machines: Sequence[Sequence[Machine]], each: int) -> Record:
    """All hosts ask at once, ``each`` times on average, in a process of their own. Raises ExchangeError.

    Whoever has its answer asks again until all have asked often enough together, so that all of them ask to the end;
    were it so many times for each, the slower ones would ask alone at last, and less than all would be measured.
    """
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, port, machines, each), name="bench-key-clients", daemon=True)
    process.start()
    theirs.close()
    try:
        record: Record = ours.recv()
    except EOFError:
        raise ExchangeError("the client process ended early") from None
    finally:
        process.join(timeout=10)
        if process.is_alive():
            process.terminate()
    if record.failure:
        raise ExchangeError(record.failure)
    return record


def _run(pipe: Connection, port: int, machines: Sequence[Sequence[Machine]], each: int) -> None:
    record = Record()
    try:
        turns = iter(range(each * len(machines)))
        clients = [_Client(port, own, turns, record) for own in machines]
        gc.freeze()
        before, started = os.times(), time.monotonic()
        ask_all(clients)
        after, record.wall = os.times(), time.monotonic() - started
        record.cpu = after.user + after.system - before.user - before.system
        for client in clients:
            client.connection.close()
    except Exception as error:  # noqa: BLE001 - whatever it was, the parent reports it
        record.failure = repr(error)
    pipe.send(record)
    pipe.close()
