"""The whole way: hosts with health certificates ask a real HGS for keys, and every answer is checked afterwards."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from bench.attestation.clients import attest_many
from bench.attestation.hosts import Host, TpmMaker
from bench.attestation.node import Node
from bench.attestation.service import AnswersError, register
from bench.keys.clients import Record, release_many
from bench.keys.machines import Machine, guardian_of, machines_of, owners
from hgs.keyprotection.release import Released, open_response, parse_reply
from hgs.wire.kps import METADATA_PATH

WARM_UP = 20
OWNERS = 4
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@dataclass(frozen=True)
class ServiceFigures:
    """Releases of one round. CPU in milliseconds of one core for each, latencies in milliseconds."""

    releases: int
    per_second: float
    median_ms: float
    p99_ms: float
    server_cpu_ms: float
    client_cpu_ms: float


@dataclass(frozen=True)
class ServiceRuns:
    """Every round; the best one counts, since other work on a machine only ever slows one down."""

    rounds: Sequence[ServiceFigures]
    request_bytes: int
    log_size: int

    @property
    def best(self) -> ServiceFigures:
        """The round with most releases per second."""
        return max(self.rounds, key=lambda figures: figures.per_second)


def prepare(node: Node, maker: TpmMaker, clients: int, machines: int, bits: int) -> list[list[Machine]]:
    """Initialise and start HGS, let hosts attest, and give each of them machines."""
    hosts = [Host(f"host{number:03}", maker) for number in range(clients)]
    root = node.folder / "tpm-root.cer"
    root.write_bytes(maker.root)
    node.run("-m", "bench.keys.initialised", str(root), str(bits))
    register(node, hosts)
    certificates = {
        name: found[-1] for record in attest_many(node.port, hosts, 1, 1) for name, found in record.certificates.items()
    }
    guardian, people = guardian_of(node.get(METADATA_PATH)), owners(OWNERS)
    return [machines_of(host, certificates[host.name], guardian, people, machines) for host in hosts]


def measure(node: Node, machines: Sequence[Sequence[Machine]], each: int, rounds: int) -> ServiceRuns:
    """In each round every host asks ``each`` times, all at once. Every answer is opened. Raises AnswersError."""
    release_many(node.port, machines, WARM_UP)
    figures = []
    for _ in range(rounds):
        before = node.cpu_seconds()
        record = release_many(node.port, machines, each)
        figures.append(_figures(record, node.cpu_seconds() - before))
        _check(machines, record)
    expected = len(machines) * (each * rounds + WARM_UP)
    _check_log(node, expected)
    return ServiceRuns(figures, len(machines[0][0].body), expected)


def _figures(record: Record, server: float) -> ServiceFigures:
    seconds = sorted(record.seconds)
    total = len(seconds)
    return ServiceFigures(
        releases=total,
        per_second=total / record.wall,
        median_ms=statistics.median(seconds) * 1e3,
        p99_ms=seconds[min(int(total * 0.99), total - 1)] * 1e3,
        server_cpu_ms=server / total * 1e3,
        client_cpu_ms=record.cpu / total * 1e3,
    )


def _check(machines: Sequence[Sequence[Machine]], record: Record) -> None:
    """Every answer opens for the request it was for, and gives new keys each time."""
    keys = set()
    for own, answers in zip(machines, record.answers, strict=True):
        for machine, answer in zip(cycle(own), answers, strict=False):
            released = open_answer(machine, answer)
            keys.add(released.egress.value.reveal())
    if len(keys) != len(record.seconds):
        raise AnswersError(f"{len(record.seconds)} releases gave {len(keys)} different keys")


def open_answer(machine: Machine, answer: bytes) -> Released:
    """What the host's secure worker does with an answer, with the identity key in software."""
    identity = machine.host.identity_key
    return open_response(parse_reply(answer), machine.request, lambda data: identity.decrypt(data, _OAEP))


def _check_log(node: Node, expected: int) -> None:
    stored = json.loads(node.run("-m", "bench.keys.stored"))
    if stored != {"released": expected, "refused": 0, "size": expected, "damage": None}:
        raise AnswersError(f"{expected} releases were asked for; stored: {stored}")
