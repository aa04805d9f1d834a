"""SIPA records and measured UEFI variables, alone and as the content of a log whose digests hold."""

from contextlib import suppress

from hgs.attestation.efi import EfiVariable, parse_signature_database
from hgs.attestation.errors import AttestationError
from hgs.attestation.policies import PolicySet, evaluate_policies
from hgs.attestation.sipa import (
    END_MARKER,
    SiPolicyInfo,
    VsmKey,
    measured_boot,
    parse_custom_policy,
    read_leaves,
)
from hgs.attestation.tcglog import EV_EVENT_TAG, EV_SEPARATOR, EventLogBuilder, accept_reference_log
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors, whichever register the bytes are measured into."""
    with suppress(AttestationError):
        plain, described = read_leaves(data), read_leaves(data, with_modules=True)
        assert plain.values == described.values
    with suppress(AttestationError):
        assert EfiVariable.parse(data).serialise() == data
    for parse in (SiPolicyInfo.parse, VsmKey.parse, parse_custom_policy, parse_signature_database):
        with suppress(AttestationError):
            parse(data)
    for pcr in (7, 12, 13, 14):
        with suppress(AttestationError):
            boot = measured_boot(accept_reference_log(_log(pcr, data).build()))
            assert len(evaluate_policies(boot, PolicySet())) == 15
            assert len(boot.modules) == len(boot.module_records)


def _log(pcr: int, data: bytes) -> EventLogBuilder:
    log = EventLogBuilder()
    log.measure(7, EV_SEPARATOR, bytes(4))
    log.measure(pcr, EV_EVENT_TAG, data)
    for marked in (12, 13, 14):
        log.measure(marked, EV_SEPARATOR, END_MARKER)
    return log


if __name__ == "__main__":
    run("sipa_records")
