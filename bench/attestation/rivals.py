"""The programs that a person would use for a part of it, in the same run: tpm2-tools, one process for each file."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.attestation.hosts import Host
from hgs.attestation import tpm

RUNS: Final = 20


@dataclass(frozen=True)
class Rival:
    """A command with how many of its runs fit into a second, one after another; None where it is not installed."""

    command: str
    per_second: float | None
    note: str = ""


def measure(host: Host, folder: Path) -> list[Rival]:
    """tpm2_checkquote on a quote of this host, tpm2_eventlog on its log."""
    shown = host.quote(os.urandom(20))
    key = tpm.to_cryptography_key(shown.ak_public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, content in (("ak.pem", key), ("quote", shown.quote), ("signature", shown.signature), ("log", host.log)):
        (folder / name).write_bytes(content)
    quote = ["tpm2_checkquote", "-u", "ak.pem", "-m", "quote", "-s", "signature", "-q", shown.nonce.hex()]
    return [_timed(quote, folder), _timed(["tpm2_eventlog", "log"], folder)]


def _timed(command: list[str], folder: Path) -> Rival:
    if shutil.which(command[0]) is None:
        return Rival(command[0], None, "not installed")
    first = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=30)
    if first.returncode:
        words = (first.stderr or first.stdout).decode(errors="replace").strip().splitlines()
        return Rival(command[0], None, f"refused: {json.dumps((words or [''])[-1][:100])}")
    start = time.perf_counter()
    for _ in range(RUNS):
        subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=30)
    return Rival(command[0], RUNS / (time.perf_counter() - start))
