"""The whole way: hosts attest to a real HGS over HTTP, and what it answered and stored is checked afterwards."""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.attestation.clients import Record, attest_many
from bench.attestation.hosts import CI_POLICY, Host, TpmMaker
from bench.attestation.node import Node
from hgs.wire import certbag, hgsa

SIGNERS = "/Attestation/v2.0/signingCertificates"
WARM_UP = 3
"""Attestations of each host that are not counted: caches fill, connections open."""


class AnswersError(RuntimeError):
    """A fast answer that is not the right one is worth nothing."""


@dataclass(frozen=True)
class ServiceFigures:
    """Complete attestations of one round. CPU in milliseconds of one core for each, latencies in milliseconds."""

    attestations: int
    per_second: float
    median_ms: float
    p99_ms: float
    server_cpu_ms: float
    client_cpu_ms: float

    @property
    def cpu_ms(self) -> float:
        """Of server and clients together."""
        return self.server_cpu_ms + self.client_cpu_ms


def prepare(node: Node, hosts: Sequence[Host], maker: TpmMaker) -> None:
    """Initialise HGS, start it, and register everything that lets the hosts pass."""
    root = node.folder / "tpm-root.cer"
    root.write_bytes(maker.root)
    node.run("-m", "bench.attestation.initialised", str(root))
    register(node, hosts)


def register(node: Node, hosts: Sequence[Host]) -> None:
    """Start an initialised HGS, and register everything that lets the hosts pass."""
    node.start()
    node.submit("ci-policy", "benchmark", CI_POLICY)
    node.submit("baseline", "benchmark", hosts[0].reference_log)
    for host in hosts:
        node.submit("host", host.name, host.identity_file)


@dataclass(frozen=True)
class ServiceRuns:
    """Every round, and what was the same in all. ``best``: the round with most attestations per second."""

    rounds: Sequence[ServiceFigures]
    signer_bits: int

    @property
    def best(self) -> ServiceFigures:
        """Other work on a machine, and an uneven spread of connections, only ever slow a round down."""
        return max(self.rounds, key=lambda figures: figures.per_second)


def measure(node: Node, hosts: Sequence[Host], each: int, rounds: int, processes: int) -> ServiceRuns:
    """In each round every host attests ``each`` times, all at once, over new connections that stay open.

    Every answer and every row is checked. Raises AnswersError.
    """
    signer = _signer(node)
    records = attest_many(node.port, hosts, WARM_UP, processes)
    figures = []
    for _ in range(rounds):
        before = node.cpu_seconds()
        seen = attest_many(node.port, hosts, each, processes)
        figures.append(_figures(seen, node.cpu_seconds() - before))
        records += seen
    _check(node, hosts, records, (each * rounds + WARM_UP) * len(hosts), signer)
    return ServiceRuns(figures, _rsa_key(signer).key_size)


def _figures(records: Sequence[Record], server: float) -> ServiceFigures:
    seconds = sorted(chain.from_iterable(record.seconds for record in records))
    wall = max(record.ended for record in records) - min(record.started for record in records)
    total, client = len(seconds), sum(record.cpu for record in records)
    return ServiceFigures(
        attestations=total,
        per_second=total / wall,
        median_ms=statistics.median(seconds) * 1e3,
        p99_ms=seconds[min(int(total * 0.99), total - 1)] * 1e3,
        server_cpu_ms=server / total * 1e3,
        client_cpu_ms=client / total * 1e3,
    )


def refuse_large_log(node: Node, host: Host) -> float:
    """Seconds until a request with a boot log of 1 MiB is refused. Raises AnswersError when it is not."""
    request = host.request_with_log(bytes(2**20))
    start = time.perf_counter()
    status, body = node.post("/Attestation/v2.0/attest", request)
    seconds = time.perf_counter() - start
    if status != 400 or hgsa.parse_message(body) != hgsa.PayloadErrorReply(retryable=False):
        raise AnswersError(f"a log of 1 MiB was answered with {status}: {body[:200]!r}")
    return seconds


def _signer(node: Node) -> x509.Certificate:
    return certbag.parse_bag(hgsa.parse_certificate_bag(node.get(SIGNERS)))[0]


def _rsa_key(certificate: x509.Certificate) -> rsa.RSAPublicKey:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise AnswersError("a certificate of HGS holds no RSA key")
    return key


def _check(
    node: Node, hosts: Sequence[Host], records: Sequence[Record], expected: int, signer: x509.Certificate
) -> None:
    identities = {host.name: host.identity.public_numbers() for host in hosts}
    serials = set()
    for record in records:
        for name, certificates in record.certificates.items():
            for der in certificates:
                certificate = x509.load_der_x509_certificate(der)
                _rsa_key(signer).verify(
                    certificate.signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(), hashes.SHA256()
                )
                if _rsa_key(certificate).public_numbers() != identities[name]:
                    raise AnswersError(f"{name} got a certificate of another key")
                serials.add(certificate.serial_number)
    stored: dict[str, Any] = json.loads(node.run("-m", "bench.attestation.stored"))
    # HGS forgets a host's oldest attestations now and then; audit events stay.
    is_kept = min(expected, stored["kept_per_host"] * len(hosts)) <= stored["attestations"] <= expected
    wanted = {"failed": 0, "audit_events": expected, "chain_broken_at": None}
    if len(serials) != expected or not is_kept or {key: stored[key] for key in wanted} != wanted:
        raise AnswersError(f"{len(serials)} certificates of {expected}; stored: {stored}")
