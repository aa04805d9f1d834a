"""What the benchmark prints: each figure beside its target and the cost of the RSA in it, then one JSON line."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.attestation.report import table
from bench.keys.parts import Parts
from bench.keys.service import ServiceRuns

PER_SECOND: Final = 500.0
P99_MS: Final = 100.0
FLAT: Final = 1.5
"""An entry of the largest log may take so many times what it takes in the smallest."""


@dataclass(frozen=True)
class Findings:
    """Everything that was measured. ``growth``: size of the log → {cpu_ms, wall_ms} of one entry."""

    runs: ServiceRuns
    parts: Parts
    growth: Mapping[str, Mapping[str, float]]
    clients: int
    workers: int
    threads: int
    bits: int
    database: str

    @property
    def flatness(self) -> float:
        """Processor time of an entry in the largest log, in times of that in the smallest."""
        by_size = [self.growth[size]["cpu_ms"] for size in sorted(self.growth, key=int)]
        return by_size[-1] / by_size[0]


def text(found: Findings) -> str:
    """The report for people."""
    best, parts = found.runs.best, found.parts
    rest = best.server_cpu_ms - parts.release / 1e3
    rates = ", ".join(f"{figures.per_second:.0f}" for figures in found.runs.rounds)
    head = [
        f"{best.releases} releases by {found.clients} clients, the best of {len(found.runs.rounds)} rounds ({rates} "
        f"per second); HGS with {found.workers} processes of {found.threads} threads, RSA-{found.bits} guardian, "
        f"{found.database}; {_cores()} cores, load {os.getloadavg()[0]:.1f}.",
        f"Requests of {found.runs.request_bytes} bytes. Every answer was opened, every entry of the log and its tree "
        f"checked ({found.runs.log_size} entries).",
    ]
    rows = [(*row, "met" if met else "NOT MET") for *row, met in _rows(found)]
    costs = [
        ("RSA at HGS: one decryption, one signature", f"{parts.private_rsa / 1e3:.2f}"),
        ("RSA at HGS, public keys: one check, 3 encryptions", f"{(parts.rsa - parts.private_rsa) / 1e3:.2f}"),
        ("the rest of the release: XML, AES, HMAC", f"{(parts.release - parts.rsa) / 1e3:.2f}"),
        ("HTTP, Django, database, key log", f"{max(rest, 0):.2f}"),
        ("HTTP in the client", f"{best.client_cpu_ms:.2f}"),
        ("opening the answer, which a host does with its TPM (not in the rate)", f"{parts.host / 1e3:.2f}"),
    ]
    growth = [
        (f"{int(size):,}", f"{found.growth[size]['cpu_ms']:.3f}", f"{found.growth[size]['wall_ms']:.3f}")
        for size in sorted(found.growth, key=int)
    ]
    return "\n".join(
        [
            *head,
            "",
            *table(("figure", "target", "seen", "RSA alone", ""), rows),
            "",
            *table(("processor time of one release", "ms"), costs),
            "",
            *table(("entries in the log", "one more: CPU ms", "wall ms"), growth),
        ]
    )


def _rows(found: Findings) -> list[tuple[str, str, str, str, bool]]:
    best, parts = found.runs.best, found.parts
    limit = _cores() * 1e6 / parts.rsa
    return [
        (
            "key releases per second",
            f">= {PER_SECOND:.0f}",
            f"{best.per_second:.0f}",
            f"{limit:.0f} ({parts.rsa / 1e3:.2f} ms each)",
            best.per_second >= PER_SECOND,
        ),
        (
            f"p99 with {found.clients} clients",
            f"< {P99_MS:.0f} ms",
            f"{best.p99_ms:.0f} ms (median {best.median_ms:.0f})",
            f"{found.clients * parts.rsa / 1e3 / _cores():.0f} ms",
            best.p99_ms < P99_MS,
        ),
        (
            "an entry of the largest log, against the smallest",
            f"< {FLAT} times",
            f"{found.flatness:.2f} times",
            "-",
            found.flatness < FLAT,
        ),
    ]


def line(found: Findings) -> str:
    """The one line of JSON."""
    best, parts = found.runs.best, found.parts
    return json.dumps(
        {
            "releases_per_second": round(best.per_second, 1),
            "rounds_per_second": [round(figures.per_second, 1) for figures in found.runs.rounds],
            "releases": best.releases,
            "median_ms": round(best.median_ms, 2),
            "p99_ms": round(best.p99_ms, 2),
            "server_cpu_ms": round(best.server_cpu_ms, 3),
            "client_cpu_ms": round(best.client_cpu_ms, 3),
            "private_rsa_ms": round(parts.private_rsa / 1e3, 3),
            "rsa_ms": round(parts.rsa / 1e3, 3),
            "release_in_process_ms": round(parts.release / 1e3, 3),
            "host_opens_ms": round(parts.host / 1e3, 3),
            "log_entry_ms": {
                size: {key: round(value, 4) for key, value in at.items()} for size, at in found.growth.items()
            },
            "log_growth": round(found.flatness, 3),
            "clients": found.clients,
            "workers": found.workers,
            "threads": found.threads,
            "guardian_bits": found.bits,
            "cores": _cores(),
            "database": found.database,
            "targets_met": all(met for *_, met in _rows(found)),
        }
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0))
