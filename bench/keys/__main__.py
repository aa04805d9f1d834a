"""``python -m bench.keys``: measure, print, and end with one line of JSON."""

import argparse
import contextlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.attestation.hosts import TpmMaker
from bench.attestation.node import Node
from bench.keys import parts, report, service
from hgs.serving import default_workers

THREADS = 8
"""As docs/hgs.md advises where many machines start at once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 whatever the figures are; a wrong answer of HGS, or a log that is not whole, raises."""
    chosen = _parse(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gf-bench-")))
        node = stack.enter_context(Node(folder, chosen.database_url, chosen.workers, chosen.threads))
        machines = service.prepare(node, TpmMaker(), chosen.clients, chosen.machines, chosen.bits)
        runs = service.measure(node, machines, chosen.releases, chosen.rounds)
        node.stop()
        found = report.Findings(
            runs=runs,
            parts=parts.measure(machines[0][0], chosen.bits, chosen.seconds),
            growth=_growth(chosen.log_sizes, folder / "growing"),
            clients=chosen.clients,
            workers=chosen.workers,
            threads=chosen.threads,
            bits=chosen.bits,
            database="PostgreSQL" if chosen.database_url else "SQLite",
        )
    print(report.text(found))
    print(report.line(found))
    return 0


def _growth(sizes: Sequence[int], folder: Path) -> dict[str, dict[str, float]]:
    """The cost of an entry at each size of a log of its own, in SQLite."""
    folder.mkdir()
    root = folder / "tpm-root.cer"
    root.write_bytes(TpmMaker().root)
    node = Node(folder)
    node.run("-m", "bench.keys.initialised", str(root), "2048")
    found: dict[str, dict[str, float]] = json.loads(
        node.run("-m", "bench.keys.growing", *map(str, sorted(sizes)), seconds=3600)
    )
    return found


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.keys", description="How fast HGS releases keys.")
    parser.add_argument("--clients", type=int, default=16, help="hosts, each a client of its own (default 16)")
    parser.add_argument("--machines", type=int, default=16, help="virtual machines of each host (default 16)")
    parser.add_argument("--releases", type=int, default=150, help="of each host in a round (default 150)")
    parser.add_argument("--rounds", type=int, default=3, help="the best one counts (default 3)")
    parser.add_argument("--bits", type=int, default=2048, help="size of the guardian's RSA keys (default 2048)")
    parser.add_argument("--workers", type=int, default=default_workers(), help="processes of HGS (default: as HGS)")
    parser.add_argument("--threads", type=int, default=THREADS, help=f"threads of each (default {THREADS})")
    parser.add_argument("--seconds", type=float, default=0.2, help="a round of each part in process (default 0.2)")
    parser.add_argument(
        "--log-sizes",
        type=int,
        nargs="+",
        default=[1000, 10_000, 100_000, 1_000_000],
        help="entries at which one more is timed (default a thousand to a million)",
    )
    parser.add_argument("--database-url", default="", help="an empty database, postgres://… (default: SQLite)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
