"""How the secure worker asks for keys: again for another HGS, but not for ever; not at all without a certificate."""

from pathlib import Path

import pytest

from fabric.hyperv.secure_worker.orders import Carried, NoAnswer, OtherCertificate, StartOrder, parse_order
from fabric.hyperv.secure_worker.release import HgsAway, roll
from fabric.hyperv.tpm import HostTpmAccess
from hgs.keyprotection.errors import InvalidResponseError
from hgs.keyprotection.protector import Protector, new_protector
from hgs.wire.kps import parse_request
from tests.hgs.keyprotection.guardians import counted_random, lab, owner

NOWHERE = HostTpmAccess("swtpm:path=/nowhere", Path("/nowhere/lock"), Path("/nowhere/key"))


def order(certificate: bytes) -> StartOrder:
    return StartOrder(Path("/nowhere"), "6f0a1d0e-7a55-4c43-9d3b-0d8f3e6a2b11", certificate, NOWHERE, launch=False)


@pytest.fixture(scope="module")
def protector() -> Protector:
    return new_protector(owner(), [lab().guardian], counted_random("worker"))[0]


def test_the_request_is_written_again_with_the_certificate_of_the_other_hgs(protector: Protector) -> None:
    carried: list[bytes] = []

    def release(request: bytes) -> Carried:
        carried.append(parse_request(request).health_certificate)
        return OtherCertificate(b"second") if len(carried) == 1 else NoAnswer("Nobody is there.")

    with pytest.raises(HgsAway, match="Nobody is there"):
        roll(protector, order(b"first"), release)
    assert carried == [b"first", b"second"]


def test_a_main_process_that_has_ever_other_certificates_is_not_followed_for_ever(protector: Protector) -> None:
    asked: list[bytes] = []

    def release(request: bytes) -> Carried:
        asked.append(request)
        return OtherCertificate(b"%d" % len(asked))

    with pytest.raises(HgsAway):
        roll(protector, order(b"0"), release)
    assert len(asked) == 4


def test_without_a_certificate_nobody_is_asked(protector: Protector) -> None:
    def release(_request: bytes) -> Carried:
        raise AssertionError("there is nothing to ask with")

    with pytest.raises(HgsAway, match="no valid health certificate"):
        roll(protector, order(b""), release)


def test_an_answer_that_is_none_is_refused_not_taken_for_silence(protector: Protector) -> None:
    with pytest.raises(InvalidResponseError):
        roll(protector, order(b"first"), lambda _request: b"<html/>")


@pytest.mark.parametrize("guardian", [None, Path("/state/local-guardian.pem")])
def test_an_order_reads_back(guardian: Path | None) -> None:
    given = StartOrder(
        Path("/vm"), "6f0a1d0e-7a55-4c43-9d3b-0d8f3e6a2b11", b"der", NOWHERE, launch=True, local_guardian=guardian
    )
    assert parse_order(given.to_json()) == given
