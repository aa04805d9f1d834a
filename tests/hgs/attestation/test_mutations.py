"""Changed evidence: whatever byte is changed, it is refused, or it was one that says nothing."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.endorsement import EndorsementKey, endorsement_from_certificate
from hgs.attestation.errors import AttestationError
from hgs.attestation.exchange import Outcome
from hgs.attestation.sipa import measured_boot
from hgs.attestation.tcglog import EV_NO_ACTION, EventLog, parse_log, replay, verify_log
from hgs.attestation.tpm import Algorithm
from hgs.wire.errors import WireError
from hgs.wire.rtpm import BlobType, RtpmContext, parse_context
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.conftest import Service, service_for
from tests.hgs.attestation.tpm_hosts import Manufacturer, PythonTpm, answer, with_blob

BITS = (0x01, 0x80, 0xFF)
SIGNED = (
    BlobType.ACTIVATED_SECRET,
    BlobType.QUOTE,
    BlobType.QUOTE_SIGNATURE,
    BlobType.IDENTITY_KEY,
    BlobType.IDENTITY_CERTIFY,
    BlobType.IDENTITY_CERTIFY_SIGNATURE,
)


class Case:
    """A host that passes, and the bytes it passed with."""

    def __init__(self, service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot) -> None:
        self._service, self._endorsement = service, endorsement
        self.log = host.boot(healthy.log())
        self.context = answer(host, service.challenge(host, endorsement), self.log)
        self.good = self.finish(self.context)
        assert self.good.verdict.passed

    def finish(self, context: RtpmContext) -> Outcome:
        return self._service.finish(self._endorsement, context)


@pytest.fixture
def case(service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot) -> Case:
    return Case(service, host, endorsement, healthy)


def flips(data: bytes) -> Iterator[bytes]:
    """Every byte with its lowest, its highest and all of its bits changed."""
    for at in range(len(data)):
        for bit in BITS:
            yield data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def assert_refused(outcome: Outcome) -> None:
    assert not outcome.verdict.passed
    assert outcome.keys == {}
    assert outcome.verdict.failed_checks


@pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.name)
def test_every_changed_byte_of_what_the_tpm_proves_is_refused(case: Case, kind: BlobType) -> None:
    for changed in flips(case.context.find(kind) or b""):
        assert_refused(case.finish(with_blob(case.context, kind, lambda _, changed=changed: changed)))


@pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.name)
def test_what_the_tpm_proves_cut_short_or_lengthened_is_refused(case: Case, kind: BlobType) -> None:
    data = case.context.find(kind) or b""
    for changed in (b"", data[:-1], data[1:], data + b"\x00", b"\x00" + data, data + data):
        assert_refused(case.finish(with_blob(case.context, kind, lambda _, changed=changed: changed)))


def test_every_changed_byte_of_the_sealed_state_is_refused(case: Case) -> None:
    for changed in flips(case.context.state or b""):
        assert_refused(case.finish(replace(case.context, state=changed)))


def test_register_values_that_a_host_states_change_no_verdict(case: Case) -> None:
    values = case.context.find(BlobType.PCR_VALUES) or b""
    for changed in flips(values[:96]):
        stated = with_blob(case.context, BlobType.PCR_VALUES, lambda _, changed=changed: changed)
        assert case.finish(stated).verdict == case.good.verdict


def test_every_changed_byte_of_a_log_is_refused_or_says_nothing(healthy: Boot) -> None:
    """Digests of measured registers and the data of those that policies read: always refused."""
    data = healthy.log().build().serialise()
    log = parse_log(data)
    pcrs = replay(log, Algorithm.SHA256)
    facts = measured_boot(verify_log(log, pcrs, Algorithm.SHA256))
    protected = protected_bytes(log)
    assert len(protected) > len(data) // 2
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with suppress(AttestationError):
            found = measured_boot(verify_log(parse_log(changed), pcrs, Algorithm.SHA256))
            assert at not in protected, at
            assert found == facts, at


def protected_bytes(log: EventLog) -> set[int]:
    """Offsets of digests, and of data in registers 7, 12, 13 and 14."""
    assert log.header is not None
    found: set[int] = set()
    offset = len(EventLog(log.header, log.algorithms, ()).serialise())
    for event in log.events:
        digest = offset + 14
        data = digest + 32 + 4
        if event.type != EV_NO_ACTION:
            found.update(range(digest, digest + 32))
            if event.pcr in (7, 12, 13, 14):
                found.update(range(data, data + len(event.data)))
        offset = data + len(event.data)
    return found


@pytest.fixture(scope="module")
def mutable(manufacturer: Manufacturer, ek_keys: dict[str, Any], identity_key: rsa.RSAPrivateKey) -> Case:
    """One case for many examples."""
    host = PythonTpm(ek_keys["ecc"], identity=identity_key)
    endorsement = endorsement_from_certificate(manufacturer.certify(host.ek.public_key()))
    healthy = Boot(identity=identity_key.public_key())
    return Case(service_for(endorsement, manufacturer, healthy), host, endorsement, healthy)


@given(st.data())
def test_no_edit_of_a_request_gets_another_key_certified(mutable: Case, data: st.DataObject) -> None:
    original = mutable.context.serialise()
    at = data.draw(st.integers(0, len(original)), "at")
    removed = data.draw(st.integers(0, 80), "removed")
    inserted = data.draw(st.binary(max_size=80) | st.just(original[at : at + 40]), "inserted")
    changed = original[:at] + inserted + original[at + removed :]
    with suppress(WireError, AttestationError):
        outcome = mutable.finish(parse_context(changed))
        assert outcome.keys in ({}, mutable.good.keys)
        assert not outcome.keys or outcome.verdict.passed
