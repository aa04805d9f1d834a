"""The pattern reads what the strict reader reads, and nothing else."""

import os
import random
from dataclasses import replace

import pytest

from hgs.keyprotection import protector_form, protector_reading
from hgs.keyprotection.elements import Signature
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.protector import new_protector, roll, serialise_protector, verify_protector
from hgs.keyprotection.protector_form import Protector
from hgs.wire import kps
from hgs.wire.errors import XmlFormError
from tests.hgs.keyprotection.guardians import branch, lab, owner

REQUEST = kps.RollTransportKeyRequest(b"protector" * 50, b"certificate" * 30, "urn:a", "urn:b", "urn:c")


def protectors() -> list[Protector]:
    fresh, _ = new_protector(owner(), [lab().guardian], os.urandom)
    both, _ = new_protector(owner(), [lab().guardian, branch().guardian], os.urandom)
    rolled, _ = roll(verify_protector(both), lab(), os.urandom)
    return [fresh, both, replace(rolled, max_offline_unwraps=7), replace(rolled, max_offline_unwraps=2**32 - 1)]


@pytest.mark.parametrize("protector", protectors(), ids=["fresh", "two-guardians", "rolled", "offline"])
def test_protectors_as_they_are_made_are_read_by_the_pattern(protector: Protector) -> None:
    document = serialise_protector(protector)
    assert protector_reading._read(document) == protector == protector_form.parse_protector(document)


def test_what_the_pattern_does_not_know_is_left_to_the_strict_reader() -> None:
    protector = protectors()[0]
    strange = replace(protector, guardian_signature=Signature("urn:new", b"value", b'<P xmlns="urn:p"></P>'))
    document = serialise_protector(strange)
    assert protector_reading._read(document) is None
    assert protector_reading.parse_protector(document) == strange


@pytest.mark.parametrize(
    ("was", "becomes", "code"),
    [
        (b"<Id>1</Id>", b"<Id>01</Id>", "not-a-number"),
        (b"<Id>1</Id>", b"<Id>4294967296</Id>", "not-a-number"),
        (b"<Id>1</Id>", b"<Id>0</Id>", "duplicate-wrapping-id"),
        (b"<Wrappings>", b"<Wrappings>\n", "stray-text"),
        (b"</Protector>", b"</Protector>\n", "not-canonical"),
        (b"<Protector ", b'<Protector MaxOfflineUnwraps="0" ', "not-canonical"),
    ],
)
def test_other_forms_are_refused_with_their_reason(was: bytes, becomes: bytes, code: str) -> None:
    document = serialise_protector(protectors()[1])
    assert was in document
    with pytest.raises(KeyProtectionError) as refused:
        protector_reading.parse_protector(document.replace(was, becomes, 1))
    assert refused.value.code == code


def test_both_readers_agree_on_documents_that_were_damaged() -> None:
    chance = random.Random(4)  # noqa: S311 - a test that repeats
    for document in [serialise_protector(protector) for protector in protectors()]:
        for _ in range(400):
            damaged = _damaged(document, chance)
            assert _outcome(protector_reading.parse_protector, damaged) == _outcome(
                protector_form.parse_protector, damaged
            )


def test_a_request_is_read_by_its_pattern_and_by_the_strict_reader_alike() -> None:
    document = kps.serialise_request(REQUEST)
    assert kps._match_request(document) == REQUEST == kps._read_request(document)
    chance = random.Random(5)  # noqa: S311 - a test that repeats
    for _ in range(1500):
        damaged = _damaged(document, chance)
        assert _outcome(kps.parse_request, damaged) == _outcome(kps._read_request, damaged)


def test_an_algorithm_of_any_characters_is_read_from_a_request() -> None:
    request = replace(REQUEST, transfer_key_algorithm='ä & "<>')
    document = kps.serialise_request(request)
    assert kps._match_request(document) is None
    assert kps.parse_request(document) == request


def _damaged(document: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(document))
    piece = document[(start := chance.randrange(len(document))) : start + chance.randrange(40)]
    return chance.choice(
        [
            document[:at] + bytes([chance.choice(b'0aA=+/<>&" \n\xc3')]) + document[at + 1 :],
            document[:at] + document[at + chance.randrange(4) :],
            document[:at] + piece + document[at:],
        ]
    )


def _outcome(read: object, document: bytes) -> object:
    try:
        return read(document)  # type: ignore[operator]
    except (KeyProtectionError, XmlFormError) as refused:
        return type(refused), refused.code
