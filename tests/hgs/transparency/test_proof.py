"""The proof of one entry: made from any bundle that shows it, checked by whoever knows the log's key."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hgs.transparency.bundle import PIECE, Disclosure
from hgs.transparency.checkpoint import sign_checkpoint, signing_key
from hgs.transparency.errors import AuditError, TransparencyError
from hgs.transparency.note import VerifierKey
from hgs.transparency.proof import EntryProof, parse_proof, prove_entry
from tests.hgs.transparency.bundles import VKEY, Log, log_of
from tests.hgs.transparency.logs import plain_path

LOG = log_of(40)


def prove(bundle: bytes, index: int) -> EntryProof:
    return prove_entry(io.BytesIO(bundle), VKEY, index)


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_every_entry_shown_is_proven_from_every_bundle_that_shows_it(size: int, data: st.DataObject) -> None:
    log = Log(LOG.entries[:size])
    index = data.draw(st.sampled_from(range(0, size, 3)))
    begin = data.draw(st.integers(0, index))
    proof = parse_proof(prove(log.bundle(begin), index).serialise())
    assert proof.verify(VKEY) == (log.checkpoint(), log.entries[index].event)
    assert list(proof.path) == plain_path(index, [entry.leaf for entry in log.entries])


def test_an_entry_beyond_the_first_piece_is_proven() -> None:
    long = Log(tuple(LOG.entries[index % 39] for index in range(PIECE + 50)))
    index = PIECE + 2
    assert long.entries[index].event.owner == LOG.entries[0].event.owner
    assert prove(long.bundle(), index).verify(VKEY)[1] == long.entries[index].event


def test_a_proof_is_written_as_the_specification_says() -> None:
    proof = prove(LOG.bundle(), 3)
    lines = proof.serialise().decode().split("\n")
    entry = LOG.entries[3]
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(entry.leaf + entry.blinding + entry.event.serialise()).decode()
    assert lines[2] == "index 3"
    assert [base64.b64decode(line) for line in lines[3:9]] == list(proof.path)
    assert "\n".join(lines[9:]) == "\n" + LOG.note().decode()


@pytest.mark.parametrize("index", [1, 40, 100])
def test_an_entry_that_is_not_shown_is_not_proven(index: int) -> None:
    with pytest.raises(AuditError) as refused:
        prove(LOG.bundle(), index)
    assert refused.value.code == "no-such-entry"


def test_an_entry_before_the_bundle_begins_is_not_proven() -> None:
    with pytest.raises(AuditError) as refused:
        prove(LOG.bundle(10, disclosures=LOG.disclosures()), 3)
    assert refused.value.code == "no-such-entry"


def test_a_bundle_that_lies_proves_nothing() -> None:
    shown = LOG.disclosures()
    forged = [replace(shown[0], event=replace(LOG.entries[0].event, offline=9).serialise()), *shown[1:]]
    beyond = [*shown, Disclosure(40, shown[0].event, shown[0].blinding)]
    leaves = [entry.leaf for entry in LOG.entries]
    cases = [
        (LOG.bundle(disclosures=forged), 0, "entry-forged"),
        (LOG.bundle(disclosures=beyond), 40, "no-such-leaf"),
        (LOG.bundle(leaves=[leaves[1], *leaves[1:]]), 3, "not-included"),
        (LOG.bundle(3, frontier=bytes(64)), 3, "not-included"),
    ]
    for bundle, index, code in cases:
        with pytest.raises(TransparencyError) as refused:
            prove(bundle, index)
        assert refused.value.code == code


def test_a_proof_holds_for_the_log_s_key_alone() -> None:
    proof = prove(LOG.bundle(), 3)
    forger = signing_key(bytes(32))
    with pytest.raises(TransparencyError):
        proof.verify(VerifierKey.of(VKEY.name, forger))
    with pytest.raises(TransparencyError):
        replace(proof, note=sign_checkpoint(LOG.checkpoint(), forger)).verify(VKEY)


@pytest.mark.parametrize(
    "changed",
    [
        {"index": 6},
        {"index": 40},
        {"blinding": bytes(32)},
        {"event": LOG.entries[6].event.serialise() + b" "},
        {"event": LOG.entries[9].event.serialise()},
        {"leaf": LOG.entries[6].leaf},
        {"path": ()},
        {"note": log_of(39).note()},
    ],
)
def test_a_proof_that_was_changed_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(TransparencyError):
        replace(prove(LOG.bundle(), 3), **changed).verify(VKEY)  # type: ignore[arg-type]


GOOD = prove(LOG.bundle(), 3).serialise()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD.replace(b"@v1", b"@v2"),
        GOOD.replace(b"extra ", b"more "),
        GOOD.replace(b"extra ", b"extra AAA"),
        GOOD.replace(b"index 3", b"index 03"),
        GOOD.replace(b"index 3", b"index -3"),
        GOOD.replace(b"index 3", b"index " + str(2**63).encode()),
        GOOD.replace(b"index 3\n", b"index 3\nAAAA\n"),
        GOOD.replace(b"index 3\n", b"index 3\n" + (b"A" * 43 + b"=\n") * 64),
        GOOD.replace(b"index 3\n", b""),
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.split(b"\n\n")[0],
        GOOD + b"x" * 200_000,
    ],
)
def test_a_proof_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(AuditError) as refused:
        parse_proof(data)
    assert refused.value.code == "proof-form"


@given(st.data())
def test_a_byte_changed_in_a_proof_is_never_believed(data: st.DataObject) -> None:
    proof = bytearray(GOOD)
    proof[data.draw(st.integers(0, len(proof) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TransparencyError):
        parse_proof(bytes(proof)).verify(VKEY)
