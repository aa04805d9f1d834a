"""Events and leaves: one form each; an owner finds his leaves, a stranger finds nothing in them."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.transparency.entry import (
    EVENT_MAX,
    LEAF_SIZE,
    KeyEvent,
    OwnerKey,
    make_leaf,
    opens,
    parse_event,
    parse_leaf,
)
from hgs.transparency.errors import EntryError
from tests.hgs.transparency.events import NEIGHBOUR, OWNER, REFUSAL, RELEASE, entry_of, fingerprint_of

hashes = st.just("") | st.binary(min_size=32, max_size=32).map(bytes.hex)
uuids = st.just("") | st.uuids().map(str)
unicode = st.characters(exclude_categories=["Cs"])
events = st.builds(
    KeyEvent,
    at=st.datetimes(timezones=st.just(dt.UTC)),
    result=st.sampled_from(["released", "refused"]),
    reason=st.from_regex(r"[a-z-]{0,64}", fullmatch=True),
    message=st.text(unicode, max_size=500),
    protector=hashes,
    egress=hashes,
    vm=uuids,
    owner=hashes,
    guardian=hashes,
    host=hashes | hashes.map(str.upper),
    host_name=st.text(unicode, max_size=64),
    certificate=st.from_regex(r"[0-9a-f]{0,40}", fullmatch=True),
    verdict=uuids,
    offline=st.integers(0, 2**32 - 1),
)


def changed(**members: object) -> bytes:
    content = {**json.loads(RELEASE.serialise()), **members}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_an_event_is_written_as_documented() -> None:
    assert REFUSAL.serialise().decode() == (
        '{"at":"2026-03-01T12:30:15.000120Z","certificate":"' + "8f" * 16 + '","egress":"","guardian":"' + "c3" * 32
        + '","host":"' + "D4" * 32 + '","host_name":"hv01","message":"Der Host ist „weg“.","offline":0,"owner":"'
        + fingerprint_of(OWNER) + '","protector":"' + "a1" * 32 + '","reason":"host-removed","result":"refused","v":1,'
        '"verdict":"ffeeddcc-bbaa-9988-7766-554433221100","vm":"00112233-4455-6677-8899-aabbccddeeff"}'
    )  # fmt: skip


@given(events)
def test_every_event_reads_back_and_is_within_the_limit(event: KeyEvent) -> None:
    data = event.serialise()
    assert len(data) <= EVENT_MAX
    assert parse_event(data) == event


def test_the_longest_event_is_within_the_limit() -> None:
    event = replace(REFUSAL, message="\x01" * 500, host_name="\x01" * 64, reason="r" * 64, egress="e" * 64)
    assert parse_event(event.serialise()) == event


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "event-form"),
        (b"[]", "event-form"),
        (b"\xff", "event-form"),
        (b"[" * 8000, "event-form"),
        (RELEASE.serialise() + b"\n", "event-form"),
        (RELEASE.serialise().replace(b'"v":1', b'"v": 1'), "event-form"),
        (RELEASE.serialise().replace(b'"v":1', b'"v":1,"v":1'), "event-form"),
        (RELEASE.serialise().replace(b'"v":1', b'"v":1.0'), "event-form"),
        (RELEASE.serialise().replace(b'"v":1', b'"v":true'), "event-form"),
        (RELEASE.serialise().replace(b"hv01", b"\\u0068v01"), "event-form"),
        (changed(more=1), "event-form"),
        (changed(v=2), "event-version"),
        (changed(at="2026-03-01T12:30:15Z"), "event-value"),
        (changed(at="2026-03-01T12:30:15.000120+00:00"), "event-value"),
        (changed(at="2026-02-30T12:30:15.000120Z"), "event-value"),
        (changed(at="2026-03-01T12:30:60.000120Z"), "event-value"),
        (changed(at=0), "event-value"),
        (changed(result="maybe"), "event-value"),
        (changed(owner="A1" * 32), "event-value"),
        (changed(owner=None), "event-value"),
        (changed(vm="00112233-4455-6677-8899-AABBCCDDEEFF"), "event-value"),
        (changed(offline=-1), "event-value"),
        (changed(offline=True), "event-value"),
        (changed(offline="1"), "event-value"),
        (changed(offline=2**32), "event-value"),
        (changed(message="x" * 501), "event-value"),
        (changed(message=["x"]), "event-value"),
        (RELEASE.serialise().replace(b"hv01", b"\\ud800"), "event-value"),
        (changed(message="x" * EVENT_MAX), "event-length"),
    ],
)  # fmt: skip
def test_an_event_of_another_form_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(EntryError) as refused:
        parse_event(data)
    assert refused.value.code == code


@pytest.mark.parametrize("zone", [None, dt.timezone(dt.timedelta(hours=1))])
def test_an_event_without_utc_time_is_refused(zone: dt.timezone | None) -> None:
    with pytest.raises(EntryError):
        replace(RELEASE, at=RELEASE.at.replace(tzinfo=zone))


def test_a_leaf_is_made_as_documented() -> None:
    salt, blinding = b"s" * 32, b"b" * 32
    leaf = make_leaf(RELEASE, OWNER, salt=salt, blinding=blinding, nobody=b"n" * 32)
    key = hashlib.sha256(b"open-guarded-fabric key-log owner v1\0" + OWNER).digest()
    tag = hmac.new(key, salt, hashlib.sha256).digest()
    commitment = hashlib.sha256(b"open-guarded-fabric key-log entry v1\0" + blinding + RELEASE.serialise()).digest()
    assert leaf == b"\x01" + salt + tag + commitment
    assert len(leaf) == LEAF_SIZE


def test_an_owner_finds_every_leaf_of_his_and_no_other() -> None:
    entries = [entry_of(RELEASE, owner, number) for number in range(20) for owner in (OWNER, NEIGHBOUR, None)]
    mine = [OwnerKey.of(OWNER).owns(parse_leaf(entry.leaf)) for entry in entries]
    assert mine == [True, False, False] * 20
    assert not any(OwnerKey.of(b"somebody else").owns(parse_leaf(entry.leaf)) for entry in entries)


def test_leaves_of_one_event_have_nothing_in_common_but_the_version() -> None:
    one, two = (parse_leaf(entry_of(RELEASE, OWNER, number).leaf) for number in (1, 2))
    assert one.salt != two.salt
    assert one.owner_tag != two.owner_tag
    assert one.commitment != two.commitment


@given(events)
def test_a_leaf_opens_to_its_event_alone(event: KeyEvent) -> None:
    entry = entry_of(event, OWNER, 1)
    leaf, data = parse_leaf(entry.leaf), entry.event.serialise()
    assert opens(leaf, data, entry.blinding)
    assert not opens(leaf, data, bytes(32))
    assert not opens(leaf, data + b" ", entry.blinding)
    assert not opens(leaf, data[1:], entry.blinding + data[:1])
    assert not opens(leaf, replace(entry.event, offline=entry.event.offline ^ 1).serialise(), entry.blinding)


@given(st.binary(min_size=97, max_size=97))
def test_whatever_leaf_parses_is_written_back(data: bytes) -> None:
    leaf = b"\x01" + data[1:]
    assert parse_leaf(leaf).serialise() == leaf


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "leaf-length"), (bytes(96), "leaf-length"), (b"\x01" * 98, "leaf-length"), (bytes(97), "leaf-version")],
)
def test_a_leaf_of_another_form_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(EntryError) as refused:
        parse_leaf(data)
    assert refused.value.code == code


def test_no_leaf_is_made_for_another_owner_than_the_event_names() -> None:
    random = {"salt": bytes(32), "blinding": bytes(32), "nobody": bytes(32)}
    for owner in (NEIGHBOUR, None):
        with pytest.raises(EntryError):
            make_leaf(RELEASE, owner, **random)
    with pytest.raises(EntryError):
        make_leaf(replace(RELEASE, owner=""), OWNER, **random)


@pytest.mark.parametrize("short", ["salt", "blinding", "nobody"])
def test_no_leaf_is_made_with_too_little_randomness(short: str) -> None:
    random = {"salt": bytes(32), "blinding": bytes(32), "nobody": bytes(32), short: bytes(31)}
    with pytest.raises(EntryError):
        make_leaf(RELEASE, OWNER, **random)
