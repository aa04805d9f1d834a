"""Evidence in files, as ``gf evidence`` explains it: logs, quotes, keys, signatures, register values, certificates."""

import json
from contextlib import suppress
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec

from hgs.attestation.errors import AttestationError
from hgs.attestation.offline.compare import compare_files
from hgs.attestation.offline.ek_report import certificates_in, read_certificate, report_ek
from hgs.attestation.offline.key_files import AttestationKey, read_attestation_key
from hgs.attestation.offline.log_reading import read_log
from hgs.attestation.offline.log_report import report_log
from hgs.attestation.offline.quote import QuoteFiles, verify_quote
from hgs.attestation.offline.register_files import read_registers
from tests.fuzz.harness import run

_NOW = datetime(2026, 11, 23, tzinfo=UTC)
_KEY = AttestationKey(ec.derive_private_key(1, ec.SECP256R1()).public_key(), "test")


def check(data: bytes) -> None:
    """Nothing a file contains may crash them, every explanation can be printed, and nothing is accepted by chance."""
    with suppress(AttestationError):
        json.dumps(report_log(read_log(data)))
        json.dumps(compare_files(data, data).as_json())
    with suppress(AttestationError):
        assert not verify_quote(QuoteFiles(data, data[-80:], _KEY, None, None, None)).accepted
    with suppress(AttestationError):
        read_attestation_key(data)
    with suppress(AttestationError):
        read_registers(data)
    with suppress(AttestationError):
        for found in certificates_in(data)[:4]:
            with suppress(AttestationError):
                report_ek(read_certificate(found), (), _NOW)


if __name__ == "__main__":
    run("evidence_files")
