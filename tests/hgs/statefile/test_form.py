"""The lines of a state file: whatever is read is written again as the same bytes, and nothing else is read."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db.models import BigAutoField, Model
from hypothesis import given, settings
from hypothesis import strategies as st

from hgs import models as hgs_models
from hgs.keyprotection.secret import Secret
from hgs.state_tables import TABLES
from hgs.statefile import form, kinds, values
from hgs.statefile.errors import StateFileError
from hgs.statefile.form import MAX_LINE, Reading, Record, Summary, lines
from tests.hgs.statefile.files import AT, HEAD, RECORDS, whole

NOT_IN_A_FILE = {
    "Attestation", "EvidenceLog", "UsedContext", "Submission", "ClockReading",
}  # fmt: skip
DERIVED = {
    "ServiceConfiguration": {"id", "trust_stamp"},
    "ServiceKey": {"fingerprint", "sealed_key"},
    "TrustedTpmRoot": {"fingerprint"},
    "TpmHost": {"ek_hash"},
    "HostKey": {"fingerprint"},
    "DomainHost": {"identity"},
    "DependentsReport": {"id"},
    "LogHead": {"id"},
    "LogTile": {"root"},
}
ADDED = {"ServiceKey": {"private"}}


def read(content: bytes, size: int = 7) -> tuple[list[Record], Summary]:
    reading = Reading(content[at : at + size] for at in range(0, len(content), size))
    return list(reading.records()), reading.summary


def test_what_is_written_is_read() -> None:
    records, summary = read(whole())
    assert tuple(records) == RECORDS
    assert summary.head == HEAD
    assert summary.counts == {"configuration": 1, "policy": 1, "host-group": 1, "dependents": 1}


@given(st.integers(1, 500))
def test_how_the_bytes_arrive_does_not_matter(size: int) -> None:
    assert read(whole(), size) == read(whole(), 10_000)


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
_MOMENT = st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given beside
_BY_TYPE: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    values.Text: lambda _: _TEXT,
    values.Digest: lambda _: st.binary(min_size=32, max_size=32).map(bytes.hex),
    values.Octets: lambda one: st.binary(min_size=one.least, max_size=max(one.least, min(one.most, 300))),
    values.Private: lambda _: st.binary(max_size=100).map(Secret),
    values.Moment: lambda _: _MOMENT,
    values.Identifier: lambda _: st.uuids(),
    values.Flag: lambda _: st.booleans(),
    values.Number: lambda one: st.integers(one.least, one.most),
    values.Word: lambda one: st.sampled_from(one.words),
    values.Json: lambda one: st.dictionaries(_TEXT, _TEXT) if one.type is dict else st.lists(_TEXT),
    values.Maybe: lambda one: st.none() | _value(one.of),
}


def _value(encoding: Any) -> st.SearchStrategy[Any]:
    return _BY_TYPE[type(encoding)](encoding)


_RECORD = st.sampled_from(kinds.ORDER).flatmap(
    lambda kind: st.fixed_dictionaries({name: _value(one) for name, one in kind.fields.items()}).map(
        lambda fields: Record(kind, fields)
    )
)


@given(_RECORD)
@settings(deadline=None)
def test_every_record_comes_back_and_is_written_again_as_the_same_bytes(record: Record) -> None:
    written = whole((record,))
    (again,), summary = read(written, 10_000)
    assert again == record
    assert b"".join(lines(summary.head, [again])) == written


@given(st.binary(max_size=300) | st.integers(0, 5).flatmap(lambda at: st.just(whole()[: at * 70])))
def test_any_bytes_are_refused_in_one_way(data: bytes) -> None:
    with pytest.raises(StateFileError):
        read(data)


@given(st.data())
@settings(deadline=None)
def test_a_changed_byte_is_refused(data: st.DataObject) -> None:
    content = bytearray(whole())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255).filter(lambda value: value != content[at]))
    with pytest.raises(StateFileError):
        read(bytes(content))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), st.lists, max_leaves=5))
def test_values_of_another_type_are_refused(value: Any) -> None:
    name, fields = json.loads(whole().split(b"\n")[1])
    for field in fields:
        if fields[field] == value or (value is None and field in ("mode_changed_at", "deny_issued_before")):
            continue
        line = json.dumps([name, fields | {field: value}], sort_keys=True, separators=(",", ":")).encode()
        content = whole().replace(whole().split(b"\n")[1], line)
        with suppress(UnicodeEncodeError), pytest.raises(StateFileError):
            read(content)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", 0),
        ("mode", 4),
        ("mode", True),
        ("name", ""),
        ("name", "x" * 65),
        ("name", "lab\0"),
        ("initialised_at", "2026-11-27T12:30:15Z"),
        ("initialised_at", "2026-13-27T12:30:15.000000Z"),
        ("log_origin", "x" * 129),
        ("max_offline_unwraps", -1),
    ],
)
def test_values_outside_their_limits_are_refused(field: str, value: Any) -> None:
    name, fields = json.loads(whole().split(b"\n")[1])
    line = json.dumps([name, fields | {field: value}], sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(StateFileError, match=f"configuration.{field} is not"):
        read(whole().replace(whole().split(b"\n")[1], line))


def test_a_line_without_an_end_takes_no_memory_beyond_its_limit() -> None:
    given_out = 0

    def endless() -> Any:
        nonlocal given_out
        while True:
            given_out += 2**20
            yield b"x" * 2**20

    with pytest.raises(StateFileError, match="too long"):
        Reading(endless())
    assert given_out <= MAX_LINE + 2 * 2**20


def test_a_nested_line_is_refused() -> None:
    with pytest.raises(StateFileError):
        read(b"[" * 100_000 + b"\n")


def test_a_record_with_other_fields_is_not_written() -> None:
    with pytest.raises(ValueError, match="do not belong here, or are missing"):
        whole((Record(kinds.POLICY, {"name": "x", "changed_at": AT}),))


def test_every_model_of_hgs_is_in_a_file_or_left_out_on_purpose() -> None:
    known = {name for name in hgs_models.__all__ if _is_model(getattr(hgs_models, name))}
    assert known == {table.model.__name__ for table in TABLES} | NOT_IN_A_FILE


def _is_model(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Model)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.kind.name)
def test_every_field_of_a_row_is_in_its_record_or_follows_from_it(table: Any) -> None:
    name = table.model.__name__
    fields = {field.name for field in table.model._meta.concrete_fields if not isinstance(field, BigAutoField)}
    assert set(table.kind.fields) == fields - DERIVED.get(name, set()) | ADDED.get(name, set())


def test_the_kinds_of_tables_are_those_of_the_form_in_its_order() -> None:
    assert tuple(table.kind for table in TABLES) == kinds.ORDER
    assert form.VERSION == 1


def test_a_key_prints_nothing() -> None:
    assert "private" not in repr(Secret(b"private"))
    fields = dict.fromkeys(kinds.KEY.fields, "") | {"private": Secret(b"the private key")}
    assert "the private key" not in repr(Record(kinds.KEY, fields))
