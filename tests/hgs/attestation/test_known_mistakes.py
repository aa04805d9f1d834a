"""Mistakes that attestation services have made: each is tried on the whole exchange, by a host that wants to pass."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation import judgement as j
from hgs.attestation import tpm
from hgs.attestation.endorsement import EndorsementKey
from hgs.attestation.evidence import QUOTED_PCRS
from hgs.attestation.exchange import Outcome
from hgs.attestation.sipa import SipaType, encode_boolean, encode_container
from hgs.attestation.tcglog import EV_EVENT_TAG, EV_SEPARATOR, Event, EventLog, EventLogBuilder
from hgs.attestation.tpm import Algorithm, PcrSelection
from hgs.wire.rtpm import BlobType, RtpmContext
from tests.hgs.attestation.boots import Boot, identity_record
from tests.hgs.attestation.conftest import Service
from tests.hgs.attestation.tpm_hosts import PythonTpm, answer, with_blob

DEBUGGING = encode_boolean(SipaType.BOOT_DEBUGGING, True)


class Fabric:
    """One host and the HGS that knows it."""

    def __init__(self, service: Service, host: PythonTpm, endorsement: EndorsementKey) -> None:
        self.service, self.host, self.endorsement = service, host, endorsement

    def attest(self, boot: EventLogBuilder, log: EventLog | None = None, locality: int = 0) -> Outcome:
        """Boot the TPM one way, and show the same log or another one."""
        honest = self.host.boot(boot, locality)
        return self.service.attest(self.host, self.endorsement, honest if log is None else log.serialise())

    def answer(self, boot: EventLogBuilder) -> RtpmContext:
        """An honest second request."""
        log = self.host.boot(boot)
        return answer(self.host, self.service.challenge(self.host, self.endorsement), log)

    def finish(self, context: RtpmContext) -> Outcome:
        return self.service.finish(self.endorsement, context)


@pytest.fixture
def fabric(service: Service, host: PythonTpm, endorsement: EndorsementKey) -> Fabric:
    return Fabric(service, host, endorsement)


def assert_fails(outcome: Outcome, code: str, words: str = "") -> None:
    assert [check.code for check in outcome.verdict.failed_checks] == [code], outcome.verdict.summary
    assert words in outcome.verdict.failed_checks[0].sentence
    assert not outcome.verdict.passed
    assert outcome.keys == {}


def quoted(context: RtpmContext, quote: tuple[bytes, bytes]) -> RtpmContext:
    signed = with_blob(context, BlobType.QUOTE, lambda _: quote[0])
    return with_blob(signed, BlobType.QUOTE_SIGNATURE, lambda _: quote[1])


def nonce_of(context: RtpmContext) -> bytes:
    return tpm.TpmsAttest.parse(context.find(BlobType.QUOTE) or b"").extra_data


# ---- the quote -----------------------------------------------------------------------------------------------------


def test_mistake_the_nonce_is_not_compared(fabric: Fabric, healthy: Boot) -> None:
    old, new = fabric.answer(healthy.log()), fabric.answer(healthy.log())
    stale = quoted(new, (old.find(BlobType.QUOTE) or b"", old.find(BlobType.QUOTE_SIGNATURE) or b""))
    assert_fails(fabric.finish(stale), j.NONCE, "old one")


@pytest.mark.parametrize("change", [lambda nonce: nonce[:0], lambda nonce: nonce[:-1], lambda nonce: nonce + b"\x00"])
def test_mistake_part_of_the_nonce_is_enough(fabric: Fabric, healthy: Boot, change: Callable[[bytes], bytes]) -> None:
    context = fabric.answer(healthy.log())
    selections = (PcrSelection.of(Algorithm.SHA256, QUOTED_PCRS),)
    quote = fabric.host.quote(change(nonce_of(context)), selections)
    assert_fails(fabric.finish(quoted(context, quote)), j.NONCE)


@pytest.mark.parametrize("selections", [(), (PcrSelection.of(Algorithm.SHA256, ()),)], ids=["none", "no register"])
def test_mistake_an_empty_pcr_selection_is_accepted(
    fabric: Fabric, healthy: Boot, selections: tuple[PcrSelection, ...]
) -> None:
    context = fabric.answer(healthy.log())
    quote = fabric.host.quote(nonce_of(context), selections)
    assert_fails(fabric.finish(quoted(context, quote)), j.SELECTION, "does not cover")


@pytest.mark.parametrize("left_out", QUOTED_PCRS)
def test_mistake_a_quote_may_leave_a_register_out(fabric: Fabric, healthy: Boot, left_out: int) -> None:
    context = fabric.answer(healthy.log())
    fewer = PcrSelection.of(Algorithm.SHA256, set(QUOTED_PCRS) - {left_out})
    quote = fabric.host.quote(nonce_of(context), (fewer,))
    assert_fails(fabric.finish(quoted(context, quote)), j.SELECTION)


def test_mistake_a_certify_structure_is_taken_for_a_quote(fabric: Fabric, healthy: Boot) -> None:
    context = fabric.answer(healthy.log())
    # The name of a key is the host's choice: it may well begin like a selection and a digest.
    name = tpm.serialise_selections((PcrSelection.of(Algorithm.SHA256, QUOTED_PCRS),)) + bytes(34)
    attest = fabric.host.attest(nonce_of(context), tpm.CertifyInfo(name, name))
    assert_fails(fabric.finish(quoted(context, fabric.host.sign(attest))), j.QUOTE_SIGNATURE, "not a quote")


# ---- the log -------------------------------------------------------------------------------------------------------


def two_banks(log: EventLog, sha1: Callable[[Event], bytes], sha256: Callable[[Event], bytes]) -> EventLog:
    """The log with a SHA-1 and a SHA-256 bank, digests as told."""
    builder = EventLogBuilder((Algorithm.SHA1, Algorithm.SHA256))
    for event in log.events:
        digests = ((int(Algorithm.SHA1), sha1(event)), (int(Algorithm.SHA256), sha256(event)))
        builder.record(event.pcr, event.type, digests, event.data)
    return builder.build()


def digest_of(event: Event) -> bytes:
    return event.digest(Algorithm.SHA256) or b""


def hashed(algorithm: Algorithm, data: bytes) -> bytes:
    builder = EventLogBuilder((algorithm,))
    return builder.measure(0, 1, data).digest(algorithm) or b""


def test_mistake_one_bank_replays_and_another_is_believed(fabric: Fabric, healthy: Boot) -> None:
    """The SHA-1 digests tell a good boot and would replay; the quote is over SHA-256, where they do not."""
    good, bad = healthy.log().build(), replace(healthy, debug=True).log()
    lying = two_banks(good, lambda event: hashed(Algorithm.SHA1, event.data), digest_of)
    assert_fails(fabric.attest(bad, lying), j.REPLAY)


def test_mistake_data_is_checked_against_a_bank_that_was_not_quoted(fabric: Fabric, healthy: Boot) -> None:
    """SHA-256 digests of the bad boot replay; the data of a good one agrees with the SHA-1 digests alone."""
    bad = replace(healthy, debug=True).log()
    events = zip(healthy.log().build().events, bad.build().events, strict=True)
    builder = EventLogBuilder((Algorithm.SHA1, Algorithm.SHA256))
    for good_event, bad_event in events:
        sha1 = (int(Algorithm.SHA1), hashed(Algorithm.SHA1, good_event.data))
        sha256 = (int(Algorithm.SHA256), digest_of(bad_event))
        builder.record(good_event.pcr, good_event.type, (sha1, sha256), good_event.data)
    assert_fails(fabric.attest(bad, builder.build()), j.READABLE, "digest is not that of its data")


def test_mistake_pcr_0_is_replayed_without_the_startup_locality(fabric: Fabric, healthy: Boot) -> None:
    from_locality_3 = replace(healthy, locality=3)
    assert fabric.attest(from_locality_3.log(), locality=3).verdict.passed


@pytest.mark.parametrize(("claimed", "true"), [(3, 0), (None, 3), (4, 3)])
def test_mistake_the_startup_locality_is_taken_from_the_log_alone(
    fabric: Fabric, healthy: Boot, claimed: int | None, true: int
) -> None:
    boot = replace(healthy, locality=claimed).log()
    outcome = fabric.attest(boot, locality=true)
    assert_fails(outcome, j.REPLAY)
    assert outcome.verdict.failed_checks[0].evidence["registers"] == "0"


@pytest.mark.parametrize("pcr", [12, 13, 14])
def test_mistake_records_after_the_wbcl_end_marker_count(
    fabric: Fabric, healthy: Boot, other_key: rsa.RSAPrivateKey, pcr: int
) -> None:
    """What the running system measures later neither spoils a good boot nor makes a bad one good."""
    late = ((pcr, EV_EVENT_TAG, DEBUGGING), (pcr, EV_EVENT_TAG, identity_record(other_key.public_key())))
    assert fabric.attest(replace(healthy, after_markers=late).log()).verdict.passed
    own = identity_record(fabric.host.identity.public_key())
    without = replace(healthy, identity=None, after_markers=((pcr, EV_EVENT_TAG, own),))
    assert_fails(fabric.attest(without.log()), "VsmIdkPresent")


@pytest.mark.parametrize("pcr", [12, 13, 14])
def test_mistake_a_second_end_marker_is_accepted(fabric: Fabric, healthy: Boot, pcr: int) -> None:
    boot = replace(healthy, after_markers=((pcr, EV_SEPARATOR, b"WBCL"),))
    assert_fails(fabric.attest(boot.log()), j.READABLE, f"PCR {pcr} has a second end marker")


@pytest.mark.parametrize("missing", [12, 13, 14])
def test_mistake_missing_end_markers_are_accepted(fabric: Fabric, healthy: Boot, missing: int) -> None:
    boot = replace(healthy, markers=tuple(pcr for pcr in (12, 13, 14) if pcr != missing))
    assert_fails(fabric.attest(boot.log()), j.READABLE, f"PCR {missing} has no end marker")


@pytest.mark.parametrize("pcr", [12, 13, 14])
def test_mistake_a_relabelled_record_is_overlooked(fabric: Fabric, healthy: Boot, pcr: int) -> None:
    """The type of a record is protected by no digest: a bad setting must not vanish with it."""
    bad = replace(healthy, extra_settings=(DEBUGGING,)).log()
    shown = EventLogBuilder()
    for event in bad.build().events:
        hidden = event.pcr == pcr and event.type == EV_EVENT_TAG
        shown.record(event.pcr, EV_SEPARATOR if hidden else event.type, event.digests, event.data)
    assert_fails(fabric.attest(bad, shown.build()), j.READABLE, f"PCR {pcr} has a record of the event type 0x4")


# ---- the facts -----------------------------------------------------------------------------------------------------

FLAGS = (
    (SipaType.BOOT_DEBUGGING, True, {"DebugModeUefi", "SecureBootSettings"}),
    (SipaType.OS_KERNEL_DEBUG, True, {"DebugModeUefi", "SecureBootSettings"}),
    (SipaType.HYPERVISOR_DEBUG, True, {"DebugModeUefi", "SecureBootSettings"}),
    (SipaType.TEST_SIGNING, True, {"DebugModeUefi"}),
    (SipaType.CODE_INTEGRITY, False, {"SystemIntegrityCiKnownGood"}),
    (SipaType.VBS_IOMMU_REQUIRED, False, {"IommuEnabled"}),
    (SipaType.PAGEFILE_ENCRYPTION_ENABLED, False, {"PagefileEncryptionEnabled"}),
    (SipaType.HIBERNATION_DISABLED, False, {"NoHibernation"}),
)


@pytest.mark.parametrize(("kind", "bad", "codes"), FLAGS, ids=[kind.name for kind, _, _ in FLAGS])
@pytest.mark.parametrize("as_container", [False, True])
def test_mistake_a_bad_flag_is_reset_by_a_later_record(
    fabric: Fabric, healthy: Boot, kind: SipaType, bad: bool, codes: set[str], as_container: bool
) -> None:
    records = (encode_boolean(kind, bad), encode_boolean(kind, not bad))
    if as_container:
        records = (encode_container(SipaType.TRUST_BOUNDARY, *records),)
    outcome = fabric.attest(replace(healthy, extra_settings=records).log())
    assert {check.code for check in outcome.verdict.failed_checks} == codes
    assert outcome.keys == {}


def test_mistake_the_hypervisors_transfer_1_then_5_is_no_full_boot(fabric: Fabric, healthy: Boot) -> None:
    assert fabric.attest(replace(healthy, transfers=(1, 5)).log()).verdict.passed


@pytest.mark.parametrize("transfers", [(2,), (1, 2), (2, 1), (1, 5, 2), (5,), (5, 1), (3, 1), (4,)])
def test_mistake_a_resume_passes_for_a_full_boot(fabric: Fabric, healthy: Boot, transfers: tuple[int, ...]) -> None:
    assert_fails(fabric.attest(replace(healthy, transfers=transfers).log()), "FullBoot")
