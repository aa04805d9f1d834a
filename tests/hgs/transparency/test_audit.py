"""What an owner finds out from a bundle: growth, completeness, and each way of lying about them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hgs.transparency.audit import Report, verify_bundle
from hgs.transparency.bundle import PIECE, Disclosure
from hgs.transparency.checkpoint import Checkpoint, sign_checkpoint, signing_key
from hgs.transparency.entry import commitment
from hgs.transparency.errors import AuditError, NoteError, TransparencyError
from hgs.transparency.event import KeyEvent
from hgs.transparency.note import VerifierKey
from tests.hgs.transparency.bundles import KEY, ORIGIN, VKEY, Log, log_of, members_of, replaced, zipped
from tests.hgs.transparency.events import NEIGHBOUR, NOW, OWNER, RELEASE, VM, Entry, entry_of

LOG = log_of(40)


def audit(
    bundle: bytes,
    kept: Checkpoint | None = None,
    *,
    owner: bytes = OWNER,
    seen: Sequence[Checkpoint] = (),
    found: list[tuple[int, KeyEvent]] | None = None,
) -> Report:
    keep = None if found is None else lambda index, event: found.append((index, event))
    return verify_bundle(io.BytesIO(bundle), VKEY, owner, kept, seen, keep)


def refusal(bundle: bytes, kept: Checkpoint | None = None, **options: object) -> TransparencyError:
    with pytest.raises(TransparencyError) as refused:
        audit(bundle, kept, **options)  # type: ignore[arg-type]
    return refused.value


def test_a_whole_log_is_proven_with_every_entry_of_the_owner() -> None:
    found: list[tuple[int, KeyEvent]] = []
    report = audit(LOG.bundle(), found=found)
    assert report.checkpoint == LOG.checkpoint()
    assert (report.begin, report.examined) == (0, 40)
    assert found == [(index, LOG.entries[index].event) for index in range(0, 40, 3)]
    assert (report.mine.released, report.mine.refused, report.mine.total) == (11, 3, 14)
    assert (report.mine.first_at, report.mine.last_at) == (NOW, NOW)
    assert {name: tally.total for name, tally in report.machines.items()} == {VM: 14}


def test_each_owner_has_a_bundle_of_his_own() -> None:
    bundle = LOG.bundle(disclosures=LOG.disclosures(owner=NEIGHBOUR))
    assert audit(bundle, owner=NEIGHBOUR).mine.total == 13
    assert refusal(bundle, owner=OWNER).code == "bundle-of-another"


def test_a_stranger_s_audit_is_empty() -> None:
    assert audit(LOG.bundle(disclosures=[]), owner=b"a stranger").mine.total == 0


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_the_rest_of_a_log_is_proven_from_what_was_kept(begin: int, size: int) -> None:
    kept = LOG.checkpoint(max(begin, size))
    report = audit(LOG.bundle(begin), kept)
    assert report.checkpoint == LOG.checkpoint()
    assert report.mine.total == len(LOG.disclosures(begin))


def test_a_log_longer_than_a_piece_is_proven_across_the_pieces() -> None:
    long = Log(tuple(LOG.entries[index % 40] for index in range(PIECE + 50)))
    report = audit(long.bundle(), long.checkpoint(PIECE + 3), seen=[long.checkpoint(PIECE), long.checkpoint(7)])
    assert report.examined == PIECE + 50
    assert report.mine.total == len(long.disclosures())


def test_an_empty_log_is_proven() -> None:
    report = audit(log_of(0).bundle())
    assert (report.examined, report.mine.total, report.mine.first_at) == (0, 0, None)


def test_an_entry_left_out_of_the_list_is_found_out() -> None:
    shown = LOG.disclosures()
    for at, one in enumerate(shown):
        error = refusal(LOG.bundle(disclosures=shown[:at] + shown[at + 1 :]))
        assert (error.code, error.index) == ("entry-hidden", one.index)  # type: ignore[attr-defined]


def test_an_entry_left_out_of_the_log_too_is_found_out() -> None:
    leaves = [entry.leaf for entry in LOG.entries]
    shown = LOG.disclosures()
    short = [Disclosure(one.index - 1, one.event, one.blinding) for one in shown[1:]]
    assert refusal(LOG.bundle(leaves=leaves[1:], disclosures=short)).code == "bundle-form"
    swapped = [LOG.entries[1].leaf, *leaves[1:]]
    assert refusal(LOG.bundle(leaves=swapped, disclosures=shown[1:])).code == "entries-altered"


def test_an_entry_shown_otherwise_than_it_was_logged_is_found_out() -> None:
    shown = LOG.disclosures()
    other = replace(LOG.entries[3].event, result="refused", host_name="another")
    for forged in (
        replace(shown[1], event=other.serialise()),
        replace(shown[1], blinding=bytes(32)),
        replace(shown[2], index=shown[1].index),
    ):
        error = refusal(LOG.bundle(disclosures=[shown[0], forged, *shown[2:]]))
        assert (error.code, error.index) == ("entry-forged", 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize("index", [1, 2, 39, 40, 1000])
def test_an_entry_that_is_not_the_owner_s_is_found_out(index: int) -> None:
    made_up = Disclosure(index, LOG.disclosures()[0].event, bytes(32))
    shown = sorted([*(one for one in LOG.disclosures() if one.index != index), made_up], key=lambda one: one.index)
    error = refusal(LOG.bundle(disclosures=shown))
    assert error.code == ("entry-forged" if index == 39 else "entry-not-yours")
    assert error.index == index  # type: ignore[attr-defined]


def test_an_entry_of_the_neighbour_s_is_not_passed_off_as_the_owner_s() -> None:
    shown = sorted([*LOG.disclosures(), LOG.disclosures(owner=NEIGHBOUR)[0]], key=lambda one: one.index)
    assert refusal(LOG.bundle(disclosures=shown)).code == "bundle-of-another"
    last = LOG.disclosures(owner=NEIGHBOUR)[-1]
    assert last.index < 39
    log = Log(LOG.entries[:39])
    shown = [*(one for one in LOG.disclosures() if one.index < 37), last]
    assert refusal(log.bundle(disclosures=shown)).code == "entry-not-yours"


def test_an_event_from_before_the_bundle_begins_is_refused() -> None:
    assert refusal(LOG.bundle(10, disclosures=LOG.disclosures(5)), LOG.checkpoint(10)).code == "entry-not-yours"


def test_a_log_that_contradicts_itself_about_an_owner_is_found_out() -> None:
    event = replace(RELEASE, owner="0" * 64)
    honest = entry_of(RELEASE, OWNER, 0)
    salt, tag = honest.leaf[1:33], honest.leaf[33:65]
    entry = Entry(b"\x01" + salt + tag + commitment(event.serialise(), honest.blinding), event, honest.blinding)
    log = Log((entry,))
    shown = [Disclosure(0, event.serialise(), honest.blinding)]
    assert refusal(log.bundle(disclosures=shown)).code == "entry-of-another"


def test_an_event_that_cannot_be_read_is_told_by_its_place() -> None:
    honest = entry_of(RELEASE, OWNER, 0)
    leaf = honest.leaf[:65] + commitment(b"{}", honest.blinding)
    log = Log((Entry(leaf, RELEASE, honest.blinding),))
    error = refusal(log.bundle(disclosures=[Disclosure(0, b"{}", honest.blinding)]))
    assert (error.code, error.index) == ("entry-unreadable", 0)  # type: ignore[attr-defined]


def test_entries_of_an_unknown_version_are_not_passed_over() -> None:
    newer = Log((*LOG.entries, Entry(b"\x02" + bytes(96), RELEASE, bytes(32))))
    assert refusal(newer.bundle(disclosures=LOG.disclosures())).code == "leaf-version"


def test_a_rewritten_past_is_found_out_by_what_was_kept() -> None:
    rewritten = replaced(LOG, 6, result="refused", host_name="innocent")
    for begin, size in ((0, 30), (20, 30), (30, 30), (0, 40)):
        assert refusal(rewritten.bundle(begin), LOG.checkpoint(size)).code == "log-forked"
    assert audit(rewritten.bundle(), LOG.checkpoint(6)).mine.total == 14, "a change after what was kept is growth"


def test_a_frontier_that_hides_a_rewritten_past_is_found_out() -> None:
    rewritten = replaced(LOG, 6, host_name="innocent")
    frontier = LOG.frontier(30).serialise()
    assert refusal(rewritten.bundle(30, frontier=frontier), LOG.checkpoint(30)).code == "entries-altered"


def test_a_log_that_is_shorter_than_before_is_found_out() -> None:
    assert refusal(log_of(30).bundle(), LOG.checkpoint(31)).code == "log-shrunk"
    assert audit(LOG.bundle(40), LOG.checkpoint()).examined == 0


def test_a_bundle_that_stops_before_a_checkpoint_seen_elsewhere_is_found_out() -> None:
    assert refusal(log_of(30).bundle(), seen=[LOG.checkpoint()]).code == "log-shrunk"
    assert audit(LOG.bundle(), seen=[LOG.checkpoint(), LOG.checkpoint(12)]).examined == 40


def test_a_checkpoint_that_the_bundle_cannot_be_compared_with_is_not_passed_over() -> None:
    assert refusal(LOG.bundle(20), LOG.checkpoint(20), seen=[LOG.checkpoint(19)]).code == "not-compared"
    assert audit(LOG.bundle(20), LOG.checkpoint(20), seen=[LOG.checkpoint(20)]).examined == 20


def test_two_views_of_one_log_are_found_out_by_a_checkpoint_seen_elsewhere() -> None:
    other = replaced(LOG, 6, host_name="innocent")
    assert refusal(other.bundle(), seen=[LOG.checkpoint()]).code == "log-forked"


def test_a_bundle_that_skips_entries_nobody_checked_is_refused() -> None:
    assert refusal(LOG.bundle(20), LOG.checkpoint(19)).code == "entries-skipped"
    assert refusal(LOG.bundle(20)).code == "nothing-kept"
    assert refusal(LOG.bundle(20), seen=[LOG.checkpoint(20)]).code == "nothing-kept"


def test_another_log_is_not_taken_for_the_known_one() -> None:
    assert refusal(LOG.bundle(), Checkpoint("another", 0, bytes(32))).code == "wrong-origin"
    with pytest.raises(NoteError):
        verify_bundle(io.BytesIO(LOG.bundle()), VerifierKey.of("another", KEY), OWNER)


def test_the_key_in_the_bundle_is_not_believed() -> None:
    forger = signing_key(bytes(32))
    note = sign_checkpoint(LOG.checkpoint(), forger)
    members = {**members_of(LOG.bundle(note=note)), "vkey": str(VerifierKey.of(ORIGIN, forger)).encode()}
    assert refusal(zipped(members)).code == "checkpoint-signature"


def test_a_checkpoint_for_other_entries_is_found_out() -> None:
    assert refusal(LOG.bundle(note=log_of(39).note())).code == "bundle-form"
    assert refusal(LOG.bundle(note=replaced(LOG, 39, offline=7).note())).code == "entries-altered"
    assert refusal(LOG.bundle(5, frontier=bytes(64)), LOG.checkpoint(5)).code == "entries-altered"
    assert refusal(LOG.bundle(5, frontier=bytes(32)), LOG.checkpoint(5)).code == "bundle-form"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_change_of_a_byte_inside_a_bundle_changes_what_is_proven(data: st.DataObject) -> None:
    members = members_of(LOG.bundle())
    name = data.draw(st.sampled_from(["checkpoint", "from", "leaves/0", "events.jsonl"]))
    content = bytearray(members[name])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((AuditError, NoteError)):
        audit(zipped({**members, name: bytes(content)}, zipfile.ZIP_DEFLATED))
