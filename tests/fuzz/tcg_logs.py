"""TCG event logs of both formats: read, write, replay, verify."""

from contextlib import suppress

from hgs.attestation.errors import AttestationError
from hgs.attestation.tcglog import accept_reference_log, parse_log, replay, verify_log
from hgs.attestation.tpm import HASH_NAMES
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; a log has one encoding, and every bank that replays verifies against itself."""
    with suppress(AttestationError):
        log = parse_log(data)
        assert log.serialise() == data
        for bank in HASH_NAMES:
            with suppress(AttestationError):
                values = replay(log, bank)
                assert verify_log(log, values, bank).events == accept_reference_log(log, bank).events


if __name__ == "__main__":
    run("tcg_logs")
