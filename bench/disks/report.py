"""What the benchmark prints: each row beside its goal, and what dominates; then one JSON line."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Final

from bench.attestation.report import table
from bench.disks.hashing import Hashing, Sparse
from bench.disks.provisioning import Run

OF_HASHLIB: Final = 0.9
TIMES_SHA256SUM: Final = 8.0
SPARSE_OVERHEAD: Final = 1.15
TIMES_FASTER: Final = 2.0
MEMORY_MAX: Final = 256 * 1024 * 1024
FLAT: Final = 1.25
"""A disk of four times the size may take so many times the memory."""


@dataclass(frozen=True)
class Findings:
    """Everything that was measured. Sizes in bytes, times in seconds."""

    hashing: Hashing
    sparse: Sparse
    sparse_bytes: int
    data_bytes: int
    template_bytes: int
    runs: tuple[Run, ...]
    qemu_img: tuple[float, ...]
    cryptsetup: tuple[float, ...]
    memory: int
    memory_of_small: int

    @property
    def best(self) -> Run:
        """The run that took least; other work on a machine only ever slows one down."""
        return min(self.runs, key=lambda run: run.seconds)

    @property
    def faster_rival(self) -> float:
        """Seconds of the faster tool, at its best."""
        return min(*self.qemu_img, *self.cryptsetup)


def _times(mine: float, other: float | None) -> float | None:
    return round(mine / other, 3) if other else None


def goals(found: Findings) -> dict[str, bool]:
    """Each goal and whether it was met."""
    hashing = found.hashing
    return {
        "of_hashlib": hashing.ours >= OF_HASHLIB * hashing.hashlib_all_cores,
        "faster_than_veritysetup": hashing.veritysetup is None or hashing.ours > hashing.veritysetup,
        "times_sha256sum": hashing.sha256sum is None or hashing.ours > TIMES_SHA256SUM * hashing.sha256sum,
        "sparse": found.sparse.whole <= SPARSE_OVERHEAD * found.sparse.data_alone,
        "provisioning": found.faster_rival >= TIMES_FASTER * found.best.seconds,
        "memory": found.memory <= MEMORY_MAX and found.memory <= FLAT * found.memory_of_small,
    }


def text(found: Findings) -> str:
    """The report for people."""
    rows = [*_hashing_rows(found), *_provisioning_rows(found)]
    missed = [name for name, met in goals(found).items() if not met]
    return "\n".join([*table(["work", "seen", "beside"], rows), f"Goals not met: {', '.join(missed) or 'none'}"])


def _hashing_rows(found: Findings) -> list[list[str]]:
    hashing, sparse = found.hashing, found.sparse
    tools = {"openssl dgst": hashing.openssl, "veritysetup format": hashing.veritysetup, "sha256sum": hashing.sha256sum}
    return [
        ["hash a full raw disk", f"{hashing.ours:.0f} MB/s", _ratio(hashing.ours, hashing.hashlib_all_cores)],
        ["  to sign it, with BLAKE3", f"{hashing.ours_to_sign:.0f} MB/s", ""],
        ["  hashlib alone, all cores", f"{hashing.hashlib_all_cores:.0f} MB/s", ""],
        *([f"  {name}", f"{value or 0:.0f} MB/s", _ratio(hashing.ours, value)] for name, value in tools.items()),
        ["hash a sparse VHDX", f"{sparse.whole:.2f} s", _ratio(sparse.whole, sparse.data_alone)],
        ["  its data alone", f"{sparse.data_alone:.2f} s", ""],
    ]  # fmt: skip


def _provisioning_rows(found: Findings) -> list[list[str]]:
    best = found.best
    rivals = {"qemu-img convert -O luks": min(found.qemu_img), "cryptsetup reencrypt": min(found.cryptsetup)}
    return [
        ["provision a full template", f"{best.seconds:.2f} s", f"{found.template_bytes / best.seconds / 1e6:.0f} MB/s"],
        ["  read, hash, encrypt, write", f"{best.disk_seconds:.2f} s", f"{best.disk_seconds / best.seconds:.0%} of it"],
        *([f"  {name}", f"{value:.2f} s", _ratio(value, best.seconds)] for name, value in rivals.items()),
        ["memory while provisioning", f"{found.memory / 1e6:.0f} MB", ""],
        ["  of a quarter of the size", f"{found.memory_of_small / 1e6:.0f} MB", ""],
    ]


def _ratio(mine: float, other: float | None) -> str:
    return f"{mine / other:.2f} times" if other else ""


def line(found: Findings) -> str:
    """All figures."""
    best, hashing = found.best, found.hashing
    figures = {
        "hash_mb_per_second": {name: round(value) if value else None for name, value in asdict(hashing).items()},
        "hash_of_hashlib": _times(hashing.ours, hashing.hashlib_all_cores),
        "hash_times_sha256sum": _times(hashing.ours, hashing.sha256sum),
        "sparse_seconds": round(found.sparse.whole, 3),
        "sparse_data_seconds": round(found.sparse.data_alone, 3),
        "sparse_ratio": _times(found.sparse.whole, found.sparse.data_alone),
        "sparse_bytes": found.sparse_bytes,
        "data_bytes": found.data_bytes,
        "template_bytes": found.template_bytes,
        "provision_seconds": [round(run.seconds, 2) for run in found.runs],
        "provision_disk_seconds": [round(run.disk_seconds, 2) for run in found.runs],
        "provision_mb_per_second": round(found.template_bytes / best.seconds / 1e6),
        "qemu_img_luks_seconds": [round(value, 2) for value in found.qemu_img],
        "cryptsetup_reencrypt_seconds": [round(value, 2) for value in found.cryptsetup],
        "provision_times_faster": _times(found.faster_rival, best.seconds),
        "memory_bytes": found.memory,
        "memory_bytes_of_a_quarter": found.memory_of_small,
        "cores": len(os.sched_getaffinity(0)),
        "goals": goals(found),
        "targets_met": all(goals(found).values()),
    }
    return json.dumps(figures)
