"""``python -m bench.attestation``: measure, print, and end with one line of JSON."""

import argparse
import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.attestation import boot_logs, parts, report, rivals, service
from bench.attestation.hosts import Host, TpmMaker
from bench.attestation.node import Node
from hgs.serving import default_workers


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 whatever the figures are; a wrong answer of HGS raises."""
    chosen = _parse(arguments)
    maker = TpmMaker()
    hosts = [Host(f"host{number:03}", maker) for number in range(chosen.hosts)]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gf-bench-")))
        node = stack.enter_context(Node(folder, chosen.database_url, chosen.workers, chosen.threads))
        service.prepare(node, hosts, maker)
        runs = service.measure(node, hosts, chosen.attestations, chosen.rounds, chosen.client_processes)
        refusal = service.refuse_large_log(node, hosts[0])
        node.stop()
        found = report.Findings(
            runs=runs,
            log_bytes=len(hosts[0].log),
            parts=parts.measure(hosts, maker, chosen.seconds),
            refusal=refusal,
            rivals=rivals.measure(hosts[0], folder),
            clients=chosen.hosts,
            workers=chosen.workers,
            database="PostgreSQL" if chosen.database_url else "SQLite",
            log_origin=boot_logs.origin(),
        )
    print(report.text(found))
    print(report.line(found))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.attestation", description="How fast HGS attests hosts.")
    parser.add_argument("--hosts", type=int, default=16, help="hosts, each a client of its own (default 16)")
    parser.add_argument("--attestations", type=int, default=60, help="of each host in a round (default 60)")
    parser.add_argument("--rounds", type=int, default=3, help="the best one counts (default 3)")
    parser.add_argument("--client-processes", type=int, default=1, help="processes that the clients share (default 1)")
    parser.add_argument("--workers", type=int, default=default_workers(), help="processes of HGS (default: as HGS)")
    parser.add_argument("--threads", type=int, default=0, help="threads of each (default: as HGS)")
    parser.add_argument("--seconds", type=float, default=0.2, help="a round of each part in process (default 0.2)")
    parser.add_argument("--database-url", default="", help="an empty database, postgres://… (default: SQLite)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
