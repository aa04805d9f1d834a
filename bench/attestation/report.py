"""What the benchmark prints: each figure beside its target and the limit of its cryptography, then one JSON line."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.attestation.parts import Part, Parts
from bench.attestation.rivals import Rival
from bench.attestation.service import ServiceFigures, ServiceRuns

PER_SECOND: Final = 200.0
QUOTES: Final = 8000.0
REPLAYS: Final = 2000.0
P99_MS: Final = 100.0
LARGE_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Findings:
    """Everything that was measured. ``refusal``: seconds until a log of 1 MiB was refused."""

    runs: ServiceRuns
    log_bytes: int
    parts: Parts
    refusal: float
    rivals: Sequence[Rival]
    clients: int
    workers: int
    database: str
    log_origin: str

    @property
    def service(self) -> ServiceFigures:
        """The round that counts."""
        return self.runs.best


def text(found: Findings) -> str:
    """The report for people."""
    return "\n".join([*_head(found), "", *_figures(found), "", *_costs(found), "", *_rivals(found)])


def line(found: Findings) -> str:
    """The one line of JSON."""
    service, parts = found.service, found.parts
    return json.dumps(
        {
            "attestations_per_second": round(service.per_second, 1),
            "rounds_per_second": [round(figures.per_second, 1) for figures in found.runs.rounds],
            "attestations": service.attestations,
            "median_ms": round(service.median_ms, 2),
            "p99_ms": round(service.p99_ms, 2),
            "server_cpu_ms": round(service.server_cpu_ms, 3),
            "client_cpu_ms": round(service.client_cpu_ms, 3),
            "cryptography_ms": round(_cryptography_ms(parts), 3),
            "quotes_per_second": round(parts.quote.per_second),
            "quote_cryptography_per_second": round(1e6 / parts.quote.cryptography),
            "replays_per_second": round(parts.replay.per_second),
            "replay_cryptography_per_second": round(1e6 / parts.replay.cryptography),
            "large_log_refused_seconds": round(found.refusal, 4),
            "largest_log_checked_seconds": round(parts.largest_log.microseconds / 1e6, 4),
            "log_bytes": found.log_bytes,
            "clients": found.clients,
            "workers": found.workers,
            "cores": _cores(),
            "database": found.database,
            "signer_bits": found.runs.signer_bits,
            "rivals": [asdict(rival) for rival in found.rivals],
            "targets_met": all(met for *_, met in _rows(found)),
        }
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _cryptography_ms(parts: Parts) -> float:
    """Of a complete attestation, server and host."""
    return (parts.attestation.cryptography + parts.certificate.cryptography + parts.host.cryptography) / 1e3


def _head(found: Findings) -> list[str]:
    service = found.service
    return [
        f"{service.attestations} attestations by {found.clients} clients, the best of {len(found.runs.rounds)} rounds "
        f"({', '.join(f'{figures.per_second:.0f}' for figures in found.runs.rounds)} per second); "
        f"HGS with {found.workers} processes, "
        f"{found.database}; {_cores()} cores, load {os.getloadavg()[0]:.1f}.",
        f"Boot log: {found.log_bytes} bytes, firmware's part from {found.log_origin}.",
        "Every certificate was verified, every row and audit event was found.",
    ]


def _rows(found: Findings) -> list[tuple[str, str, str, str, bool]]:
    """Figure, target, seen, limit by cryptography alone, whether the target is met."""
    service, parts = found.service, found.parts
    limit = _cores() * 1e3 / _cryptography_ms(parts)
    quote_limit, replay_limit = 1e6 / parts.quote.cryptography, 1e6 / parts.replay.cryptography
    largest = parts.largest_log
    return [
        (
            "complete attestations per second",
            f">= {PER_SECOND:.0f}",
            f"{service.per_second:.0f}",
            f"{limit:.0f} ({_cryptography_ms(parts):.2f} ms each)",
            service.per_second >= PER_SECOND,
        ),
        (
            f"p99 with {found.clients} clients",
            f"< {P99_MS:.0f} ms",
            f"{service.p99_ms:.0f} ms (median {service.median_ms:.0f})",
            f"{found.clients * _cryptography_ms(parts) / _cores():.0f} ms",
            service.p99_ms < P99_MS,
        ),
        (
            "quotes verified per second and core",
            f">= {QUOTES:.0f}",
            f"{parts.quote.per_second:.0f}",
            f"{quote_limit:.0f} (ECDSA P-256)",
            parts.quote.per_second >= QUOTES,
        ),
        (
            "logs replayed per second and core",
            f">= {REPLAYS:.0f}",
            f"{parts.replay.per_second:.0f}",
            f"{replay_limit:.0f} (SHA-256)",
            parts.replay.per_second >= REPLAYS,
        ),
        (
            "log of 1 MiB refused",
            f"< {LARGE_SECONDS} s",
            f"{found.refusal:.3f} s",
            "none: refused by size",
            found.refusal < LARGE_SECONDS,
        ),
        (
            "dearest log that is taken, checked",
            f"< {LARGE_SECONDS} s",
            f"{largest.microseconds / 1e6:.3f} s",
            f"{largest.cryptography / 1e6:.4f} s (SHA-256)",
            largest.microseconds / 1e6 < LARGE_SECONDS,
        ),
    ]


def _figures(found: Findings) -> list[str]:
    rows = [(name, target, seen, limit, "met" if met else "NOT MET") for name, target, seen, limit, met in _rows(found)]
    return table(("figure", "target", "seen", "cryptography alone", ""), rows)


def _costs(found: Findings) -> list[str]:
    """Where the processor time of one attestation goes, and what dominates it."""
    service, parts = found.service, found.parts
    shares = [
        ("examining both rounds", parts.attestation),
        ("health certificate", parts.certificate),
        ("JSON of the second round", parts.messages),
    ]
    known = sum(part.microseconds for _, part in shares) / 1e3
    rest = max(service.server_cpu_ms - known, 0.0)
    rows = [_cost(name, part) for name, part in shares]
    rows.append(("HTTP, Django, database, audit chain, event log", f"{rest:.2f}", "-"))
    rows.append(_cost("the host's own work, in the client", parts.host))
    rows.append(("HTTP in the client", f"{max(service.client_cpu_ms - parts.host.microseconds / 1e3, 0):.2f}", "-"))
    lines = table(("processor time of one attestation", "ms", "its cryptography"), rows)
    return [*lines, "", _dominant(found, rest)]


def _cost(name: str, part: Part) -> tuple[str, str, str]:
    return name, f"{part.microseconds / 1e3:.2f}", f"{part.cryptography / 1e3:.2f}"


def _dominant(found: Findings, rest: float) -> str:
    service = found.service
    share = _cryptography_ms(found.parts) / service.cpu_ms
    first = "storing and HTTP" if rest * 2 > service.server_cpu_ms else "examining the evidence"
    return (
        f"Dominant in the server: {first} ({rest:.2f} of {service.server_cpu_ms:.2f} ms are neither evidence nor "
        f"signature). Cryptography is {share:.0%} of all {service.cpu_ms:.2f} ms, server and client.\n"
        "The parts are timed alone and at their best, so the rest also holds what a busy machine adds."
    )


def _rivals(found: Findings) -> list[str]:
    ours = {"tpm2_checkquote": found.parts.quote, "tpm2_eventlog": found.parts.replay}
    rows = []
    for rival in found.rivals:
        seen = f"{rival.per_second:.0f}" if rival.per_second else rival.note
        rows.append((rival.command, seen, f"{ours[rival.command].per_second:.0f}"))
    return table(("a process for each file", "per second", "in process here"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Rows under a head, each column as wide as it must be."""
    widths = [max(len(str(row[at])) for row in (head, *rows)) for at in range(len(head))]
    lines = [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)
    ]
    return [item.rstrip() for item in lines]
